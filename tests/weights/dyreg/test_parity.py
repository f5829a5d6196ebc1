"""Official blocks and models, against a plain forward pass (`benchmarks/straightforward.py`)."""

from __future__ import annotations

import argparse
import copy
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_dyreg import PLAIN, doubles, forward, graph_forward, relative

from stgraph import GraphBlock, recipes
from stgraph.backbones import TemporalShift
from stgraph.checks import InputError
from stgraph.layers import MeanGather
from stgraph.nodes import grid_anchors, official_small_generator
from stgraph.weights import (
    block_from_official,
    from_pretrained,
    load_official,
    model_from_official,
    save_pretrained,
)
from stgraph.weights.dyreg.recognise import note_recipe

STRUCTURES = {
    "as released": {},
    "LSTM": {"gates": 4, "region_gates": 4},
    "LSTM in the graph alone": {"gates": 4},
    "two layers to send": {"send": (8, 8)},
    "concatenated": {"send": (16,)},
    "concatenated, two layers": {"send": (16, 8), "update": (16, 8)},
    "one layer to update": {"update": (8,)},
    "one layer to update, concatenated": {"send": (16, 8), "update": (16,)},
    "two layers to update": {"gates": 4, "update": (8, 8)},
    "no projection": {"channels": 8},
    "grid": {"grid": True, "nodes": 9, "update": (8,)},
}


def compare(weights, channels, side, **options):
    """Outputs, kernels and gradients of a converted block, in double."""
    weights = doubles(weights)
    block = block_from_official(weights, rounds=2, **options).double().eval()
    features = torch.randn(2, 3, channels, side, side, dtype=torch.float64)
    found, expected = features.clone().requires_grad_(), features.clone().requires_grad_()
    out = block(found)
    theirs = graph_forward(expected.flatten(0, 1), weights, 3, 2, **options).view_as(features)
    # alone, for the residual would hide it
    assert relative(out.features - features, theirs - features) < 1e-6
    ramp = torch.linspace(-1, 1, features.numel(), dtype=torch.float64).view_as(features)
    mine = torch.autograd.grad((out.features * ramp).sum(), found)[0]
    grad = torch.autograd.grad((theirs * ramp).sum(), expected)[0]
    assert relative(mine - ramp, grad - ramp) < 1e-5


@pytest.mark.parametrize("side", [7, 14, 16, 28])
@pytest.mark.parametrize("small", [False, True], ids=["large", "small"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_converted_block_is_the_official_one(block_weights, name, small, side):
    options = STRUCTURES[name]
    weights = block_weights(side, small=small, **options)
    compare(weights, options.get("channels", 12), side)


@pytest.mark.parametrize("side", [8, 32, 56])
def test_blocks_for_other_maps_too(block_weights, side):
    compare(block_weights(side), 12, side)


def test_what_leaves_no_trace_is_told(block_weights):
    compare(block_weights(7), 12, 7, aggregation="mean")  # with weights of an attention
    bare = {k: v for k, v in block_weights(7).items() if ".att_q" not in k and ".att_k" not in k}
    compare(bare, 12, 7, aggregation="mean")
    assert isinstance(block_from_official(bare).net.layers["space"].gather, MeanGather)
    for send in ((16,), (16, 8)):
        compare(block_weights(7, send=send), 12, 7, first="target")
        compare(block_weights(7, send=send), 12, 7, first="target", aggregation="mean")
    with pytest.raises(InputError, match="first: expected one of 'sender', 'target', got 'left'"):
        block_from_official(block_weights(7), first="left")
    with pytest.raises(InputError, match="aggregation: expected one of"):
        block_from_official(block_weights(7), aggregation="max")


def test_a_projection_may_keep_the_width(block_weights):
    graph, weights, wider = "dynamic_graph.", block_weights(7, 8), block_weights(7, 12)
    for name in ("project_i3d_linear.bias", "norm_dict.dynamic_graph_projection.scale"):
        weights[graph + name] = wider[graph + name]
    shift = f"{graph}norm_dict.dynamic_graph_projection.bias"
    weights[shift] = wider[shift]
    weights[f"{graph}project_i3d_linear.weight"] = wider[f"{graph}project_i3d_linear.weight"][:, :8]
    for part in ("weight", "bias"):
        name = f"{graph}project_back_i3d_linear.{part}"
        weights[name] = wider[name][:8]
    compare(weights, 8, 7)


def test_positions_that_are_no_sinusoid_are_taken_over(block_weights):
    weights = block_weights(7, small=True)
    weights["dynamic_graph.glore.pos_emb_buf"] = torch.rand(8, 7, 7)
    compare(weights, 12, 7)


def test_names_in_front_arrays_and_other_numbers(block_weights):
    weights = block_weights(7, send=(8, 8), update=(8, 8))
    expected = block_from_official(weights).state_dict()
    renamed = {
        "module.layer2.1." + key.replace("mlp.2.", "mlp.3."): value.numpy()
        for key, value in weights.items()
    }
    found = block_from_official(renamed).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    with pytest.raises(InputError, match=r"state\['dynamic_graph.x'\]: expected a tensor, got str"):
        block_from_official({"dynamic_graph.x": "text"})
    with pytest.raises(InputError, match="state: expected the weights of one block, got two with"):
        block_from_official(renamed | weights)
    narrow = dict(weights)
    narrow["dynamic_graph.rstg.att_q.weight"] = torch.zeros(4, 16)  # as many values
    with pytest.raises(InputError, match=r"att_q\.weight: expected weights \[8, 8\], got"):
        block_from_official(narrow)


def test_weights_of_one_map_run_on_another(block_weights):
    """Buffers have the size of the last map, weights that of the first, as in "full_res" tests."""
    weights = block_weights(14)
    for name in ("arange_h_buf", "arange_w_buf"):
        weights[f"dynamic_graph.{name}"] = torch.arange(16).float().view(1, 1, -1)
    for name in ("ph_buf", "pw_buf"):
        weights[f"dynamic_graph.{name}"] = torch.full((1, 4, 1), 8.0)
    block = block_from_official(weights).eval()
    assert block.net.nodes.generator.size == 14
    out = block(torch.randn(1, 2, 12, 16, 16))
    assert out.features.isfinite().all()
    torch.testing.assert_close(block.net.nodes.anchor, torch.full((4, 2), 0.5))


@pytest.mark.parametrize("name", ["r345", "r4_small_generator"])
def test_names_and_shapes_are_those_of_released_models(released, data_root: Path, name):
    file = data_root.parent / "fixtures" / f"official_tsm_r50_{name}_keys.txt"
    if not file.exists():
        pytest.skip("no lists of official names beside the data")
    theirs = dict(line.split(" ") for line in file.read_text().splitlines())
    mine = {key: "x".join(map(str, value.shape)) for key, value in released[name]().items()}
    assert mine == theirs


TRAINED = {"r345": 28_701_830, "r4_small_generator": 25_105_279 + 2 * 256}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_released_model_gives_the_official_logits(released, name, tmp_path):
    weights = released[name]()
    video = torch.randn(1, 2, 3, 224, 224)
    model, report = model_from_official(weights)
    assert not model.training
    assert set(report.used) == set(weights)
    assert report.skipped == report.missing == ()
    with torch.no_grad():
        answer, theirs = model(video), forward(video, weights)
        plain = forward(video, {k: v * 0 if "residual" in k else v for k, v in weights.items()})
    assert relative(answer.logits, theirs) < 1e-5
    assert relative(plain, theirs) > 1e-3  # what the graphs do is seen in the logits
    assert sum(p.numel() for p in model.parameters()) == TRAINED[name]
    again = from_pretrained(save_pretrained(model, tmp_path))  # its recipe was recognised
    with torch.no_grad():
        assert torch.equal(again(video).logits, answer.logits)


@pytest.mark.parametrize("options", [{"aggregation": "mean"}, {"first": "target"}])
def test_what_leaves_no_trace_is_told_of_whole_models_too(block_weights, model_weights, options):
    graphs = {"layer1.0.conv2": block_weights(16, 64, send=(16,))}
    weights = model_weights(graphs, depths=(1,), classes=5)
    model, report = model_from_official(weights, **options)
    head = "base_model.layer1.0.conv2.1."
    block = {k.removeprefix(head): v for k, v in weights.items() if k.startswith(head)}
    expected = block_from_official(block, **options).state_dict()
    found = model.net.graph_blocks["layer1/0/conv2"].state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    unused = [name for name in weights if ".att_q." in name or ".att_k." in name]
    assert list(report.skipped) == (unused if "aggregation" in options else [])


SMALL = {
    "LSTM, grid": {"gates": 4, "region_gates": 4, "grid": True, "nodes": 9},
    "two layers to send, lite": {"send": (8, 8), "small": True},
    "one layer to update": {"update": (8,)},
}


@pytest.mark.parametrize("options", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("bottleneck", [True, False])
def test_other_models_give_the_official_logits(block_weights, model_weights, options, bottleneck):
    graphs = {"layer1.0.conv2": block_weights(16, 64, **options)}
    shape = {"depths": (1, 1, 1), "bottleneck": bottleneck, "classes": 5, "channels": 1}
    weights = doubles(model_weights(graphs, **shape, shifted=bottleneck))
    model, report = model_from_official(weights, rounds=2)
    assert report.missing == ()
    video = torch.randn(2, 3, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        mine = model.double()(video).logits
        assert relative(mine, forward(video, weights, rounds=2)) < 1e-6


@pytest.mark.parametrize(("stage", "channels"), [(1, 64), (2, 128), (3, 256), (4, 512)])
def test_a_graph_may_be_in_any_stage(block_weights, model_weights, stage, channels):
    """Its embedding of positions says how large the frames are: here of 160 pixels."""
    place = f"layer{stage}.0.conv2"
    graphs = {place: block_weights(160 // 2 ** (stage + 1), channels)}
    shape = {"depths": (1, 1, 1, 1), "bottleneck": False, "classes": 5, "channels": 1}
    weights = doubles(model_weights(graphs, **shape, shifted=False))
    model, _ = model_from_official(weights)
    assert model.net.input_size == (1, 160, 160)
    video = torch.randn(1, 2, 1, 160, 160, dtype=torch.float64)
    with torch.no_grad():
        assert relative(model.double()(video).logits, forward(video, weights)) < 1e-6


@pytest.fixture
def small(block_weights, model_weights):
    """A small whole model, by its newer or older names."""

    def make(old=False, classes=5):
        torch.manual_seed(1)
        graphs = {
            "layer1.0.conv2": block_weights(16, 64),
            "layer2.1.conv2": block_weights(8, 128, small=True),
        }
        return model_weights(graphs, depths=(1, 2), classes=classes, old=old)

    return make


def logits(model):
    video = torch.linspace(-1, 1, 2 * 3 * 3 * 64 * 64).view(2, 3, 3, 64, 64).sin()
    with torch.no_grad():
        return model(video).logits


WRAPPED = {
    "older names": lambda make: make(old=True),
    "module": lambda make: {f"module.{k}": v for k, v in make().items()},
    "older, module, checkpoint": lambda make: {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in make(old=True).items()},
    },
    "no base_model": lambda make: {k.replace("base_model.", ""): v for k, v in make().items()},
    "fc": lambda make: {k.replace("new_fc", "base_model.fc"): v for k, v in make().items()},
    "no counters": lambda make: {k: v for k, v in make().items() if not k.endswith("tracked")},
}


@pytest.mark.slow
def test_names_may_be_wrapped_otherwise(small):
    expected = logits(model_from_official(small()).model)
    for name, wrap in WRAPPED.items():
        given = wrap(small)
        model, report = model_from_official(given)
        state = given.get("state_dict", given)
        assert set(report.used) | set(report.skipped) == set(state), name
        assert not set(report.used) & set(report.skipped), name
        assert report.skipped == (), name
        assert all(name.endswith("num_batches_tracked") for name in report.missing), name
        assert torch.equal(logits(model), expected), name


def test_of_two_classifiers_the_new_one_counts_wherever_it_stands(small):
    expected, told = logits(model_from_official(small()).model), small()
    former = {k.replace("new_fc", "base_model.fc"): -v for k, v in told.items() if "new_fc" in k}
    for given in ({**former, **told}, {**told, **former}):
        assert torch.equal(logits(model_from_official(given).model), expected)


def test_shifts_and_graphs_of_whole_residual_blocks_are_found_too(model_weights, block_weights):
    graph = block_weights(8, 128, 8)
    weights = model_weights({"layer2.0": graph}, depths=(1, 1), bottleneck=False, old=True)
    model, report = model_from_official(weights)
    assert report.skipped == report.missing == ()
    places = {"layer1.0.conv1:before", "layer2.0.conv1:before", "layer2.0"}
    assert set(model.net.places) == places
    newer = model_weights({"layer2.0": graph}, depths=(1, 1), bottleneck=False)
    assert set(model_from_official(newer).model.net.places) == places
    whole = {k.replace(".conv1.net", ".conv1"): v for k, v in weights.items()}
    whole = {k.replace("layer1.0.", "layer1.0.net."): v for k, v in whole.items()}
    assert set(model_from_official(whole).model.net.places) == {"layer1.0:before", "layer2.0"}
    pooled = {k.replace("layer2.", "layer2.net."): v for k, v in weights.items()}
    with pytest.raises(InputError, match=r"shifts of residual blocks or their conv1, got those of"):
        model_from_official(pooled)


def test_a_file_is_read_without_running_it(small, tmp_path):
    state = {f"module.{name}": value for name, value in small().items()}
    net = torch.nn.Linear(2, 2)
    net(torch.ones(2)).sum().backward()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    optimizer.step()
    checkpoint = {
        "epoch": 7,
        "arch": "resnet50",
        "state_dict": state,
        "optimizer": optimizer.state_dict(),
        "best_prec1": np.float64(51.25),
        "best": np.int64(3),
    }
    path = tmp_path / "ckpt.best.pth.tar"
    torch.save(checkpoint, path)
    model, report = model_from_official(path)
    assert set(report.used) | set(report.skipped) == set(state)
    assert torch.equal(logits(model), logits(model_from_official(small()).model))
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)  # as before PyTorch 1.6
    assert load_official(model, str(path)) == report


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_a_checkpoint_may_hold_a_number_of_numpy_and_a_counter(small, tmp_path, module):
    """As published ones do, of NumPy 1 and 2: the best accuracy, and the epochs of a schedule."""
    weights = {name: value.float() for name, value in small().items()}
    best = {"best_prec1": np.float64(0.5), "milestones": Counter([3, 5])}
    torch.save({"state_dict": weights, **best}, tmp_path / "whole.pth.tar")
    content = pickle.dumps(np.float64(0.5), 2)
    assert b"numpy._core" in content or b"numpy.core" in content
    path = tmp_path / "model.pth.tar"
    mine = b"numpy._core" if b"numpy._core" in content else b"numpy.core"
    torch.save({"state_dict": weights, **best}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(mine + b".multiarray", module + b".multiarray"))
    model, report = model_from_official(path)
    expected = model_from_official(weights).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert report.skipped == ()


class Trap:
    ran = False

    def __reduce__(self):
        return setattr, (Trap, "ran", True)


BAD = {
    "code": lambda path: torch.save({"state_dict": {}, "x": Trap()}, path),
    "options": lambda path: torch.save({"args": argparse.Namespace(a=1)}, path),
    "no pickle": lambda path: path.write_bytes(b"no weights at all"),
    "plain pickle": lambda path: path.write_bytes(pickle.dumps({"a": Trap()})),
    "empty": lambda path: path.write_bytes(b""),
    "no weights": lambda path: torch.save({"state_dict": {"a": 3}}, path),
    "list": lambda path: torch.save([torch.ones(1)], path),
    "numpy object": lambda path: torch.save({"a": np.array([Trap()], dtype=object)}, path),
}


@pytest.mark.parametrize("write", BAD.values(), ids=BAD)
def test_a_file_of_more_or_less_than_weights_is_refused(tmp_path, write):
    path = tmp_path / "model.pth.tar"
    write(path)
    with pytest.raises(InputError, match=r"source: expected a .*model\.pth\.tar"):
        model_from_official(path)
    assert not Trap.ran


def test_other_weights_are_refused(small, tmp_path):
    with pytest.raises(
        InputError, match=r"source: expected a checkpoint of .*nothing, which does not exist"
    ):
        model_from_official(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"expected weights of a residual network, got 0\.weight"):
        model_from_official({"0.weight": torch.ones(1)})
    weights = small()
    headless = {k: v for k, v in weights.items() if "new_fc" not in k}
    with pytest.raises(InputError, match="expected a classifier, `new_fc` or `fc`, got none"):
        model_from_official(headless)
    hole = {k: v for k, v in weights.items() if "layer1.0.bn2.bias" not in k}
    with pytest.raises(InputError, match=r"state: expected 1 more names \(layer1\.0\.bn2\.bias\)"):
        model_from_official(hole)
    less = {k: v for k, v in weights.items() if "offset_pred.bias" not in k}
    with pytest.raises(InputError, match=r"graph at 'layer1\.0\.conv2': .*offset_pred\.bias`, got"):
        model_from_official(less)
    more = weights | {"base_model.layer1.0.conv2.1.dynamic_graph.rstg.att_v": torch.ones(1)}
    with pytest.raises(InputError, match=r"parameters of a DyReG block only, got .*rstg\.att_v"):
        model_from_official(more)


@pytest.mark.parametrize("stages", [(), (2,), (1, 3), (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("stem", [True, False])
def test_a_residual_network_has_a_stem_and_up_to_five_stages_without_a_gap(stages, stem):
    state = {"conv1.weight": torch.ones(64, 3, 7, 7)} if stem else {}
    state |= {"fc.weight": torch.ones(2, 1024), "fc.bias": torch.ones(2)}
    state |= {f"layer{stage}.0.conv1.weight": torch.ones(1) for stage in stages}
    message = f"weights of a residual network, got {', '.join([*state][:3])}, …"
    if stem and len(stages) == 5:  # it is built then, and what does not fit is told
        message = r"state\['layer1.0.conv1.weight'\]: expected \[64, 64, 3, 3\]"
    with pytest.raises(InputError, match=message):
        model_from_official(state)


@pytest.mark.parametrize("nodes", [6, 8])
def test_regions_that_make_no_square_may_start_anywhere(block_weights, model_weights, nodes):
    graph, rows = block_weights(16, 64, nodes=nodes), torch.arange(nodes).view(1, nodes, 1)
    graph["dynamic_graph.ph_buf"] = graph["dynamic_graph.ph_buf"] + rows
    del graph["dynamic_graph.arange_w_buf"]  # as many cells as the other one
    weights = model_weights({"layer1.0.conv2": graph}, depths=(1,), classes=5)
    model, report = model_from_official(weights)
    assert set(report.used) == set(weights)
    anchor = model.net.graph_blocks["layer1/0/conv2"].net.nodes.anchor
    torch.testing.assert_close(anchor[:, 0], 0.5 + rows.flatten() / 16)
    assert not hasattr(model, "recipe")


def test_graphs_may_have_another_number_of_regions_each(block_weights, model_weights):
    graphs = {
        "layer1.0.conv2": block_weights(16, 64, nodes=9, grid=True),
        "layer2.0.conv2": block_weights(8, 128, nodes=6),
    }
    model, _ = model_from_official(model_weights(graphs, depths=(1, 1), bottleneck=False))
    blocks = [part for part in model.net.graph_blocks.values() if isinstance(part, GraphBlock)]
    assert [block.net.nodes.num_nodes for block in blocks] == [9, 6]
    assert not hasattr(model, "recipe")


def test_names_that_are_not_understood_are_reported(small):
    more = {"module.base_model.extra.weight": torch.ones(1), "module.layer1.0.se": torch.ones(2)}
    report = model_from_official(small() | more).report
    assert set(more) <= set(report.skipped)
    buffers = [name for name in small() if name.endswith("arange_w_buf")]
    other = {name: value + 1 for name, value in small().items() if name in buffers}
    report = model_from_official(small() | other).report
    assert set(buffers) <= set(report.skipped)  # it says so where a buffer holds something else


def test_a_converted_model_trains_and_copies(small):
    model = model_from_official(small()).model
    twin = copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    assert torch.equal(logits(model), logits(twin))
    model.train()
    model(torch.rand(1, 2, 3, 64, 64)).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_model_with_graphs_starts_from_tsm(released):
    tsm = released["r345"](classes=9)
    plain = {k.replace("conv2.0.block", "conv2"): v for k, v in tsm.items() if "conv2.1." not in k}
    model = recipes.dyreg_tsm_resnet50(8)
    report = load_official(model, plain)
    assert set(report.skipped) == {"new_fc.weight", "new_fc.bias"}
    assert {name.split(".")[0] for name in report.missing} == {"fc", "graph_blocks"}
    state = model.net.state_dict()
    assert torch.equal(state["layer4.1.conv2.weight"], plain["base_model.layer4.1.conv2.weight"])
    assert torch.equal(
        state["layer3.4.conv1.weight"], plain["base_model.layer3.4.conv1.net.weight"]
    )


@pytest.mark.slow
def test_graphs_are_loaded_where_they_fit(released, small):
    weights = released["r4_small_generator"]()
    theirs = model_from_official(weights).model
    fits = recipes.dyreg_tsm_resnet50(
        places=("layer3.4.conv2",), generator=official_small_generator, anchors=grid_anchors
    ).eval()
    report = load_official(fits, weights)
    assert report.skipped == report.missing == ()
    video = torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        assert relative(fits(video).logits, theirs(video).logits) < 1e-5
    others = (
        recipes.dyreg_tsm_resnet50(
            places=("layer3.4.conv2",), generator=official_small_generator
        ),  # other anchors
        recipes.dyreg_tsm_resnet50(places=("layer3.4.conv2",), anchors=grid_anchors),
    )
    for other in others:
        before = copy.deepcopy(other.net.graph_blocks)
        report = load_official(other, weights)
        assert {name for name in weights if ".conv2.1." in name} <= set(report.skipped)
        assert {name for name in report.missing if "graph_blocks" in name} == {
            f"graph_blocks.{name}" for name in before.state_dict()
        }
        for name, value in other.net.graph_blocks.state_dict().items():
            assert torch.equal(value, before.state_dict()[name])
    plain = recipes.tsm_resnet50()
    report = load_official(plain, weights)
    assert report.missing == ()
    assert len(report.used) == len(plain.net.state_dict())
    with pytest.raises(InputError, match=r"expected .* more names"):
        load_official(recipes.dyreg_small(), small())


@pytest.mark.slow
def test_the_recipe_of_the_same_model_is_recognised(released, model_weights, small):
    kinds = {"classes": 7, "depths": (3, 4, 6, 3)}
    assert model_from_official(model_weights({}, **kinds)).model.recipe == (
        recipes.tsm_resnet50(7).recipe
    )
    online = model_from_official(model_weights({}, **kinds), shift=TemporalShift(online=True))
    assert online.model.recipe == recipes.tsm_resnet50(7, online=True).recipe
    r4 = model_from_official(released["r4_small_generator"](), rounds=2, dropout=0.1).model
    with torch.device("meta"):
        twin = recipes.dyreg_tsm_resnet50(
            places=("layer3.4.conv2",),
            generator=official_small_generator,
            rounds=2,
            anchors=grid_anchors,
            dropout=0.1,
        )
    assert r4.recipe == twin.recipe
    others = (
        model_from_official(small()),
        model_from_official(model_weights({}, **kinds, shifted=False)),
        model_from_official(model_weights({}, **kinds), shift=TemporalShift(fold=4)),
    )
    assert not any(hasattr(other.model, "recipe") for other in others)


def test_graphs_that_start_in_several_ways_stay_where_they_are():
    """At the centre and on a grid, as no recipe has them."""
    model = recipes.dyreg_tsm_resnet50(3, ("layer2.2.conv2", "layer3.4.conv2"), frame_size=160)
    blocks = [block for block in model.net.graph_blocks.values() if isinstance(block, GraphBlock)]
    first, second = (block.net.nodes.anchor for block in blocks)
    second.copy_(grid_anchors(9))
    before = first.clone()
    del model.recipe
    note_recipe(model.eval())
    assert torch.equal(first, before)
    assert torch.equal(second, grid_anchors(9))
    assert not hasattr(model, "recipe")


def test_regions_of_a_recipe_start_where_it_says_to_the_last_digit():
    place = "layer3.4.conv2"
    model = recipes.dyreg_tsm_resnet50(3, (place,), anchors=grid_anchors, frame_size=160)
    noted = model.recipe
    del model.recipe
    anchor = model.net.graph_blocks[place.replace(".", "/")].net.nodes.anchor
    anchor.add_(1e-7)  # as a division of pixels may round
    note_recipe(model.eval())
    assert model.recipe == noted
    assert torch.equal(anchor, grid_anchors(9))


@pytest.mark.parametrize(("channels", "width", "size"), [(8, 8, 14), (12, 8, 7)])
def test_the_block_that_is_timed_is_ours(channels, width, size):
    regions = recipes.dyreg_regions(width, 4, size)
    block = recipes.dyreg_block(regions, channels, size, rounds=2).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    features = torch.randn(2, 3, channels, size, size, dtype=torch.float64)
    plain = PLAIN.Straightforward(block, rounds=2)
    mine, theirs = block(features).features, plain(features)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    parameters = list(block.parameters())
    found = torch.autograd.grad(mine.square().sum(), parameters)
    expected = torch.autograd.grad(theirs.square().sum(), parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)
