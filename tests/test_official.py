"""Blocks of the official DyReG code, converted, against what they computed there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.graph import to_dense
from stgraph.nodes import SmallGenerator
from stgraph.official import block_from_official


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


def random_weights(
    size: int,
    channels: int = 12,
    width: int = 8,
    described: int = 6,
    nodes: int = 4,
    *,
    small: bool = False,
    gates: int = 3,
    send: tuple[int, ...] = (8,),
    update: tuple[int, ...] = (),
) -> dict[str, torch.Tensor]:
    """Weights under official names, of shapes that the options of the official code give."""
    from stgraph.nodes import LargeGenerator

    def norm(name: str, c: int) -> dict:
        return {f"{name}.scale": torch.randn(c), f"{name}.bias": torch.randn(c)}

    def linear(name: str, *shape: int) -> dict:
        return {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(shape[0])}

    def cell(name: str, d: int, g: int) -> dict:
        weight = {f"{name}.weight_{k}_l0": torch.randn(g * d, d) for k in ("ih", "hh")}
        return weight | {f"{name}.bias_{k}_l0": torch.randn(g * d) for k in ("ih", "hh")}

    inner: dict[str, torch.Tensor] = {
        "offset_alpha": torch.randn(4),
        "ph_buf": torch.full((1, nodes, 1), size / 2),
        "pw_buf": torch.full((1, nodes, 1), size / 2),
        "arange_h_buf": torch.arange(size).float().view(1, 1, -1),
        "arange_w_buf": torch.arange(size).float().view(1, 1, -1),
        "rstg.att_bias": torch.randn(1, 1, 1, width),
        **norm("norm_dict.offset_ln_feats_coords", described),
        **norm("norm_dict.offset_ln_lstm", described),
        **linear("offset_pred", 4, described),
        **cell("offset_lstm", described, 3),
        **linear("kernel_projection1", width, size * size),
        **cell("rstg.internal_lstm", width, gates),
        **cell("rstg.external_lstm", width, gates),
        **linear("rstg.att_q", width, width),
        **linear("rstg.att_k", width, width),
    }
    for name in ("send_message_norm", "update_norm", "before_graph_norm"):
        inner |= norm(f"rstg.norm_dict.{name}", width)
    for place, columns in enumerate(send):
        inner |= linear(f"rstg.send_mlp.{2 * place}", width, columns)
    for place, columns in enumerate(update):
        inner |= linear(f"rstg.update_mlp.{2 * place}", width, columns)
    if channels != width:
        inner |= linear("project_i3d_linear", width, channels, 1, 1)
        inner |= linear("project_back_i3d_linear", channels, width, 1, 1)
        inner |= norm("norm_dict.dynamic_graph_projection", width)
    if small:
        inner |= linear("glore.mask_conv", nodes, width, 1, 1)
        inner |= linear("glore.sin_pos_emb_proj", width, width, 1, 1)
        inner |= linear("glore.update", described, width, 1)
        inner |= norm("glore.norm_dict.offset_location_emb", width)
        inner["glore.pos_emb_buf"] = torch.zeros(width, size, size)
    else:
        side = LargeGenerator(width, nodes, described, size).side
        inner |= linear("fishnet.conv1", 32, width, 1, 1)
        inner |= linear("fishnet.tail_conv.0", 32, 32, 3, 3)
        inner |= linear("fishnet.tail_conv.1", 16, 32, 3, 3)
        inner["fishnet.body_trans_conv.0.weight"] = torch.randn(16, 32, 3, 3)
        inner["fishnet.body_trans_conv.0.bias"] = torch.randn(32)
        inner |= linear("fishnet.head_conv.0", 16, 32, 3, 3)
        inner |= linear("global_conv.0", nodes * described, 16, side, side)
        for name, c in (
            ("norm1", 32),
            ("tail_norm_0", 32),
            ("tail_norm_1", 16),
            ("body_trans_norm_0", 32),
            ("head_norm_0", 16),
        ):
            inner |= norm(f"fishnet.norm_dict.{name}", c)
    state = {f"dynamic_graph.{name}": value for name, value in inner.items()}
    return state | norm("norm_dict.residual_norm", channels)


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
def test_the_structure_is_read_off_the_weights(size, options):
    state = random_weights(size, **options)
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
    unused = {"buf", "offset_location_emb"}
    trained = sum(v.numel() for k, v in state.items() if not any(u in k for u in unused))
    assert sum(p.numel() for p in block.parameters()) == trained


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


def test_other_weights_are_refused():
    state = random_weights(7)
    with pytest.raises(InputError, match=r"state: expected `dynamic_graph.rstg.att_bias`"):
        block_from_official({})
    missing = {k: v for k, v in state.items() if "offset_alpha" not in k}
    with pytest.raises(InputError, match=r"state: expected `dynamic_graph.offset_alpha`, got none"):
        block_from_official(missing)
    with pytest.raises(InputError, match=r"parameters of a DyReG block only, got \['more'\]"):
        block_from_official(state | {"more": torch.zeros(1)})
    wrong = state | {"dynamic_graph.offset_pred.bias": torch.zeros(5)}
    with pytest.raises(InputError, match=r"offset_pred\.bias: expected 4 values"):
        block_from_official(wrong)
