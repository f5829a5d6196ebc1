"""From all pairs of nodes in a frame to edges: what builders share that look at values.

Positions, boxes and features are compared densely, node i with node j of the same frame, and the
pairs become edges sorted by target, then by source. Choosing edges has no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.graph import layout_of, occupied, slots, to_frames
from stgraph.precision import precise

__all__ = ["dense_field", "pair_edges", "top_edges"]


def dense_field(graph: Batch, name: str, width: int | None = None) -> Tensor:
    """Values of a node field by frame ``[B·T, N, D]``, in single precision at least.

    Args:
        graph: frame graphs.
        name: the field, ``[V, …]``.
        width: D, where only one is right.

    Raises:
        InputError: when the graph has no such field of numbers, or of another width.
    """
    layout_of(graph)
    value = getattr(graph, name, None)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() < 2:
        got = "none" if value is None else f"{type(value).__name__} of another kind"
        raise InputError("graph", f"a field `{name}` [V, {width or '...'}] of numbers", got)
    rows = value.detach().flatten(1)
    if width not in (None, rows.size(1)):
        raise InputError(name, f"[V, {width}]", list(value.shape))
    return to_frames(precise(rows), graph)


def pair_edges(joined: Tensor, loops: bool, graph: Batch) -> Tensor:
    """Edges of the pairs that are ``joined``, between the nodes that are present.

    How many there are depends on the values, so on an accelerator this waits for it once.

    Args:
        joined: ``[B·T, N, N]`` (bool), row = target i, column = source j.
        loops: whether every node also sends to itself; if not, none does.
        graph: the frame graphs.

    Returns:
        ``edge_index [2, E]``, sorted by target.
    """
    nodes = joined.size(-1)
    own = torch.eye(nodes, dtype=torch.bool, device=joined.device)
    joined = joined | own if loops else joined & ~own
    here = occupied(graph)
    if here is not None:
        joined = joined & _both(here)
    frame, target, source = joined.nonzero(as_tuple=True)
    return _rows(torch.stack([frame * nodes + source, frame * nodes + target]), graph)


def top_edges(distance: Tensor, k: int, loops: bool, graph: Batch) -> Tensor:
    """Edges from the k sources that are least distant to each target, or all where there are fewer.

    Of equally distant ones those of a lower identity. Where all nodes are present there are
    k edges a node and nothing waits for the device; where some are absent it waits once.

    Args:
        distance: ``[B·T, N, N]``, row = target i, column = source j.
        k: edges of a target.
        loops: whether a node comes first among its own k; if not, it is none of them.
        graph: the frame graphs.

    Returns:
        ``edge_index [2, E]``, sorted by target.
    """
    nodes, device = distance.size(-1), distance.device
    own = torch.eye(nodes, dtype=torch.bool, device=device)
    here = occupied(graph)
    allowed = torch.ones_like(own) if loops else ~own
    if here is not None:
        allowed = allowed & _both(here)
    distance = distance.nan_to_num(nan=torch.finfo(distance.dtype).max)  # all finite
    if loops:
        distance = distance.masked_fill(own, -torch.inf)
    distance = distance.masked_fill(~allowed, torch.inf)
    k = min(k, nodes if loops else nodes - 1)
    source = distance.sort(dim=-1, stable=True).indices[..., :k].sort(dim=-1).values  # [G, N, k]
    target = torch.arange(distance.size(0) * nodes, device=device).view(-1, nodes, 1)
    edges = torch.stack([source + target - target % nodes, target.expand_as(source)])
    if here is None:
        return edges.flatten(1)
    return _rows(edges[:, allowed.gather(-1, source)], graph)


def _both(here: Tensor) -> Tensor:
    """Pairs of present nodes ``[B·T, N, N]`` from those present ``[B·T, N]``."""
    return here[:, :, None] & here[:, None]


def _rows(edges: Tensor, graph: Batch) -> Tensor:
    """Edges between rows, from edges between slots whose nodes are all present."""
    place = slots(graph)
    if place is None:
        return edges
    row = torch.zeros(layout_of(graph).slots, dtype=torch.long, device=edges.device)
    row = row.index_copy(0, place, torch.arange(place.numel(), device=edges.device))
    return row[edges]
