from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges
from stgraph.graph import as_clips, to_dense
from stgraph.layers import (
    Broadcast,
    ClipMapNorm,
    FrameMapNorm,
    KernelPosition,
    NodeNorm,
    PerNode,
    Readout,
    Remap,
    Scaled,
    SpaceLayer,
    TemporalLayer,
    TimeLayer,
)
from stgraph.model import GraphStage, State, detached
from stgraph.nodes import DynamicRegions, GridNodes, NodeExtractor, NodeState, Regions

NORMS = {
    "frame": FrameMapNorm,
    "clip": partial(ClipMapNorm, eps=1e-12),
    "scaled": lambda channels: Scaled(ClipMapNorm(channels, 1e-12, scale=False)),
}


def grid_net(channels: int = 8) -> SpaceTimeGraph:
    return SpaceTimeGraph(
        nodes=GridNodes(channels, (3, 2, 1), edges=GridEdges((3, 2, 1))),
        layers={
            "norm": PerNode(nn.LayerNorm(channels)),
            "time": TimeLayer(nn.LSTM(channels, channels)),
            "space": SpaceLayer(channels),
            "last": TimeLayer(nn.GRU(channels, 6)),
        },
        schedule=("norm", *("time", "space") * 3, "last"),
    )


def dynamic_net(channels: int = 8) -> SpaceTimeGraph:
    return SpaceTimeGraph(
        nodes=DynamicRegions(channels, edges=FullEdges(), alpha=(0.2, 0.2, 0.5, 0.5)),
        layers={
            "position": KernelPosition(channels, 7, 9),
            "norm": NodeNorm(channels),
            "time": TimeLayer(nn.GRU(channels, channels)),
            "space": SpaceLayer(channels, path="sparse"),
        },
        schedule=("position", "norm", *("time", "space") * 2),
    )


NETS = {"grid": grid_net, "dynamic": dynamic_net}


@pytest.fixture(params=NETS)
def net(request) -> SpaceTimeGraph:
    return NETS[request.param]().double()


def maps(*lead: int) -> torch.Tensor:
    return torch.randn(*lead, 8, 7, 9, dtype=torch.float64)


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1, 1), (2, 3), (4, 1)])
def test_streaming_equals_offline(net, cuts):
    features = maps(2, 5)
    whole = net(features)
    state, pieces = None, []
    for piece in features.split(cuts, dim=1):
        out = net(piece, state)
        state = out.state
        pieces.append(to_dense(out.x, out.graph))
    expected = to_dense(whole.x, whole.graph)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, atol=1e-10, rtol=0)


def test_every_place_of_the_schedule_has_its_own_memory():
    net = grid_net().double()
    _, _, state = net(maps(1, 3))
    assert [memory is None for memory in state.layers] == [
        True,
        *(False, True) * 3,
        False,
    ]
    first, second = state.layers[1][0], state.layers[3][0]
    assert not torch.equal(first, second)
    names = dict(net.named_parameters())
    assert sum("time" in name for name in names) == 4  # one LSTM, however often it runs


def test_the_future_does_not_change_the_past(net):
    features = maps(1, 4)
    out = net(features)
    later = features.clone()
    later[:, 3] = torch.randn_like(later[:, 3])
    changed = net(later)
    before, after = to_dense(out.x, out.graph), to_dense(changed.x, changed.graph)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3], before[:, 3])


def test_forward_leaves_nothing_on_the_modules(net):
    before = {name: dict(vars(module)) for name, module in net.named_modules()}
    net(maps(1, 2))
    for name, module in net.named_modules():
        assert vars(module).keys() == before[name].keys(), name
        for key, value in vars(module).items():
            if key not in {"_parameters", "_buffers", "_modules"}:
                assert value is before[name][key], (name, key)


def test_a_block_is_an_identity_at_the_start(net):
    block = GraphBlock(net).double()
    features = maps(2, 3)
    assert torch.equal(block(features).features, features)
    wide = GraphBlock(net, channels=20).double()
    features = torch.randn(2, 3, 20, 7, 9, dtype=torch.float64)
    assert torch.equal(wide(features).features, features)


def test_a_block_learns_from_its_first_step(net):
    block = GraphBlock(net).double()
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    features, wanted = maps(2, 3), maps(2, 3)
    for _ in range(2):  # the first step opens the norm, the second reaches what is behind it
        optimizer.zero_grad()
        (block(features).features - wanted).square().sum().backward()
        optimizer.step()
    assert not torch.equal(block(features).features, features)
    extractor = [p.grad for p in block.net.nodes.parameters()]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in extractor)


@pytest.mark.parametrize("maker", NORMS.values(), ids=NORMS)
def test_the_norm_of_the_residual_is_a_part(net, maker):
    block = GraphBlock(net, norm=maker).double()
    features = maps(2, 3)
    out = block(features)
    assert torch.equal(out.features, features)
    nn.init.normal_(block.norm.weight)
    out = block(features)
    added = block.norm(
        block.project_out(block.remap(out.x, out.graph).flatten(0, 1)).view_as(features)
    )
    torch.testing.assert_close(out.features, features + added)
    streams = isinstance(block.norm, FrameMapNorm)
    assert block.causal == streams
    if not streams:
        with pytest.raises(InputError, match=r"state: expected None: \['norm"):
            block(features, out.state)


def test_norms_have_an_epsilon_wherever_they_are(net):
    features = torch.randn(2, 3, 20, 7, 9, dtype=torch.float64) * 1e-3
    block = GraphBlock(net, 20).double()
    given = GraphBlock(
        net, 20, norm=partial(FrameMapNorm, eps=0.1), norm_in=lambda c: nn.GroupNorm(1, c, 0.2)
    ).double()
    given.load_state_dict(block.state_dict())
    assert (given.norm.eps, given.project_in[1].eps) == (0.1, 0.2)
    assert not torch.allclose(given(features).x, block(features).x)
    with pytest.raises(InputError, match="norm_in: expected None: there is no convolution in"):
        GraphBlock(net, norm_in=nn.BatchNorm2d)
    with pytest.raises(InputError, match="norm: expected a norm with a weight to start at 0"):
        GraphBlock(net, norm=lambda channels: ClipMapNorm(channels, scale=False))


def test_of_a_stage_nothing_but_the_graph_goes_on(net):
    stage = GraphStage(net, 20, Broadcast()).double()
    features = torch.randn(2, 3, 20, 7, 9, dtype=torch.float64)
    out = stage(features)
    assert out.features.shape == features.shape
    vector = Readout()(out.x, out.graph) @ stage.project_out.weight[:, :, 0, 0].T
    expected = vector + stage.project_out.bias
    torch.testing.assert_close(out.features.mean((1, 3, 4)), expected)
    assert not stage.causal
    with pytest.raises(InputError, match=r"state: expected None: \['remap'\] need the whole clip"):
        stage(features, out.state)


def test_any_layer_that_needs_the_whole_clip_says_so():
    class Whole(nn.Module):
        causal = False

        def forward(self, x, graph):
            return x - x.mean()

    net = SpaceTimeGraph(GridNodes(8, (2,)), {"whole": Whole()}, ("whole",))
    assert not net.causal


def test_blocks_stream(net):
    block = GraphBlock(net, channels=20).double()
    nn.init.ones_(block.norm.weight)
    features = torch.randn(2, 4, 20, 7, 9, dtype=torch.float64)
    whole = block(features).features
    state, pieces = None, []
    for t in range(4):
        out = block(features[:, t : t + 1], state)
        state = out.state
        pieces.append(out.features)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-10, rtol=0)


def test_a_pipeline_of_user_classes_only():
    class Halves(NodeExtractor):
        def regions(self, features, state=None):
            b, t, _, h, w = features.shape
            kernel = features.new_zeros(b, t, 2, h, w)
            kernel[:, :, 0, :, : w // 2] = 1
            kernel[:, :, 1, :, w // 2 :] = 1
            box = features.new_tensor([[0, 0, 0.5, 1], [0.5, 0, 1, 1]]).expand(b, t, 2, 4)
            return Regions(kernel, box), None

    class Mean(nn.Module):
        def forward(self, x, graph):
            dense = to_dense(x, graph)
            return dense.mean(2, keepdim=True).expand_as(dense).flatten(0, 2)

    class Sum(TemporalLayer):
        def forward(self, x, graph, state=None):
            dense = to_dense(x, graph).cumsum(1) + (0 if state is None else state)
            return dense.flatten(0, 2), dense[:, -1:]

    net = SpaceTimeGraph(Halves(8), {"a": Mean(), "b": Sum()}, ("a", "b"))
    features = maps(1, 3)
    x, graph, _ = net(features)
    halves = torch.stack([features[..., :4].mean((-1, -2)), features[..., 4:].mean((-1, -2))], 2)
    expected = halves.mean(2, keepdim=True).expand_as(halves).cumsum(1)
    torch.testing.assert_close(to_dense(x, graph), expected)
    assert Remap()(x, graph).shape == features.shape


def test_bad_nets_are_refused():
    grid = GridNodes(8)
    space = SpaceLayer(8)
    with pytest.raises(InputError, match=r"schedule: expected names among \['space'\], got 'time'"):
        SpaceTimeGraph(grid, {"space": space}, ("time", "space"))
    with pytest.raises(InputError, match=r"layers: expected layers that the schedule names"):
        SpaceTimeGraph(grid, {"space": space, "more": space}, ("space",))
    with pytest.raises(InputError, match="schedule: expected a tuple"):
        SpaceTimeGraph(grid, {"space": space}, "space")
    with pytest.raises(InputError, match=r"layers\['space'\]: expected 8 channels in, got 4"):
        SpaceTimeGraph(grid, {"space": SpaceLayer(4)}, ("space",))
    layers = {"a": TimeLayer(nn.GRU(8, 6)), "time": TimeLayer(nn.GRU(8, 8))}
    with pytest.raises(InputError, match=r"layers\['time'\]: expected 6 channels in, got 8"):
        SpaceTimeGraph(grid, layers, ("a", "time"))
    with pytest.raises(InputError, match="nodes: expected a NodeExtractor, got Identity"):
        SpaceTimeGraph(nn.Identity(), {"space": space}, ("space",))
    with pytest.raises(InputError, match="layers: expected names that a module can have"):
        SpaceTimeGraph(grid, {"a.b": space}, ("a.b",))
    with pytest.raises(InputError, match="channels: expected a whole number of at least 1, got 0"):
        GraphBlock(grid_net(), channels=0)


def test_bad_states_are_refused(net):
    _, _, state = net(maps(2, 2))
    with pytest.raises(InputError, match="state: expected"):
        net(maps(3, 1), state)
    with pytest.raises(InputError, match="state: expected a State of"):
        net(maps(2, 1), (state.nodes, state.layers))
    with pytest.raises(InputError, match="state: expected a State of"):
        net(maps(2, 1), state._replace(schedule=state.schedule[::-1]))
    with pytest.raises(InputError, match="state: expected the NodeState"):
        net.nodes(maps(2, 1), (1, 2, 3))


def test_what_needs_the_whole_clip_refuses_a_state():
    class Centred(TemporalLayer):
        causal = False

        def forward(self, x, graph, state=None):
            dense = to_dense(x, graph)
            return (dense - dense.mean(1, keepdim=True)).flatten(0, 2), None

    net = SpaceTimeGraph(GridNodes(8, (2,)), {"centred": Centred()}, ("centred",)).double()
    assert not net.causal
    _, _, state = net(maps(1, 3))
    with pytest.raises(InputError, match=r"state: expected None: \['layers.centred'\] need the wh"):
        net(maps(1, 1), state)


def test_a_detached_state_trains_on_a_stream(net):
    state = None
    for _ in range(3):
        x, _, state = net(maps(1, 2), state)
        x.sum().backward()  # would reach back into freed graphs
        state = detached(state)
    assert isinstance(state.nodes, NodeState)
    assert state.nodes.clock == 6
    assert not any(part.requires_grad for memory in state.layers if memory for part in memory)


def test_states_of_any_nesting_are_detached():
    part = torch.ones(2, requires_grad=True) * 2
    state = {"layer3": {"norm": (part, None)}, "layer4": [part, State(None, ("time",), (part,))]}
    after = detached(state)
    found = [after["layer3"]["norm"][0], after["layer4"][0], after["layer4"][1].layers[0]]
    assert not any(each.requires_grad for each in found)
    assert after["layer4"][1].schedule == ("time",)


@pytest.mark.slow
def test_blocks_compile(net):
    block = GraphBlock(net).double()
    nn.init.ones_(block.norm.weight)
    features = maps(1, 2)
    with torch.no_grad():
        compiled = torch.compile(block, backend="eager")(features)
        torch.testing.assert_close(compiled.features, block(features).features)


def test_stored_graphs_go_through_the_schedule_as_features_do(net):
    """In one piece and frame by frame, and the state knows no extractor."""
    features = maps(2, 4)
    whole = net(features)
    stored = Batch.from_data_list(whole.graph.to_data_list())
    out = net.process(stored)
    torch.testing.assert_close(out.x, whole.x)
    assert out.state.nodes is None
    state, pieces = None, []
    for frame in range(4):
        chosen = [stored[clip * 4 + frame] for clip in range(2)]
        piece = net.process(as_clips(Batch.from_data_list(chosen), 1), state)
        state = piece.state
        pieces.append(piece.x.unflatten(0, (2, 1, -1)))
    torch.testing.assert_close(torch.cat(pieces, 1).flatten(0, 2), whole.x)
    with pytest.raises(InputError, match="state: expected a State of nodes and layers"):
        net(features, state)
    later = net(features, whole.state)
    torch.testing.assert_close(net.process(later.graph, whole.state).x, later.x)
    with pytest.raises(InputError, match=r"graph.x: expected \[V, 8\]"):
        net.process(Data(x=stored.x[:, :4], layout=stored.layout, node_id=stored.node_id))
    with pytest.raises(InputError, match="state: expected a State of"):
        net.process(stored, 3)


@pytest.mark.parametrize("channels", [8, 20])
@pytest.mark.parametrize("padded", [False, True])
def test_a_block_that_writes_maps_once_equals_its_parts_one_by_one(net, channels, padded):
    block = GraphBlock(net, channels, norm=partial(FrameMapNorm, eps=0.1)).double()
    nn.init.normal_(block.norm.weight)
    features = torch.randn(2, 5, channels, 7, 9, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [False, True, True, False, True]]) if padded else None
    leaves = [features, *block.parameters()]

    def run() -> list[torch.Tensor]:
        out = block(features, frame_mask=mask).features
        return [out, *torch.autograd.grad(out.square().sum(), leaves)]

    once = run()
    called = []
    for part in (block.remap, block.norm, block.project_out):  # a module with a hook is called
        part.register_forward_hook(lambda *_: called.append(1))
    one_by_one = run()
    assert len(called) >= 3
    for one, other in zip(once, one_by_one, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda width: nn.Conv2d(width, 20, 3, padding=1),
        lambda width: nn.Sequential(nn.Conv2d(width, 20, 1), nn.ReLU()),
        lambda width: nn.Conv2d(width, 20, 1, bias=False),
    ],
    ids=["3x3", "two", "no bias"],
)
def test_maps_are_projected_by_any_module(net, make):
    block = GraphBlock(net, 20)
    nn.init.normal_(block.norm.weight)
    block.project_out = make(block.project_out.in_channels)
    block.double()
    features = torch.randn(2, 5, 20, 7, 9, dtype=torch.float64)
    out = block(features)
    maps = block.project_out(block.remap(out.x, out.graph).flatten(0, 1)).view_as(features)
    torch.testing.assert_close(out.features, features + block.norm(maps))
