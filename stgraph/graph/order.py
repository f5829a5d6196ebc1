"""Whether rows of nodes stand in the order of slots, and what is known of it without looking.

Every layer of a schedule asks. Values change only with a tensor's version, so what was found once,
or is so by the way in which a graph was made, holds for as long as the versions do.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary
from torch_geometric.data import Data

from stgraph.graph.layout import Layout

__all__ = ["are_in_order", "frame_of", "note_order", "places", "versioned"]

_KNOWN: MutableMapping[Tensor, list[Any]] = WeakIdKeyDictionary()


def versioned() -> AbstractContextManager[object]:
    """A context whose new tensors have versions, in inference mode too, where others have none."""
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return nullcontext()
    return torch.inference_mode(False)


def frame_of(graph: Data) -> Tensor:
    """Number of the frame graph of every row ``[V]``; a single graph is frame 0."""
    batch: Tensor | None = getattr(graph, "batch", None)
    return torch.zeros_like(graph.node_id) if batch is None else batch


def places(graph: Data, layout: Layout) -> Tensor:
    """Slot :math:`fN + n` of every row ``[V]``, in frame graph f."""
    place: Tensor = frame_of(graph) * layout.nodes + graph.node_id
    return place


def are_in_order(graph: Data, layout: Layout) -> bool:
    """Whether rows are those of a dense view in order, as far as it is known without waiting."""
    if graph.node_id.device.type == "cpu":
        return _is_known(graph, layout) or _is_found(graph, layout)
    counts = getattr(graph, "_slice_dict", {}).get("node_id")  # on the CPU, of a loader's batch
    if not isinstance(counts, Tensor) or counts.device.type != "cpu":
        return True
    return bool((counts.diff() <= layout.nodes).all())


def note_order(graph: Data, layout: Layout) -> None:
    """Note that the rows are in order, until something is written to what tells it."""
    if torch.compiler.is_compiling():
        return
    rows, frames = graph.node_id, _frames(graph)
    if not rows.is_inference() and not frames.is_inference():
        _KNOWN[rows] = [ref(frames), layout.nodes, rows._version, frames._version]


def _is_known(graph: Data, layout: Layout) -> bool:
    rows, frames = graph.node_id, _frames(graph)
    before = _KNOWN.get(rows)
    if before is None:
        return False
    noted, *seen = before
    return noted() is frames and seen == [layout.nodes, rows._version, frames._version]


def _is_found(graph: Data, layout: Layout) -> bool:
    if not graph.node_id.numel():
        return True
    least, most = map(int, graph.node_id.aminmax())
    known = least >= 0 and most < layout.nodes
    found = known and bool((places(graph, layout).diff() > 0).all())
    if found:
        note_order(graph, layout)
    return found


def _frames(graph: Data) -> Tensor:
    frames: Tensor | None = getattr(graph, "batch", None)
    return graph.node_id if frames is None else frames
