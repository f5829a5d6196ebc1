"""Weights of the official DyReG code, in blocks of this library.

The official code keeps its options on the command line, not in its weights; what a block is made of
is read here off the names and shapes of its parameters. Nothing of that code is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, integer
from stgraph.edges import FullEdges
from stgraph.layers import (
    AddUpdate,
    ConcatSend,
    DotAttention,
    Gather,
    KernelPosition,
    MeanGather,
    MLPUpdate,
    NodeNorm,
    Send,
    SpaceLayer,
    SumSend,
    SumUpdate,
    TimeLayer,
    Update,
)
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.nodes import DynamicRegions, LargeGenerator, SmallGenerator

__all__ = ["block_from_official"]

_CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
# Buffers that this library computes, and a norm that the official code makes but never runs.
_UNUSED = (
    "dynamic_graph.ph_buf",
    "dynamic_graph.pw_buf",
    "dynamic_graph.arange_h_buf",
    "dynamic_graph.arange_w_buf",
    "dynamic_graph.glore.pos_emb_buf",
    "dynamic_graph.glore.norm_dict.offset_location_emb.scale",
    "dynamic_graph.glore.norm_dict.offset_location_emb.bias",
)


def block_from_official(state: Mapping[str, Tensor], rounds: int = 3) -> GraphBlock:
    """Build the block that official DyReG weights belong to, and load them.

    Read off the weights: width, channels and projections, number of regions and their anchors, size
    of the map, region generator (large or small), GRU or LSTM, messages (one or two layers, sum or
    concatenation of the ends), attention or mean, and the update (none, one or two layers).

    Args:
        state: state dict of one official block (``DynamicGraphWrapper``), with its own names,
            ``dynamic_graph.…`` and ``norm_dict.residual_norm.…``.
        rounds: spatial iterations, which leave no trace in the weights; 3 in the official code.

    Returns:
        A block with equal outputs, in evaluation mode like any other module after ``eval()``.

    Raises:
        InputError: when a parameter is missing, has another shape, or would not be used.
    """
    state = dict(state)
    block = _build(state, integer("rounds", rounds))
    names = _names(block)
    mine = block.state_dict()
    loaded = {}
    for name, value in mine.items():
        if name not in names:
            raise InputError("state", f"a block without `{name}`", "one that this cannot convert")
        theirs = names[name]
        if theirs not in state:
            raise InputError("state", f"`{theirs}`", "none")
        if state[theirs].numel() != value.numel():
            raise InputError(theirs, f"{value.numel()} values", list(state[theirs].shape))
        loaded[name] = state[theirs].reshape(value.shape)
    if left := sorted(set(state) - set(names.values()) - set(_UNUSED)):
        raise InputError("state", "parameters of a DyReG block only", left)
    block.load_state_dict(loaded)
    return block


def _get(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise InputError("state", f"`{name}`, as every official block has", "none")
    return state[name]


def _build(state: Mapping[str, Tensor], rounds: int) -> GraphBlock:
    """An untrained block of the structure that the weights show."""
    graph = "dynamic_graph."
    width = _get(state, f"{graph}rstg.att_bias").numel()
    channels = _get(state, "norm_dict.residual_norm.scale").numel()
    size = _get(state, f"{graph}arange_h_buf").numel()
    described = _get(state, f"{graph}offset_pred.weight").shape[1]
    rows, columns = (_get(state, f"{graph}{p}_buf").flatten() / size for p in ("ph", "pw"))
    nodes = rows.numel()
    generator: nn.Module = (
        LargeGenerator(width, nodes, described, size)
        if f"{graph}fishnet.conv1.weight" in state
        else SmallGenerator(width, nodes, described)
    )
    net = SpaceTimeGraph(
        nodes=DynamicRegions(
            width,
            nodes,
            edges=FullEdges(),
            generator=generator,
            anchors=lambda _: torch.stack([rows, columns], dim=1).float(),
        ),
        layers={
            "position": KernelPosition(width, size, size),
            "norm": NodeNorm(width),
            "time": TimeLayer(_cell(state, "internal", width)),
            "space": SpaceLayer(
                width, _send(state, width), _gather(state, width), _update(state, width)
            ),
            "last": TimeLayer(_cell(state, "external", width)),
        },
        schedule=("position", "norm", *("time", "space") * rounds, "last"),
    )
    block = GraphBlock(net, channels)
    if channels == width and f"{graph}project_i3d_linear.weight" in state:
        block.project_in = nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(1, width))
        block.project_out = nn.Conv2d(width, width, 1)
    return block


def _cell(state: Mapping[str, Tensor], which: str, width: int) -> nn.Module:
    rows = _get(state, f"dynamic_graph.rstg.{which}_lstm.weight_hh_l0").shape[0]
    kinds: dict[int, type[nn.GRU] | type[nn.LSTM]] = {3: nn.GRU, 4: nn.LSTM}
    if rows % width or rows // width not in kinds:
        raise InputError(f"{which}_lstm", "the gates of a GRU or LSTM", f"{rows} rows")
    return kinds[rows // width](width, width)


def _send(state: Mapping[str, Tensor], width: int) -> Send:
    first = _get(state, "dynamic_graph.rstg.send_mlp.0.weight")
    layers = 2 if "dynamic_graph.rstg.send_mlp.2.weight" in state else 1
    kinds: dict[int, type[SumSend] | type[ConcatSend]] = {width: SumSend, 2 * width: ConcatSend}
    if first.shape[1] not in kinds:
        raise InputError("send_mlp", f"{width} or {2 * width} columns", list(first.shape))
    return kinds[first.shape[1]](width, layers)


def _gather(state: Mapping[str, Tensor], width: int) -> Gather:
    has_attention = "dynamic_graph.rstg.att_q.weight" in state
    return DotAttention(width) if has_attention else MeanGather(width)


def _update(state: Mapping[str, Tensor], width: int) -> Update:
    first = state.get("dynamic_graph.rstg.update_mlp.0.weight")
    if first is None:
        return AddUpdate(width)
    layers = 2 if "dynamic_graph.rstg.update_mlp.2.weight" in state else 1
    kinds: dict[int, type[SumUpdate] | type[MLPUpdate]] = {width: SumUpdate, 2 * width: MLPUpdate}
    if first.shape[1] not in kinds:
        raise InputError("update_mlp", f"{width} or {2 * width} columns", list(first.shape))
    return kinds[first.shape[1]](width, layers)


def _names(block: GraphBlock) -> dict[str, str]:
    """Official name of every parameter that a converted block may have."""
    graph, nodes, space = "dynamic_graph.", "net.nodes.", "net.layers.space."
    names = {
        f"{nodes}alpha": f"{graph}offset_alpha",
        f"{space}gather.bias": f"{graph}rstg.att_bias",
    }
    linear = {
        f"{nodes}offset": "offset_pred",
        f"{nodes}generator.project": "fishnet.conv1",
        f"{nodes}generator.a": "fishnet.tail_conv.0",
        f"{nodes}generator.b": "fishnet.tail_conv.1",
        f"{nodes}generator.up": "fishnet.body_trans_conv.0",
        f"{nodes}generator.head": "fishnet.head_conv.0",
        f"{nodes}generator.regions": "global_conv.0",
        f"{nodes}generator.masks": "glore.mask_conv",
        f"{nodes}generator.position": "glore.sin_pos_emb_proj",
        f"{nodes}generator.update": "glore.update",
        "net.layers.position.linear": "kernel_projection1",
        f"{space}send.first": "rstg.send_mlp.0",
        f"{space}send.second": "rstg.send_mlp.2",
        f"{space}update_nodes.mlp.0": "rstg.update_mlp.0",
        f"{space}update_nodes.mlp.2": "rstg.update_mlp.2",
        f"{space}gather.query": "rstg.att_q",
        f"{space}gather.key": "rstg.att_k",
        "project_in.0": "project_i3d_linear",
        "project_out": "project_back_i3d_linear",
    }
    norms = {
        f"{nodes}norm_in": "norm_dict.offset_ln_feats_coords",
        f"{nodes}norm_out": "norm_dict.offset_ln_lstm",
        f"{nodes}generator.norm_project": "fishnet.norm_dict.norm1",
        f"{nodes}generator.norm_a": "fishnet.norm_dict.tail_norm_0",
        f"{nodes}generator.norm_b": "fishnet.norm_dict.tail_norm_1",
        f"{nodes}generator.norm_up": "fishnet.norm_dict.body_trans_norm_0",
        f"{nodes}generator.norm_head": "fishnet.norm_dict.head_norm_0",
        "net.layers.norm": "rstg.norm_dict.before_graph_norm",
        f"{space}send.norm": "rstg.norm_dict.send_message_norm",
        f"{space}update_nodes.norm": "rstg.norm_dict.update_norm",
        "project_in.1": "norm_dict.dynamic_graph_projection",
    }
    for mine, theirs in linear.items():
        names |= {f"{mine}.{part}": f"{graph}{theirs}.{part}" for part in ("weight", "bias")}
    for mine, theirs in norms.items():
        names[f"{mine}.weight"] = f"{graph}{theirs}.scale"
        names[f"{mine}.bias"] = f"{graph}{theirs}.bias"
    names["norm.weight"] = "norm_dict.residual_norm.scale"
    names["norm.bias"] = "norm_dict.residual_norm.bias"
    for mine, theirs in (
        (f"{nodes}rnn", "offset_lstm"),
        ("net.layers.time.cell", "rstg.internal_lstm"),
        ("net.layers.last.cell", "rstg.external_lstm"),
    ):
        names |= {f"{mine}.{part}": f"{graph}{theirs}.{part}" for part in _CELL}
    return {mine: theirs for mine, theirs in names.items() if mine in block.state_dict()}
