"""One graph of the official RSTG code, built of the parts of this library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, choice, integer
from stgraph.edges import EdgeBuilder, FullEdges, GridEdges, TemplateEdges
from stgraph.kernels import area
from stgraph.layers import (
    Broadcast,
    ClipMapNorm,
    ClipNorm,
    ConcatSend,
    FrameNorm,
    GaussianMaps,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MLPUpdate,
    PerNode,
    Readout,
    Remap,
    Scaled,
    ScaleUpdate,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import GraphBlock, GraphStage, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.weights.rstg.heads import joined_heads
from stgraph.weights.rstg.layouts import RESIDUAL, Weights
from stgraph.weights.rstg.loading import Part
from stgraph.weights.rstg.lstm import LSTM
from stgraph.weights.rstg.names import Names
from stgraph.weights.rstg.structure import OUTER_LSTM, Structure, inner_lstm, read_structure
from stgraph.weights.rstg.ties import Tie, graph_ties, position_of

__all__ = ["EPS", "GraphOptions", "Made", "constants", "make_graph", "positions"]

EPS = 1e-12
"""ε of the official layer norms."""
LAST_ROUND = 3
"""The official code stops the LSTM of the rounds after this one."""


class GraphOptions(NamedTuple):
    """What the weights of a graph do not say."""

    rounds: int = 3
    edges: Any = "grid"
    scales: int | Sequence[int] | None = None
    frame: int = 224
    forget_bias: float = 1.0


class Made(NamedTuple):
    """A graph, untrained, and how its variables are to be read."""

    module: GraphBlock | GraphStage | SpaceTimeGraph
    net: SpaceTimeGraph
    part: Part


def make_graph(
    found: Names,
    scope: str,
    residual: str | None,
    state: Weights,
    options: GraphOptions,
    form: str,
) -> Made:
    """Build the graph of one scope.

    Args:
        found: all names.
        scope: the graph's.
        residual: what stands before the residual's norm, or ``None``.
        state: variables.
        options: what weights do not say.
        form: ``"map"`` or ``"vec"``, a block; ``"serial"``, a vector as a stage; ``"nodes"``, the
            graph alone.

    Raises:
        InputError: as :func:`read_structure`.
    """
    choice("form", form, ("map", "vec", "serial", "nodes"))
    if residual is None and form in ("map", "vec"):
        raise InputError("source", f"a norm of what the graph {scope!r} adds", "none")
    theirs = dict(found.graphs[scope])
    if residual is not None:
        theirs |= found.residuals[residual]
    variables, names, heads = joined_heads({name: state[own] for name, own in theirs.items()})
    origin = {name: tuple(theirs[one] for one in ones) for name, ones in names.items()}
    if found.positions is not None:
        variables["positional_emb"] = state[found.positions]
    structure = read_structure(variables, options.scales, options.rounds)
    _check_positions(structure, variables)
    net = _net(structure, options, heads)
    lstm = LSTM(forget_bias=options.forget_bias)
    inner, norm = inner_lstm(variables) or "", structure.attention_norm or ""
    ties = tuple(graph_ties(net, lstm, inner, OUTER_LSTM, norm))
    module: GraphBlock | GraphStage | SpaceTimeGraph = net
    if form != "nodes":
        channels = structure.channels
        module, place = _inserted(net, channels, form, residual is not None)
        ties = tuple(tie._replace(module=f"net.{tie.module}") for tie in ties)
        if residual is not None:
            ties = (*ties, Tie(place, "after_graph_ln", RESIDUAL))
    whole = options.rounds > 0  # without rounds, what they would be made of lies unused
    return Made(module, net, Part("", module, ties, variables, origin, whole))


def _inserted(
    net: SpaceTimeGraph, channels: int, form: str, normed: bool
) -> tuple[GraphStage, str]:
    """A graph as a part of a CNN, and where its last norm is, if there is one."""
    if form == "serial":
        norm = _residual_norm(channels) if normed else None
        return GraphStage(net, channels, Broadcast(Readout("sum"), norm)), "remap.norm"
    remap = Remap(normalised=False) if form == "map" else Broadcast(Readout("sum"))
    return GraphBlock(net, channels, remap, norm=_residual_norm), "norm"


def _residual_norm(channels: int) -> Scaled:
    return Scaled(ClipMapNorm(channels, eps=EPS, scale=False))


def _net(made: Structure, options: GraphOptions, heads: int) -> SpaceTimeGraph:
    """An untrained graph of the structure that the weights show."""
    width, scales = made.width, made.scales
    layers: dict[str, nn.Module] = {}
    if made.batch_norm:
        name = "batch_norm" if made.clip_norm else "norm"
        layers[name] = PerNode(nn.BatchNorm1d(width, eps=1e-3, momentum=0.01))
    if made.clip_norm:
        layers["norm"] = ClipNorm(width, eps=EPS)
    before: tuple[str, ...] = tuple(layers)
    after: tuple[str, ...] = ("last",)
    if made.inner:
        layers["time"] = TimeLayer(nn.LSTM(width, width))
    if made.space:
        layers["space"] = _space(made, heads)
    layers["last"] = TimeLayer(nn.LSTM(width, width))
    if made.projected:
        layers["project_in"] = PerNode(nn.Linear(made.channels, width), width)
        layers["project_out"] = PerNode(nn.Linear(width, made.channels), made.channels)
        before, after = ("project_in", *before), (*after, "project_out")
    recurrent = min(options.rounds, LAST_ROUND) if made.inner else 0
    rounds = ("time", "space") * recurrent + ("space",) * (options.rounds - recurrent)
    return SpaceTimeGraph(
        nodes=GridNodes(made.channels, scales, edges=_edges(options, scales)),
        layers=layers,
        schedule=(*before, *rounds, *after),
    )


def _space(made: Structure, heads: int) -> SpaceLayer:
    width, frame_norm = made.width, partial(FrameNorm, eps=EPS)
    attention = LeakingAdditiveAttention if made.attention == "my_attn" else LeakingDotAttention
    norm = frame_norm if made.update_norm else None
    return SpaceLayer(
        width,
        send=ConcatSend(
            width,
            layers=made.send_layers,
            norm=frame_norm if made.send_norm else None,
            position=GaussianMaps(made.positions) if made.positions else None,
        ),
        gather=attention(
            width,
            heads,
            norm=frame_norm if made.attention_norm else None,
            value=nn.Linear if made.value else None,
        ),
        update=(
            ScaleUpdate(width, made.scales, made.update_layers, norm)
            if made.scalewise
            else MLPUpdate(width, made.update_layers, norm)
        ),
    )


def _edges(options: GraphOptions, scales: tuple[int, ...]) -> EdgeBuilder:
    edges = options.edges
    if isinstance(edges, EdgeBuilder):
        return edges
    if isinstance(edges, str):
        choice("edges", edges, ("grid", "full", "full_noloops"))
        if edges == "grid":
            frame = integer("frame", options.frame)
            return GridEdges(scales, (frame, frame))
        return FullEdges(loops=edges == "full")
    adjacency = torch.as_tensor(edges)
    nodes = sum(side * side for side in scales)
    if adjacency.shape != (nodes, nodes) or not bool(((adjacency == 0) | (adjacency == 1)).all()):
        raise InputError("edges", f"zeros and ones [{nodes}, {nodes}]", list(adjacency.shape))
    return TemplateEdges(adjacency.bool())


def _check_positions(made: Structure, state: Weights) -> None:
    """Positions are computed here, and must be those of the file."""
    if not made.positions or "positional_emb" not in state:
        return
    mine = positions(made.scales, made.positions)
    theirs = state["positional_emb"].double()
    if mine.shape != theirs.shape or not torch.allclose(mine, theirs, atol=1e-5):
        expected = f"positions {list(mine.shape)}, Gaussian windows of σ = 2 in cells"
        raise InputError("positional_emb", expected, f"others {list(theirs.shape)}")


def positions(scales: Sequence[int], side: int) -> Tensor:
    """Positions ``[N, side²]`` of the cells of grids."""
    graph, _ = GridNodes(1, scales)(torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64))
    made: Tensor = GaussianMaps(side)(graph)
    return made


def constants(found: Names, state: Weights, nets: Iterable[SpaceTimeGraph]) -> Iterator[str]:
    """Names of constants that hold what these graphs compute: positions, and filters of resizing.

    Positions were compared when the graphs were made.
    """
    if found.positions is not None and any(position_of(net) for net in nets):
        yield found.positions
    for name in found.filters:
        if _is_resize(state[name]):
            yield name


def _is_resize(theirs: Tensor) -> bool:
    """Whether ``[h, w, H, W]`` is the area resize from H×W to h×w."""
    if theirs.dim() != 4:
        return False
    rows, columns, height, width = theirs.shape
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    low = torch.stack([column / columns, row / rows], dim=-1)
    high = torch.stack([(column + 1) / columns, (row + 1) / rows], dim=-1)
    cells = area(torch.cat([low, high], dim=-1).double().flatten(0, 1), height, width)
    cells = cells / cells.sum(dim=(-2, -1), keepdim=True)
    return torch.allclose(cells.reshape(theirs.shape), theirs.double(), atol=1e-5)
