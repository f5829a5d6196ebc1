"""Blocks of the official DyReG code, converted, against what they computed there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.graph import to_dense
from stgraph.nodes import SmallGenerator
from stgraph.weights import block_from_official


@pytest.fixture(scope="module")
def vectors(data_root: Path) -> dict[str, torch.Tensor]:
    path = data_root.parent / "fixtures" / "dyreg_public_h16_c32.npz"
    if not path.exists():
        pytest.skip("no test vectors beside the data: fixtures/dyreg_public_h16_c32.npz")
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.tensor(file[name]) for name in file.files if name != "config"}


def weights(vectors) -> dict[str, torch.Tensor]:
    head = "param/"
    return {name[len(head) :]: v for name, v in vectors.items() if name.startswith(head)}


def relative(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((mine.detach() - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_converted_block_computes_what_the_official_one_did(vectors, dtype):
    block = block_from_official(weights(vectors)).to(dtype).eval()
    features = vectors["input"].clone().to(dtype).requires_grad_()
    out = block(features)
    graph = out.graph
    assert relative(out.features, vectors["output"]) < 1e-5
    added = vectors["output"] - vectors["input"]
    assert relative(out.features - features, added) < 1e-5
    assert relative(to_dense(graph.kernel, graph), vectors["kernel"]) < 1e-5
    assert relative(to_dense(graph.window, graph), vectors["region_h_w_cy_cx"]) < 1e-5
    pooled = to_dense(graph.x, graph).transpose(-2, -1)
    assert relative(pooled, vectors["nodes_without_position"]) < 1e-5
    placed = block.net.layers["position"](graph.x, graph)
    assert relative(to_dense(placed, graph).transpose(-2, -1), vectors["nodes"]) < 1e-5
    ramp = torch.linspace(-1, 1, features.numel(), dtype=dtype).view_as(features)
    (out.features * ramp).sum().backward()
    assert relative(features.grad, vectors["input_grad"]) < 1e-5


@pytest.mark.parametrize("size", [7, 14, 16, 28])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"small": True, "gates": 4},
        {"channels": 8, "send": (8, 8)},
        {"send": (16,), "update": (8,)},
        {"send": (16, 8), "gates": 4, "update": (16, 8)},
    ],
    ids=str,
)
def test_the_structure_is_read_off_the_weights(block_weights, size, options):
    state = block_weights(size, **options)
    block = block_from_official(state)
    channels = options.get("channels", 12)
    out = block(torch.randn(1, 2, channels, size, size))
    assert out.features.isfinite().all()
    space, layers = block.net.layers["space"], block.net.layers
    assert isinstance(block.net.nodes.generator, SmallGenerator) == options.get("small", False)
    assert type(layers["time"].cell).__name__ == ("LSTM" if options.get("gates") == 4 else "GRU")
    updates = {(): "AddUpdate", (8,): "SumUpdate", (16, 8): "MLPUpdate"}
    assert type(space.update_nodes).__name__ == updates[options.get("update", ())]
    assert space.send.layers == len(options.get("send", (8,)))
    trained = sum(v.numel() for k, v in state.items() if "buf" not in k)
    assert sum(p.numel() for p in block.parameters()) == trained


@pytest.mark.parametrize("place", ["internal", "external"])
def test_each_cell_is_of_the_kind_of_its_own_weights(block_weights, place):
    state, others = block_weights(7), block_weights(7, gates=4)
    state |= {name: value for name, value in others.items() if f"{place}_lstm" in name}
    layers = block_from_official(state).net.layers
    kinds = {name: type(layers[name].cell) for name in ("time", "last")}
    assert kinds[{"internal": "time", "external": "last"}[place]] is torch.nn.LSTM
    assert set(kinds.values()) == {torch.nn.GRU, torch.nn.LSTM}
    for name, inner in (("time", "internal"), ("last", "external")):
        mine = layers[name].cell.weight_hh_l0
        torch.testing.assert_close(mine, state[f"{prefix_of(state)}rstg.{inner}_lstm.weight_hh_l0"])


def prefix_of(state: dict[str, torch.Tensor]) -> str:
    (name,) = (name for name in state if name.endswith("rstg.internal_lstm.weight_hh_l0"))
    return name.removesuffix("rstg.internal_lstm.weight_hh_l0")


def test_official_layer_names_of_released_checkpoints_are_known(data_root: Path):
    """Every name and shape of whole official models, block by block."""
    folder = data_root.parent / "fixtures"
    files = sorted(folder.glob("official_tsm_r50_*_keys.txt"))
    if not files:
        pytest.skip("no lists of official names beside the data")
    blocks = 0
    for file in files:
        found: dict[str, dict[str, torch.Tensor]] = {}
        for line in file.read_text().splitlines():
            name, _, sizes = line.rpartition(" ")
            place, mark, inner = name.partition(".conv2.1.")
            if mark:
                shape = [int(size) for size in sizes.split("x")]
                found.setdefault(place, {})[inner] = torch.zeros(shape)
        for state in found.values():
            state["dynamic_graph.ph_buf"] += 1.0
            state["dynamic_graph.pw_buf"] += 1.0
            block_from_official(state)
            blocks += 1
    assert blocks == 4


def test_other_weights_are_refused(block_weights):
    state = block_weights(7)
    with pytest.raises(InputError, match=r"state: expected `dynamic_graph.rstg.att_bias`"):
        block_from_official({})
    missing = {k: v for k, v in state.items() if "offset_alpha" not in k}
    with pytest.raises(InputError, match=r"state: expected `dynamic_graph.offset_alpha`, got none"):
        block_from_official(missing)
    with pytest.raises(InputError, match=r"parameters of a DyReG block only, got \['more'\]"):
        block_from_official(state | {"more": torch.zeros(1)})
    wrong = state | {"dynamic_graph.offset_pred.bias": torch.zeros(5)}
    with pytest.raises(InputError, match=r"offset_pred\.bias: expected weights \[4\]"):
        block_from_official(wrong)


@pytest.mark.parametrize(
    "name",
    ["pw_buf", "offset_pred.weight", "offset_lstm.weight_hh_l0", "rstg.send_mlp.0.weight"],
)
@pytest.mark.parametrize("value", [torch.tensor(1.0), torch.ones(5), torch.ones(2, 2, 2)])
def test_weights_of_other_shapes_are_refused(block_weights, name, value):
    state = block_weights(7) | {f"dynamic_graph.{name}": value}
    with pytest.raises(InputError, match=r"expected"):
        block_from_official(state)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("offset_lstm.weight_hh_l0", (12, 6), "expected the gates of a GRU or LSTM, got 12 rows"),
        ("offset_lstm.weight_hh_l0", (20, 6), "expected the gates of a GRU or LSTM, got 20 rows"),
        ("rstg.att_q.weight", (8, 7), r"expected weights \[8, 8\], got \[8, 7\]"),
        ("rstg.att_q.weight", (8, 9), r"expected weights \[8, 8\], got \[8, 9\]"),
        ("fishnet.tail_conv.0.weight", (32, 288), r"expected weights \[32, 32, 3, 3\], got"),
        ("rstg.send_mlp.0.weight", (8, 12), r"send_mlp: expected 8 or 16 columns, got \[8, 12\]"),
        ("rstg.update_mlp.0.weight", (8, 12), r"update_mlp: expected 8 or 16 columns, got"),
    ],
)
def test_sizes_that_are_those_of_no_block_are_told(block_weights, name, sizes, message):
    with pytest.raises(InputError, match=message):
        block_from_official(block_weights(7) | {f"dynamic_graph.{name}": torch.ones(sizes)})


@pytest.mark.parametrize("value", ["text", [[1], [1, 2]], object()], ids=["text", "list", "object"])
def test_what_is_no_array_is_refused(value):
    with pytest.raises(InputError, match=r"state\['dynamic_graph.x'\]: expected a tensor, got"):
        block_from_official({"dynamic_graph.x": value})
