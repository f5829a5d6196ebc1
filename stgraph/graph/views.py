"""Rows of nodes as dense tensors, by frame and by clip, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.graph.layout import Layout, clips_of, layout_of
from stgraph.graph.order import are_in_order, places
from stgraph.padding import front, put_frames, take_frames

__all__ = [
    "frame_mask",
    "from_dense",
    "from_frames",
    "in_clips",
    "in_frames",
    "newest",
    "occupied",
    "presence",
    "slots",
    "to_dense",
    "to_frames",
    "to_maps",
]


def slots(graph: Batch) -> Tensor | None:
    """Slot :math:`fN + n` of every row ``[V]``, in frame graph f; ``None`` where row v is slot v.

    Rows are sorted by (clip, frame, identity), so that as many as there are slots take them all in
    order.

    Raises:
        InputError: when there are more rows than slots; on the CPU, where looking at values costs
            little, also when an identity stands twice in a frame or rows are out of order.
    """
    layout, rows = layout_of(graph), graph.node_id.size(0)
    expected = f"of {layout.nodes} identities, each at most once a frame, in order"
    if rows > layout.slots:
        # An extractor with one region more makes room for a node such as PyG's VirtualNode.
        raise InputError("graph", f"at most {layout.slots} nodes, {expected}", rows)
    if not torch.compiler.is_compiling() and not are_in_order(graph, layout):
        raise InputError("graph", f"nodes {expected}", "added, repeated or moved nodes")
    return None if rows == layout.slots else places(graph, layout)


def _frame_rows(x: Tensor, graph: Batch) -> None:
    if x.size(0) != graph.node_id.size(0):
        raise InputError("x", f"[{graph.node_id.size(0)}, ...] (a row a node)", list(x.shape))


def to_frames(x: Tensor, graph: Batch) -> Tensor:
    """Dense view ``[F, N, …]`` of rows ``[V, …]``, a frame graph at a time; absent nodes are 0.

    Raises:
        InputError: when ``x`` has another number of rows than the graph has nodes.
    """
    layout, place = layout_of(graph), slots(graph)
    _frame_rows(x, graph)
    if place is not None:
        x = x.new_zeros(layout.slots, *x.shape[1:]).index_copy(0, place, x)
    return x.reshape(layout.graphs, layout.nodes, *x.shape[1:])


def from_frames(dense: Tensor, graph: Batch) -> Tensor:
    """Rows ``[V, …]`` of a dense view ``[F, N, …]``: the inverse of :func:`to_frames`."""
    flat, place = dense.flatten(0, 1), slots(graph)
    return flat if place is None else flat.index_select(0, place)


def occupied(graph: Batch) -> Tensor | None:
    """Which identities are present in which frame graph ``[F, N]`` (bool); ``None`` when all."""
    if slots(graph) is None:
        return None
    return to_frames(torch.ones_like(graph.node_id, dtype=torch.bool), graph)


def frame_mask(graph: Batch) -> Tensor | None:
    """Which frames there are in the dense view ``[B, T]`` (bool); ``None`` when all clips have T.

    The frames of a clip stand one after another from the first on, whatever padding they came
    with; behind a shorter clip is nothing.
    """
    return _on(_front(clips_of(graph)), graph)


def in_clips(x: Tensor, graph: Batch) -> Tensor:
    """Dense view ``[B, T, …]`` of values of the frame graphs ``[F, …]``; 0 behind shorter clips."""
    layout = clips_of(graph)
    if layout.exists is None:
        return x.reshape(layout.clips, layout.frames, *x.shape[1:])
    return put_frames(x, _front(layout), layout.clips)


def in_frames(dense: Tensor, graph: Batch) -> Tensor:
    """Values of the frame graphs ``[F, …]`` of a dense view: the inverse of :func:`in_clips`."""
    return take_frames(dense, _front(clips_of(graph)))


def to_maps(x: Tensor, graph: Batch) -> Tensor:
    """Values of the frame graphs ``[F, …]`` where their frames came from ``[B, T, …]``.

    Unlike :func:`in_clips`, which leaves out padding, this is aligned with the features that the
    graphs were extracted from; frames that do not exist are 0.
    """
    layout = clips_of(graph)
    if layout.exists is None:
        return in_clips(x, graph)
    return put_frames(x, torch.tensor(layout.exists), layout.clips)


def to_dense(x: Tensor, graph: Batch) -> Tensor:
    """Dense view ``[B, T, N, …]`` of rows ``[V, …]``; absent nodes and frames are 0.

    Raises:
        InputError: when ``x`` has another number of rows than the graph has nodes, or its frames
            make no clips.
    """
    return in_clips(to_frames(x, graph), graph)


def from_dense(dense: Tensor, graph: Batch) -> Tensor:
    """Rows ``[V, …]`` of a dense view ``[B, T, N, …]``: the inverse of :func:`to_dense`."""
    layout = clips_of(graph)
    lead = (layout.clips, layout.frames, layout.nodes)
    if tuple(dense.shape[:3]) != lead:
        raise InputError("dense", f"[{', '.join(map(str, lead))}, ...]", list(dense.shape))
    return from_frames(in_frames(dense, graph), graph)


def presence(graph: Batch) -> Tensor | None:
    """Which identities are present in which frame ``[B, T, N]`` (bool); ``None`` when all are."""
    layout = clips_of(graph)
    if slots(graph) is None and layout.exists is None:
        return None
    return to_dense(torch.ones_like(graph.node_id, dtype=torch.bool), graph)


def newest(sequence: Tensor, graph: Batch, count: int = 1) -> Tensor:
    """What every clip ends with, for a state: a copy, which does not hold the sequence alive.

    Args:
        sequence: what came before, and the frames in the dense view, ``[B, k + T, …]``.
        graph: frame graphs.
        count: how many of the last ones.

    Returns:
        ``[B, count, …]``: of a clip of L frames those in front of k + L.

    Raises:
        InputError: when a clip has not so many.
    """
    layout = clips_of(graph)
    total = sequence.size(1)
    before = total - layout.frames
    ends = [before + length for length in layout.uneven or (layout.frames,)]
    if any(end < count for end in ends):
        raise InputError("sequence", f"at least {count} before the end of every clip", min(ends))
    if layout.exists is None:
        return sequence[:, total - count :].clone()
    chosen = torch.tensor(ends)[:, None] - count + torch.arange(count)  # [B, count]
    clip = torch.arange(layout.clips)[:, None] * total
    places = (clip + chosen).flatten().to(sequence.device, non_blocking=True)
    last = sequence.flatten(0, 1).index_select(0, places)
    return last.reshape(layout.clips, count, *sequence.shape[2:])


def _front(layout: Layout) -> Tensor | None:
    """Mask of the dense view ``[B, T]`` on the CPU; ``None`` where all frames exist."""
    return None if layout.exists is None else front(torch.tensor(layout.exists))


def _on(mask: Tensor | None, graph: Batch) -> Tensor | None:
    return None if mask is None else mask.to(graph.node_id.device, non_blocking=True)
