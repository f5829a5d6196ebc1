"""Boxes of clips by frame, from graphs and from clip batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, integer, shape
from stgraph.graph import clips_of, occupied, to_frames, to_maps
from stgraph.precision import precise

__all__ = ["Boxes", "at_frames", "boxes_of_batch", "boxes_of_graph", "iou"]


class Boxes(NamedTuple):
    """Boxes of the frames of clips, and which of them are the same thing at another time.

    :func:`boxes_of_graph`, :func:`boxes_of_batch` and the baselines make them; absent ones are 0.
    """

    box: Tensor
    """(x1, y1, x2, y2) in 0..1 of the frame ``[B, T, M, 4]``, in single precision at least."""
    present: Tensor
    """Which are there ``[B, T, M]`` (bool)."""
    track: Tensor
    """Of which identity they are ``[B, T, M]`` (int64), each at most once a frame."""
    exists: Tensor
    """Which frames there are ``[B, T]`` (bool)."""

    @property
    def centre(self) -> Tensor:
        """Centres (x, y) ``[B, T, M, 2]``."""
        return (self.box[..., :2] + self.box[..., 2:]) / 2


def boxes_of_graph(graph: Batch) -> Boxes:
    """Boxes of frame graphs of any extractor; the slots are the node identities.

    Frames stand where they came from, as the frames of the clip batch do, padding or not.

    Args:
        graph: frame graphs of whole clips.

    Returns:
        Boxes with B, T and N of the graph's layout.

    Raises:
        InputError: when the frames make no clips, or nodes have no boxes.
    """
    layout = clips_of(graph)
    if not isinstance(getattr(graph, "box", None), Tensor):
        raise InputError("graph", "nodes with a `box`", "none")
    box = to_maps(to_frames(precise(graph.box.detach()), graph), graph)
    frames = torch.ones(layout.graphs, dtype=torch.bool, device=box.device)
    exists = to_maps(frames, graph)
    here = occupied(graph)
    if here is None:
        here = frames[:, None].expand(-1, layout.nodes)
    track = torch.arange(layout.nodes, device=box.device).expand(box.shape[:3])
    return Boxes(box, to_maps(here, graph), track, exists)


def boxes_of_batch(batch: Mapping[str, Tensor]) -> Boxes:
    """True boxes of a clip batch.

    Of clips with several views, ``[B, V, T, M, …]``, each view is a clip.

    Args:
        batch: ``box [B, T, M, 4]``, and where there are any ``present [B, T, M]`` (bool; all by
            default), ``track [B, T, M]`` (whole numbers; slot m by default) and
            ``frame_mask [B, T]`` (bool; all by default).

    Raises:
        InputError: on other shapes or types; and on the CPU, where looking costs little, on a box
            that is there and is not finite or ends before it begins.

    Examples:
        >>> true = boxes_of_batch({"box": torch.tensor([0.0, 0.0, 0.5, 0.5]).expand(2, 5, 3, 4)})
        >>> tuple(true.track.shape), int(true.present.sum())
        ((2, 5, 3), 30)
    """
    if "box" not in batch:
        raise InputError("batch", "a dict with box", f"one of {sorted(batch)}")
    box = batch["box"]
    views = isinstance(box, Tensor) and box.dim() == 5
    lead = shape("box", box, "B V T M 4" if views else "B T M 4")[:-1]
    if not box.is_floating_point():
        raise InputError("box", "a floating-point tensor", box.dtype)
    present = _field(batch, "present", lead, box)
    exists = _field(batch, "frame_mask", lead[:-1], box)
    slots = torch.arange(lead[-1], device=box.device).expand(lead)
    track = batch.get("track", slots)
    shape("track", track, " ".join(map(str, lead)))
    if track.is_floating_point() or track.dtype == torch.bool:
        raise InputError("track", "a tensor of whole numbers", track.dtype)
    present = present & exists[..., None]
    box = precise(box.detach()).masked_fill(~present[..., None], 0)
    if box.device.type == "cpu":
        _check(box)
    found = Boxes(box, present, track.long().to(box.device), exists)
    return Boxes(*(field.flatten(0, 1) for field in found)) if views else found


def _field(batch: Mapping[str, Tensor], name: str, sizes: tuple[int, ...], box: Tensor) -> Tensor:
    """A mask of the batch, all true where it has none."""
    if name not in batch:
        return torch.ones(sizes, dtype=torch.bool, device=box.device)
    mask = batch[name]
    shape(name, mask, " ".join(map(str, sizes)))
    if mask.dtype != torch.bool:
        raise InputError(name, "a tensor of bool", mask.dtype)
    return mask.to(box.device)


def _check(box: Tensor) -> None:
    right = box.isfinite().all(-1) & (box[..., :2] <= box[..., 2:]).all(-1)
    if not right.all():
        place = (~right).nonzero()[0].tolist()
        got = f"{box[tuple(place)].tolist()} at {place}"
        raise InputError("box", "finite numbers with x1 <= x2 and y1 <= y2", got)


def at_frames(boxes: Boxes, frames: int) -> Boxes:
    r"""Boxes of as many frames, for graphs of maps that were pooled along time.

    A CNN that makes :math:`T'` maps of T frames has map t look at frame
    :math:`⌊(t + ½) T / T'⌋`, the one in the middle of its share.

    Examples:
        >>> box = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 1, 4)
        >>> at_frames(boxes_of_batch({"box": box}), 2).box[0, :, 0, 0]
        tensor([1., 3.])
    """
    came = boxes.box.size(1)
    if came == integer("frames", frames):
        return boxes
    numbers = torch.arange(frames, device=boxes.box.device)
    middle = torch.div((2 * numbers + 1) * came, 2 * frames, rounding_mode="floor")
    return Boxes(*(field.index_select(1, middle) for field in boxes))


def iou(one: Tensor, other: Tensor) -> Tensor:
    r"""Intersection over union of all pairs of two sets of boxes; 0 where both have no area.

    .. math:: \mathrm{IoU}(R, B) = \frac{|R ∩ B|}{|R ∪ B|}

    Args:
        one: ``[..., N, 4]`` (x1, y1, x2, y2).
        other: ``[..., M, 4]``.

    Returns:
        ``[..., N, M]``.

    Examples:
        >>> iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
        tensor([[0.3333]])
    """
    a, b = one[..., :, None, :], other[..., None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inside = (high - low).clamp_min(0).prod(-1)
    both = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inside
    return inside / both.clamp_min(torch.finfo(both.dtype).tiny)


def check_pair(found: Boxes, true: Boxes) -> None:
    """Check that two sets of boxes are of the same frames."""
    if found.box.shape[:2] != true.box.shape[:2]:
        sizes = list(true.box.shape[:2])
        raise InputError("found", f"{sizes} clips and frames", list(found.box.shape[:2]))
