from __future__ import annotations

import copy
import io
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
import torch
from somebodys_cnn import CNN, PLACES, VIDEO, Clips, Residual, awake, graph_block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.data import Batch

from stgraph import GraphBlock, insert, remove
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier
from stgraph.insertion import Inserted, Place
from stgraph.nodes import ConstantRegions


@pytest.fixture
def cnn() -> CNN:
    return CNN().eval()


@pytest.fixture
def net(cnn: CNN) -> Inserted:
    return insert(cnn, PLACES, input_size=(3, 16, 16)).eval()


def test_untrained_blocks_change_no_logit(cnn, net):
    video = torch.randn(VIDEO)
    out = net(video)
    plain = cnn(video.flatten(0, 1)).unflatten(0, (2, 3))
    assert torch.equal(out.output, plain)
    assert list(out.blocks) == list(out.state) == list(PLACES)
    for place, side, channels in (("stages.0.1.conv2", 8, 8), ("stages.1", 4, 12)):
        block = out.blocks[place]
        assert isinstance(block.graph, Batch)
        block.graph.validate()
        assert block.graph.num_graphs == 6
        assert tuple(block.graph.kernel.shape[1:]) == (side, side)
        assert block.features.shape == (2, 3, channels, side, side)


def test_trained_blocks_do_change_them(cnn, net):
    video = torch.randn(VIDEO)
    awake(net)
    difference = net(video).output - cnn(video.flatten(0, 1)).unflatten(0, (2, 3))
    assert difference.abs().max() > 1e-3


def test_a_block_sees_what_its_place_gives_and_what_follows_sees_the_block(cnn):
    class Out(NamedTuple):
        features: Tensor
        state: None
        seen: Tensor

    class Add(nn.Module):
        causal = True

        def forward(self, features: Tensor, state: None = None) -> Out:
            return Out(features + 1, None, features)

    video = torch.randn(VIDEO)
    for places, names in (
        ({"after": {"stem": Add()}}, ["stem"]),
        ({"after": {}, "before": {"stages.0": Add()}}, ["stages.0:before"]),
    ):
        net = insert(cnn, **places, input_size=(3, 16, 16))
        out = net(video)
        assert list(out.blocks) == names
        stem = cnn.stem(video.flatten(0, 1))
        if names == ["stem"]:
            expected, seen = cnn.shared(stem + 1) + cnn.offset, stem
        else:
            expected, seen = cnn.shared(stem) + cnn.offset + 1, cnn.shared(stem) + cnn.offset
        torch.testing.assert_close(out.blocks[names[0]].seen.flatten(0, 1), seen)
        for stage in cnn.stages:
            expected = stage(expected).relu()
        expected = cnn.fc(expected.mean((2, 3)))
        torch.testing.assert_close(out.output.flatten(0, 1), expected)


def test_the_state_dict_keeps_the_keys_of_the_cnn(cnn, net):
    own, mine = cnn.state_dict(), net.state_dict()
    assert [key for key in mine if not key.startswith("graph_blocks.")] == list(own)
    assert "graph_blocks.stages/0/1/conv2.norm.weight" in mine
    assert {*dict(net.named_parameters())} <= set(mine)
    missing, unexpected = net.load_state_dict(CNN().state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith("graph_blocks.") for key in missing)


def test_weights_are_shared_with_the_cnn_and_move_with_either(cnn):
    net = insert(cnn, PLACES, input_size=(3, 16, 16))
    net.double()
    assert cnn.offset.dtype == cnn.stem.weight.dtype == torch.float64
    assert all(p.dtype == torch.float64 for p in net.parameters())
    net(torch.randn(VIDEO, dtype=torch.float64)).output.sum().backward()
    assert cnn.stem.weight.grad is not None


def test_blocks_take_device_and_dtype_of_the_cnn(cnn):
    net = insert(cnn.double(), PLACES, input_size=(3, 16, 16))
    assert all(p.dtype == torch.float64 for p in net.graph_blocks.parameters())


def test_remove_gives_the_cnn_back(cnn):
    before = copy.deepcopy(cnn.state_dict())
    net = insert(cnn, PLACES, input_size=(3, 16, 16))
    bare = remove(net)
    assert bare is cnn
    assert list(cnn.state_dict()) == list(before)
    assert all(torch.equal(cnn.state_dict()[key], value) for key, value in before.items())
    assert not any(module._forward_hooks for module in cnn.modules())
    net.fc = nn.Linear(12, 2)  # a new classifier belongs to the CNN
    assert net(torch.randn(VIDEO)).output.shape == (2, 3, 2)
    assert remove(net).fc is net.fc


def test_nothing_is_left_on_modules(net):
    def everything(module: nn.Module) -> dict[str, list]:
        return {
            name: [*sorted(part.__dict__), *map(id, part.__dict__.values()), len(part._modules)]
            for name, part in [*module.named_modules(), *module._root[0].named_modules()]
        }

    before = everything(net)
    net(torch.randn(VIDEO))
    assert everything(net) == before


def test_more_blocks_may_come_later(cnn):
    first = insert(cnn, {"stages.1": graph_block}, input_size=(3, 16, 16))
    both = insert(first, {"stages.0.*.conv2": graph_block})
    assert both.places == ("stages.0.0.conv2", "stages.0.1.conv2", "stages.1")
    assert both.graph_blocks["stages/1"] is first.graph_blocks["stages/1"]
    with pytest.raises(InputError, match="after: expected one block a place, got two for 'stag"):
        insert(both, {"stages.1": graph_block})


def test_blocks_that_come_later_may_be_for_another_size(cnn, net):
    sizes = []

    def make(place: Place) -> GraphBlock:
        sizes.append(place.height)
        return graph_block(place)

    assert insert(net, {"stages.0": make}).input_size == (3, 16, 16)
    later = {"stages.0": make}
    larger = insert(insert(cnn, PLACES, input_size=(3, 16, 16)), later, input_size=(3, 32, 32))
    assert larger.input_size == (3, 32, 32)
    assert sizes == [8, 16]


def test_places_stand_in_the_order_in_which_they_run(cnn):
    first = insert(cnn, {"stages.1": graph_block, "stages.0": graph_block}, input_size=(3, 16, 16))
    net = insert(first, {"stages.0.1.conv2": graph_block}, {"stages.0": Shift()})
    assert net.places == ("stages.0:before", "stages.0.1.conv2", "stages.0", "stages.1")
    assert list(net(torch.randn(VIDEO)).state) == list(net.places)


def test_many_places_get_a_block_each(cnn):
    told = []

    def make(place: Place) -> GraphBlock:
        told.append(place)
        return graph_block(place)

    net = insert(cnn, {("stages.0.*", "stages.1.1"): make}, input_size=(3, 16, 24))
    assert told == [
        Place("stages.0.0", 8, None, 8, 12),
        Place("stages.0.1", 8, None, 8, 12),
        Place("stages.1.1", 12, None, 4, 6),
    ]
    assert net.places == ("stages.0.0", "stages.0.1", "stages.1.1")


def test_a_3d_cnn_gives_clips():
    cnn = Clips().eval()
    told = []

    def make(place: Place) -> GraphBlock:
        told.append(place)
        return graph_block(place)

    net = insert(cnn, {"stem": make}, input_size=(3, 8, 16, 16)).eval()
    assert told == [Place("stem", 8, 4, 8, 8)]
    video = torch.randn(2, 8, 3, 16, 16)
    out = net(video)
    assert torch.equal(out.output, cnn(video.transpose(1, 2)))
    assert out.blocks["stem"].graph.num_graphs == 2 * 4
    assert not net.causal
    with pytest.raises(InputError, match="state: expected None: the 3D CNN needs the whole clip"):
        net(video, out.state)


def test_pieces_equal_the_whole(net):
    awake(net.double())
    video = torch.randn(VIDEO, dtype=torch.float64)
    whole = net(video).output
    state, pieces = None, []
    for t in range(3):
        output, _, state = net(video[:, t : t + 1], state)
        pieces.append(output)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-10, rtol=0)


def test_a_state_is_refused_where_a_block_needs_the_whole_clip(cnn):
    def make(place: Place) -> GraphBlock:
        return graph_block(place, lambda c, edges: ConstantRegions(c, 4, edges=edges))

    net = insert(cnn, {"stages.0": make, "stages.1": graph_block}, input_size=(3, 16, 16))
    assert not net.causal
    state = net(torch.randn(VIDEO)).state
    with pytest.raises(InputError, match=r"state: expected None: \['stages.0'\] need the whole"):
        net(torch.randn(VIDEO), state)


def test_gradients_are_those_of_the_same_network_written_out(net):
    awake(net.double())
    cnn = remove(net)
    video = torch.randn(VIDEO, dtype=torch.float64)
    parameters = list(net.parameters())
    found = torch.autograd.grad(net(video).output.sum(), parameters, allow_unused=True)

    def block(name: str, maps: Tensor) -> Tensor:
        features = net.graph_blocks[name](maps.unflatten(0, (2, 3))).features
        return features.flatten(0, 1)

    x = cnn.stem(video.flatten(0, 1)).relu() + cnn.offset
    x = cnn.stages[0][0](x)
    last = cnn.stages[0][1]
    inside = block("stages/0/1/conv2", last.conv2(last.norm(last.conv1(x)).relu()))
    x = (x + inside).relu()
    x = block("stages/1", cnn.stages[1](x)).relu()
    expected = torch.autograd.grad(cnn.fc(x.mean((2, 3))).sum(), parameters, allow_unused=True)
    torch.testing.assert_close(found, expected)
    assert sum(grad is not None for grad in found) > 20


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_around_and_inside(reentrant):
    torch.manual_seed(0)
    net = awake(insert(CNN(again=True), PLACES, input_size=(3, 16, 16)).double().eval())
    video = torch.randn(VIDEO, dtype=torch.float64)
    parameters = [p for n, p in net.named_parameters() if "idle" not in n]
    for module in net.modules():
        if isinstance(module, Residual):
            module.again = False
    expected = torch.autograd.grad(net(video).output.sum(), parameters)
    net.stages[0][1].again = True
    two = net(video).output.sum() + net(2 * video).output.sum()  # two calls, then both backwards
    second = torch.autograd.grad(net(2 * video).output.sum(), parameters)
    found = torch.autograd.grad(two, parameters)
    for a, b, c in zip(found, expected, second, strict=True):
        torch.testing.assert_close(a, b + c)
    net.zero_grad()
    video.requires_grad_()
    checkpoint(lambda v: net(v).output, video, use_reentrant=reentrant).sum().backward()
    for parameter, grad in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, grad)


class Shifted(NamedTuple):
    features: Tensor
    state: None = None


class Shift(nn.Module):
    """A block of a line."""

    causal = True

    def forward(self, features: Tensor, state: None = None) -> Shifted:
        return Shifted(features + features.mean(1, keepdim=True))


@pytest.mark.slow
@pytest.mark.parametrize("block", [graph_block, lambda _: Shift()])
def test_it_compiles_once(cnn, block):
    net = awake(insert(cnn, dict.fromkeys(PLACES, block), input_size=(3, 16, 16))).eval()
    video = torch.randn(VIDEO)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    stats = torch._dynamo.utils.counters["stats"]
    compiled = torch.compile(net, backend="eager")
    graphs = []
    with torch.no_grad():
        for number in range(4):
            clip = video + number
            torch.testing.assert_close(compiled(clip).output, net(clip).output)
            graphs.append(stats["unique_graphs"])
    assert graphs[1:] == graphs[1:2] * 3
    assert graphs[-1] == 1


def test_it_runs_distributed(net, tmp_path):
    awake(net.double())
    video = torch.randn(VIDEO, dtype=torch.float64)
    net(video).output.sum().backward()
    expected = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        wrapped = nn.parallel.DistributedDataParallel(net, find_unused_parameters=True)
        wrapped(video).output.sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    found = {name: p.grad for name, p in net.named_parameters() if name in expected}
    torch.testing.assert_close(found, expected)


def test_calls_may_run_at_once(net):
    awake(net)
    videos = [torch.randn(1, t, 3, 16, 16) for t in (1, 2, 3, 4, 5, 6)]
    with torch.no_grad():
        expected = [net(video).output for video in videos]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda video: net(video).output, videos * 5))
    for number, output in enumerate(found):
        torch.testing.assert_close(output, expected[number % 6])


def test_copies_and_files(net):
    awake(net)
    video = torch.randn(VIDEO)
    twin = copy.deepcopy(net)
    twin.double()
    assert net.offset.dtype == torch.float32
    assert remove(twin).offset.dtype == torch.float64
    twin.float()
    torch.testing.assert_close(twin(video).output, net(video).output)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = insert(CNN().eval(), PLACES, input_size=(3, 16, 16)).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other(video).output, net(video).output)


def test_modes_and_batch_norm_are_the_cnns(cnn):
    net = insert(cnn, PLACES, input_size=(3, 16, 16))
    assert not net.training
    before = cnn.stages[0][0].norm.running_mean.clone()
    net.train()
    net(torch.randn(VIDEO))
    assert not torch.equal(cnn.stages[0][0].norm.running_mean, before)
    assert cnn.stages[0][0].norm.num_batches_tracked == 1


def test_modes_reach_a_part_that_came_later(net):
    net.fc = nn.Sequential(nn.Dropout(), nn.Linear(12, 5))
    assert not net.eval().fc[0].training
    assert net.train().fc[0].training


def test_hooks_of_the_user_still_run(net):
    seen = []
    handle = net.stages[0][1].conv2.register_forward_hook(lambda *_: seen.append(1))
    net(torch.randn(VIDEO))
    handle.remove()
    assert seen == [1]


def test_a_cnn_that_cannot_run_on_the_meta_device():
    class Picky(CNN):
        def forward(self, x):
            if float(x.sum()) > 1e9:  # needs values
                return x
            return super().forward(x)

    net = insert(Picky(), PLACES, input_size=(3, 16, 16))
    assert net(torch.randn(VIDEO)).output.shape == (2, 3, 5)


def test_sizes_are_found_without_memory_where_a_cnn_allows_it():
    """With parameters, counters of norms, and weights that are norms of others."""
    seen = []

    class Watched(CNN):
        def forward(self, x):
            seen.append(x.device.type)
            return super().forward(x)

    cnn = Watched()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(cnn.stem)
    insert(cnn, PLACES, input_size=(3, 16, 16))
    assert seen == ["meta"]


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError, TypeError, ValueError])
def test_what_a_cnn_cannot_run_on_is_told_as_it_tells_it(kind):
    class Picky(CNN):
        def __init__(self, said: str | None) -> None:
            super().__init__()
            self.said = said

        def forward(self, x):
            if x.is_meta:
                raise kind
            if self.said is not None:
                raise kind(self.said)
            return super().forward(x)

    assert insert(Picky(None), PLACES, input_size=(3, 16, 16)).places == tuple(PLACES)
    for said, told in ((" first\nsecond", "first"), ("", kind.__name__)):
        with pytest.raises(InputError, match=rf"what Picky takes, got \(3, 16, 16\) \({told}\)"):
            insert(Picky(said), PLACES, input_size=(3, 16, 16))


def test_a_name_that_is_like_no_other_is_told_the_first_ones(cnn):
    first = ["stem", "stages", "stages.0", "stages.0.0", "stages.0.0.conv1"]
    with pytest.raises(InputError, match=re.escape(f"names of modules, such as {first}, got 'zz'")):
        insert(cnn, {"zz": graph_block}, input_size=(3, 16, 16))
    with pytest.raises(InputError, match=r"such as \['stages', [^\]]*\], got 'stagess'"):
        insert(cnn, {"stagess": graph_block}, input_size=(3, 16, 16))


def test_a_classifier_of_frames(net):
    model = CNNClassifier(awake(net).double(), 5)
    video = torch.randn(VIDEO, dtype=torch.float64)
    whole = model(video)
    torch.testing.assert_close(whole.logits, net(video).output.mean(1))
    assert list(whole.graphs) == list(PLACES)
    assert whole.graph is whole.graphs["stages.1"]
    state = None
    for t in range(3):
        answer = model(video[:, t : t + 1], state)
        state = answer.state
    torch.testing.assert_close(answer.logits, whole.logits, atol=1e-10, rtol=0)
    with pytest.raises(InputError, match="logits: expected"):
        CNNClassifier(net, 4)(video)
    with pytest.raises(InputError, match="state: expected"):
        model(torch.randn(3, 1, 3, 16, 16, dtype=torch.float64), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"after": {"stages.9": graph_block}}, r"after: expected names of modules, such as \['st"),
        ({"after": {}, "before": {"stem.*": graph_block}}, "before: expected names of modules"),
        ({"after": {"idle": graph_block}}, "idle: expected a module that the CNN runs, got one "),
        ({"after": {"shared": graph_block}}, "shared: expected a module that the CNN runs once"),
        ({"after": {"fc": graph_block}}, r"fc: expected a map \[F, C, H, W\], got \[2, 5\]"),
        ({"after": {"stem": nn.Identity()}}, "block of 'stem': expected a block that says"),
        ({"after": {"stem": lambda _: 3}}, "block of 'stem': expected an nn.Module, got int"),
        ({"after": PLACES, "input_size": None}, r"input_size: expected \(c, H, W\) or"),
        ({"after": PLACES, "input_size": (3, 0, 4)}, "input_size: expected a whole number"),
        ({"after": PLACES, "input_size": (4, 16, 16)}, "input_size: expected what CNN takes, got"),
    ],
)
def test_bad_places_are_refused(cnn, options, message):
    with pytest.raises(InputError, match=message):
        insert(cnn, **{"input_size": (3, 16, 16), **options})


def test_bad_blocks_are_refused(cnn):
    block = graph_block(Place("", 8, None, 4, 4))
    with pytest.raises(InputError, match=r"block of 'stages.1': expected 12 channels, got 8"):
        insert(cnn, {"stages.1": block}, input_size=(3, 16, 16))
    with pytest.raises(InputError, match="function that makes a block for each of"):
        insert(cnn, {"stages.0.*": block}, input_size=(3, 16, 16))
    with pytest.raises(InputError, match="net: expected what `insert` returned, got CNN"):
        remove(cnn)
    with pytest.raises(InputError, match=r"net: expected an nn\.Module, got int"):
        insert(3, {}, input_size=(3, 16, 16))


def test_bad_calls_are_refused(net):
    state = net(torch.randn(VIDEO)).state
    with pytest.raises(
        InputError, match=r"video: expected \[B, T, 3, H, W\], got \[2, 3, 16, 16\]"
    ):
        net(torch.randn(2, 3, 16, 16))
    with pytest.raises(InputError, match="state: expected the states of"):
        net(torch.randn(VIDEO), {"stages.1": state["stages.1"]})
    with pytest.raises(InputError, match=r"state: expected the states of .*'stages\.9'"):
        net(torch.randn(VIDEO), {**state, "stages.9": state["stages.1"]})
    with pytest.raises(InputError, match="state: expected the states of"):
        net(torch.randn(VIDEO), 3)
    with pytest.raises(InputError, match="state: expected"):
        net(torch.randn(1, 1, 3, 16, 16), state)


def test_names_may_be_anything(cnn):
    odd = nn.ModuleDict({"places": nn.Conv2d(3, 8, 3)})._modules
    net = nn.Sequential()
    net._modules.update(odd, type=nn.Conv2d(8, 8, 3), causal=nn.Flatten(), end=nn.Linear(1152, 5))
    inserted = insert(net, {"places": graph_block, "type": graph_block}, input_size=(3, 16, 16))
    assert inserted.places == ("places", "type")
    assert list(inserted(torch.randn(VIDEO)).state) == ["places", "type"]
    net._modules["a/b"] = nn.Identity()
    with pytest.raises(InputError, match="after: expected names without '/'"):
        insert(net, {"a/b": graph_block}, input_size=(3, 16, 16))


def test_other_peoples_wrappers(cnn):
    video = torch.randn(VIDEO)
    nn.utils.parametrizations.spectral_norm(cnn.stages[1][0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(cnn.stages[0][0].conv1)
    traced = torch.fx.symbolic_trace(cnn)
    for module in (cnn, traced):
        net = insert(module.eval(), {"stages.0.1.conv2": graph_block}, input_size=(3, 16, 16))
        plain = module(video.flatten(0, 1)).unflatten(0, (2, 3))
        assert torch.equal(net(video).output, plain)
    cnn.stages[0].compile(backend="eager")
    net = insert(cnn, {"stages.0.1.conv2": graph_block}, input_size=(3, 16, 16))
    assert torch.equal(net(video).output, plain)


def test_what_a_block_may_not_do(cnn):
    class Bare(nn.Module):
        causal = True

        def forward(self, features, state=None):
            return features

    class Narrow(Shift):
        def forward(self, features, state=None):
            return Shifted(features[:, :, :1])

    for block, message in (
        (Bare(), r"block of 'stem': expected a result with `features` \[2, 3, 8, 8, 8\]"),
        (Narrow(), r"block of 'stem': expected .*, got \[2, 3, 1, 8, 8\]"),
    ):
        net = insert(cnn, {"stem": block}, input_size=(3, 16, 16))
        with pytest.raises(InputError, match=message):
            net(torch.randn(VIDEO))
    shared = graph_block(Place("", 8, None, 8, 8))
    with pytest.raises(InputError, match=r"block of 'stages\.0': expected one of its own"):
        insert(cnn, {"stem": shared, "stages.0": shared}, input_size=(3, 16, 16))
    assert not insert(cnn.eval(), {"stem": shared.train()}, input_size=(3, 16, 16)).training
    assert not shared.training
    with pytest.raises(InputError, match=r"video: expected no size of 0, got \[0, "):
        insert(cnn, {}, input_size=(3, 16, 16))(torch.randn(0, 3, 3, 16, 16))


@pytest.mark.parametrize("way", ["split", "mixed"])
def test_maps_whose_first_size_is_not_that_of_the_images_are_no_place(way):
    class Windows(nn.Module):
        def forward(self, x):
            if way == "split":  # four windows of an image
                return x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).movedim(2, 1).flatten(0, 1)
            return x.mean(0, keepdim=True)

    cnn = nn.Sequential(nn.Conv2d(3, 4, 1), Windows(), nn.Flatten(), nn.LazyLinear(5))
    cnn(torch.rand(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"1: expected a map \[F, C, H, W\], got"):
        insert(cnn, {"1": graph_block}, input_size=(3, 8, 8))


def test_a_place_that_several_patterns_name_has_one_block(cnn):
    net = insert(cnn, {("stages.*", "stages.1", "stages.0.*"): graph_block}, input_size=(3, 16, 16))
    assert sorted(net.places) == ["stages.0", "stages.0.0", "stages.0.1", "stages.1"]
