"""One graph block of the official DyReG code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, choice, shape, times
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
from stgraph.nodes.generators import sinusoid
from stgraph.weights.dyreg.files import whole

__all__ = [
    "as_read",
    "block_from_official",
    "buffers_as_here",
    "official_names",
    "official_weights",
]

_ATTENTION = re.compile(r"\.rstg\.att_[qk]\.")
_CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
# Buffers of what is computed here: anchors, positions in cells, the small generator's sinusoid.
_ANCHORS = ("dynamic_graph.ph_buf", "dynamic_graph.pw_buf")
_CELLS = ("dynamic_graph.arange_h_buf", "dynamic_graph.arange_w_buf")
_SINUSOID = "dynamic_graph.glore.pos_emb_buf"
_RELEASED = {"dynamic_graph.rstg.send_mlp.0.weight": None}
# A norm that the official code makes but never runs.
_SPARE = "dynamic_graph.glore.norm_dict.offset_location_emb"


def block_from_official(
    state: Mapping[str, Tensor],
    rounds: int = 3,
    aggregation: str | None = None,
    first: str = "sender",
) -> GraphBlock:
    """Build the block that official DyReG weights belong to, and load them.

    Read off the weights: width, channels and projections, number of regions and their anchors, size
    of the map, region generator (large or small), GRU or LSTM of each of the three cells, messages
    (one or two layers, sum or concatenation of the ends), attention or mean, and the update (none,
    one or two layers, of a sum or a concatenation).

    Args:
        state: state dict of one official block (``DynamicGraphWrapper``), tensors or arrays with
            its own names, ``dynamic_graph.…`` and ``norm_dict.residual_norm.…``, all of them behind
            one prefix or none.
        rounds: spatial iterations, which leave no trace in the weights; 3 in the official code.
        aggregation: ``"attention"`` or ``"mean"`` of the messages; by default attention where there
            are weights for it. With ``"mean"`` such weights may be there, and are not used.
        first: whose columns come first where both ends are concatenated, ``"sender"`` or
            ``"target"``, which leaves no trace either.

    Returns:
        A block with equal outputs, in evaluation mode like any other module after ``eval()``.

    Raises:
        InputError: when a parameter is missing, has another shape, or would not be used.
    """
    state = as_read(_unwrapped(state), aggregation, first)
    block = _build(state, times("rounds", rounds))
    block.load_state_dict(
        {name: value for name, (_, value) in official_weights(block, state).items()}
    )
    return block


def as_read(state: Mapping[str, Tensor], aggregation: str | None, first: str) -> dict[str, Tensor]:
    """Weights of a block as they are read here: no attention where there is none, senders first."""
    choice("first", first, ("sender", "target"))
    choice("aggregation", aggregation, (None, "attention", "mean"))
    read = dict(state)
    if aggregation == "mean":
        read = {name: value for name, value in state.items() if not _ATTENTION.search(name)}
    if first == "target":
        read = {name: _swapped(name, value, state) for name, value in read.items()}
    return read


def official_weights(
    block: GraphBlock, state: Mapping[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """Official names and values of all that a block has, by its names here, in its shapes.

    Raises:
        InputError: when a parameter is missing, has another shape or would not be used, or the
            regions start elsewhere.
    """
    names = official_names(block, state)
    found = {}
    for name, value in block.state_dict().items():
        if name not in names:
            raise InputError("state", f"a block without `{name}`", "one that this cannot convert")
        theirs = names[name]
        if theirs not in state:
            raise InputError("state", f"`{theirs}`", "none")
        if not _fits(state[theirs], value):
            raise InputError(theirs, f"weights {list(value.shape)}", list(state[theirs].shape))
        found[name] = theirs, state[theirs].reshape(value.shape)
    if left := sorted({*state} - {*names.values(), *_ANCHORS, *_CELLS, _SINUSOID}):
        raise InputError("state", "parameters of a DyReG block only", left)
    start = _anchors(state)
    mine = cast(DynamicRegions, block.net.nodes).anchor.to(start)
    if mine.shape != start.shape or not torch.allclose(mine, start):
        raise InputError("ph_buf, pw_buf", "the anchors of the block", start.tolist())
    return found


def buffers_as_here(state: Mapping[str, Tensor]) -> list[str]:
    """Names of those buffers of an official block that hold what is computed here instead."""
    same = [name for name in _ANCHORS if name in state]
    for name in _CELLS:
        cells = state.get(name, torch.empty(0)).flatten()
        if len(cells) and torch.equal(cells, torch.arange(len(cells)).to(cells)):
            same.append(name)
    if _SINUSOID in state:
        theirs = state[_SINUSOID].double()
        channels, height, width = shape(_SINUSOID, theirs, "C H W")
        if torch.allclose(sinusoid(channels, height, width, theirs), theirs, atol=1e-4):
            same.append(_SINUSOID)
    return same


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors by the names that they have in a block."""
    own = ("dynamic_graph.", "norm_dict.residual_norm.")
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        start = min((name.find(part) for part in own if part in name), default=0)
        if start and name[start - 1] != ".":
            start = 0
        if name[start:] in found:
            raise InputError("state", "the weights of one block", f"two with {name[start:]!r}")
        try:
            tensor = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"state[{name!r}]", "a tensor", type(value).__name__) from error
        found[name[start:]] = whole(f"state[{name!r}]", tensor)
    return found


def _swapped(name: str, value: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """Weights of concatenated ends with the sender's columns in front."""
    if name != f"{next(iter(_layers(state, 'send_mlp')), '')}.weight":
        return value
    rows, columns = shape(name, value, "D C")
    return value.roll(rows, dims=1) if columns == 2 * rows else value


def _fits(theirs: Tensor, mine: Tensor) -> bool:
    """Whether shapes differ in sizes of 1 alone, or in columns that are the points of a map."""
    a, b = ([side for side in tensor.shape if side != 1] for tensor in (theirs, mine))
    return a == b or (len(b) == 2 and a[:1] == b[:1] and math.prod(a) == math.prod(b))


def _get(state: Mapping[str, Tensor], name: str, pattern: str = "") -> Tensor:
    if name not in state:
        raise InputError("state", f"`{name}`, as every official block has", "none")
    if pattern:
        shape(name, state[name], pattern)
    return state[name]


def _build(state: Mapping[str, Tensor], rounds: int) -> GraphBlock:
    """An untrained block of the structure that the weights show."""
    graph = "dynamic_graph."
    width = _get(state, f"{graph}rstg.att_bias").numel()
    channels = _get(state, "norm_dict.residual_norm.scale").numel()
    # Buffers have the size of the map that was run last, weights that of the map of training.
    size = math.isqrt(_get(state, f"{graph}kernel_projection1.weight", "C P").shape[1])
    described = _get(state, f"{graph}offset_pred.weight", "4 D").shape[1]
    anchors = _anchors(state)
    nodes = len(anchors)
    generator: nn.Module = (
        LargeGenerator(width, nodes, described, size)
        if f"{graph}fishnet.conv1.weight" in state
        else SmallGenerator(
            width,
            nodes,
            described,
            size,
            None if _SINUSOID in buffers_as_here(state) else state.get(_SINUSOID),
            spare_norm=f"{_SPARE}.scale" in state,
        )
    )
    regions = DynamicRegions(
        width,
        nodes,
        edges=FullEdges(),
        generator=generator,
        cell=_cell(state, "offset_lstm", described),
        anchors=lambda _: anchors,
    )
    net = SpaceTimeGraph(
        nodes=regions,
        layers={
            "position": KernelPosition(width, size, size),
            "norm": NodeNorm(width),
            "time": TimeLayer(_cell(state, "rstg.internal_lstm", width)),
            "space": SpaceLayer(
                width, _send(state, width), _gather(state, width), _update(state, width)
            ),
            "last": TimeLayer(_cell(state, "rstg.external_lstm", width)),
        },
        schedule=("position", "norm", *("time", "space") * rounds, "last"),
    )
    block = GraphBlock(net, channels)
    if channels == width and f"{graph}project_i3d_linear.weight" in state:
        block.project_in = nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(1, width))
        block.project_out = nn.Conv2d(width, width, 1)
    return block


def _anchors(state: Mapping[str, Tensor]) -> Tensor:
    """Where regions start ``[N, 2]`` (row, column), in 0..1 of a map that is square."""
    size = _get(state, _CELLS[0]).numel()
    rows, columns = (_get(state, name).flatten().float() for name in _ANCHORS)
    if len(rows) != len(columns) or not len(rows):
        raise InputError(", ".join(_ANCHORS), "one place a region", [len(rows), len(columns)])
    return torch.stack([rows, columns], dim=1) / size


def _cell(state: Mapping[str, Tensor], name: str, width: int) -> nn.Module:
    rows = _get(state, f"dynamic_graph.{name}.weight_hh_l0", "R D").shape[0]
    kinds: dict[int, type[nn.GRU] | type[nn.LSTM]] = {3: nn.GRU, 4: nn.LSTM}
    if rows % width or rows // width not in kinds:
        raise InputError(name, "the gates of a GRU or LSTM", f"{rows} rows")
    return kinds[rows // width](width, width)


def _layers(state: Mapping[str, Any], name: str) -> list[str]:
    """Names of the linear layers of an MLP, in their order, whatever stands between them."""
    pattern = re.compile(rf"(dynamic_graph\.rstg\.{name}\.(\d+))\.weight")
    matches = [match for match in map(pattern.fullmatch, state) if match]
    return [match[1] for match in sorted(matches, key=lambda match: int(match[2]))]


def _send(state: Mapping[str, Tensor], width: int) -> Send:
    layers = _layers(state, "send_mlp") or ["dynamic_graph.rstg.send_mlp.0"]
    first = _get(state, f"{layers[0]}.weight", "D C")
    kinds: dict[int, type[SumSend] | type[ConcatSend]] = {width: SumSend, 2 * width: ConcatSend}
    if first.shape[1] not in kinds:
        raise InputError("send_mlp", f"{width} or {2 * width} columns", list(first.shape))
    return kinds[first.shape[1]](width, len(layers))


def _gather(state: Mapping[str, Tensor], width: int) -> Gather:
    has_attention = "dynamic_graph.rstg.att_q.weight" in state
    return DotAttention(width) if has_attention else MeanGather(width)


def _update(state: Mapping[str, Tensor], width: int) -> Update:
    layers = _layers(state, "update_mlp")
    if not layers:
        return AddUpdate(width)
    first = _get(state, f"{layers[0]}.weight", "D C")
    kinds: dict[int, type[SumUpdate] | type[MLPUpdate]] = {width: SumUpdate, 2 * width: MLPUpdate}
    if first.shape[1] not in kinds:
        raise InputError("update_mlp", f"{width} or {2 * width} columns", list(first.shape))
    return kinds[first.shape[1]](width, len(layers))


def official_names(block: GraphBlock, state: Mapping[str, Any] = _RELEASED) -> dict[str, str]:
    """Official name of every parameter that a converted block may have, by its name here.

    Args:
        block: a block of DyReG.
        state: official weights, or their names, which tell how the layers of MLPs are numbered; as
            in the released code by default.
    """
    graph, nodes, space = "dynamic_graph.", "net.nodes.", "net.layers.space."
    send, update = (
        [name.removeprefix(graph) for name in _layers(state, mlp)]
        for mlp in ("send_mlp", "update_mlp")
    )
    names = {
        f"{nodes}alpha": f"{graph}offset_alpha",
        f"{space}gather.bias": f"{graph}rstg.att_bias",
        f"{nodes}generator.positions": _SINUSOID,
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
        **{
            f"{space}send.{mine}": theirs
            for mine, theirs in zip(("first", "second"), send, strict=False)
        },
        **{f"{space}update_nodes.mlp.{2 * k}": theirs for k, theirs in enumerate(update)},
        f"{space}gather.query": "rstg.att_q",
        f"{space}gather.key": "rstg.att_k",
        "project_in.0": "project_i3d_linear",
        "project_out": "project_back_i3d_linear",
    }
    norms = {
        f"{nodes}norm_in": "norm_dict.offset_ln_feats_coords",
        f"{nodes}norm_out": "norm_dict.offset_ln_lstm",
        f"{nodes}generator.spare": _SPARE.removeprefix(graph),
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
