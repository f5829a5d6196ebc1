"""How regions and true boxes of a frame lie to each other, each by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stgraph.checks import fraction
from stgraph.metrics.boxes import Boxes, check_pair, iou
from stgraph.metrics.ratio import Ratio

__all__ = [
    "iou_precision",
    "iou_recall",
    "l2_precision",
    "l2_recall",
    "nearest_region",
    "recall",
]

_DIAGONAL = math.sqrt(2)


def iou_precision(found: Boxes, true: Boxes) -> Ratio:
    r"""How well regions lie on objects: IoU_p of the DyReG paper.

    .. math:: \mathrm{IoU}_p = \operatorname{mean}_{t,i} \max_j \mathrm{IoU}(R_{t,i}, B_{t,j})

    over the regions of all frames with true boxes. The official code's regions are their full
    support, as ``graph.box`` is, but for half a cell (see the page on architecture).

    Raises:
        InputError: when they are not of the same frames.
    """
    return _regions(_overlaps(found, true), found, true)


def iou_recall(found: Boxes, true: Boxes) -> Ratio:
    r"""How well objects are covered: IoU_r of the DyReG paper.

    .. math:: \mathrm{IoU}_r = \operatorname{mean}_{t,j} \max_i \mathrm{IoU}(R_{t,i}, B_{t,j})

    over all true boxes; 0 for those of a frame without regions.

    Raises:
        InputError: when they are not of the same frames.
    """
    return Ratio.of(_best(_overlaps(found, true), 2), true.present)


def recall(found: Boxes, true: Boxes, threshold: float = 0.5) -> Ratio:
    """Share of true boxes that one of the N regions of the frame overlaps: recall at N.

    Args:
        found: regions.
        true: true boxes.
        threshold: smallest IoU that counts.

    Raises:
        InputError: on a threshold outside 0..1, and when they are not of the same frames.
    """
    fraction("threshold", threshold)
    best = _best(_overlaps(found, true), 2)
    regions = found.present.any(2, keepdim=True)
    return Ratio.of(((best >= threshold) & regions).to(best.dtype), true.present)


def l2_precision(found: Boxes, true: Boxes) -> Ratio:
    r"""Mean distance from the centre of a region to the nearest true centre.

    .. math:: \operatorname{mean}_{t,i} \min_j \lVert c(R_{t,i}) - c(B_{t,j}) \rVert

    in sides of the frame, over the regions of all frames with true boxes. (The DyReG poster gives
    distances of regions and true boxes without their formula; both directions are here.)

    Raises:
        InputError: when they are not of the same frames.
    """
    return _regions(-_distances(found, true), found, true, sign=-1)


def l2_recall(found: Boxes, true: Boxes) -> Ratio:
    r"""Mean distance from a true centre to that of the nearest region.

    .. math:: \operatorname{mean}_{t,j} \min_i \lVert c(R_{t,i}) - c(B_{t,j}) \rVert

    in sides of the frame, over all true boxes; √2 for those of a frame without regions.

    Raises:
        InputError: when they are not of the same frames.
    """
    distance = _distances(found, true).masked_fill(~found.present[..., None], _DIAGONAL)
    if not found.box.size(2):
        return Ratio.of(torch.full_like(true.box[..., 0], _DIAGONAL), true.present)
    return Ratio.of(distance.amin(2), true.present)


def nearest_region(found: Boxes, true: Boxes) -> Tensor:
    """Tell which region's centre lies nearest to each true one.

    Returns:
        Slots of regions ``[B, T, M]`` (int64), the first of equally near ones; −1 where there is no
        true box or no region.

    Raises:
        InputError: when they are not of the same frames.
    """
    none = torch.full_like(true.track, -1)
    if not found.box.size(2):
        return none
    distance = _distances(found, true).masked_fill(~found.present[..., None], math.inf)
    known = true.present & found.present.any(2, keepdim=True)
    return torch.where(known, distance.argmin(2), none)


def _overlaps(found: Boxes, true: Boxes) -> Tensor:
    """IoU of all pairs ``[B, T, N, M]``; 0 where one is absent."""
    check_pair(found, true)
    there = found.present[..., :, None] & true.present[..., None, :]
    return iou(found.box, true.box).masked_fill(~there, 0)


def _distances(found: Boxes, true: Boxes) -> Tensor:
    """Distances of the centres of all pairs ``[B, T, N, M]``."""
    check_pair(found, true)
    apart = found.centre[..., :, None, :] - true.centre[..., None, :, :]
    distance: Tensor = torch.linalg.vector_norm(apart, dim=-1)
    return distance


def _best(values: Tensor, dim: int) -> Tensor:
    """The largest along a dimension; 0 where it is empty."""
    return values.amax(dim) if values.size(dim) else values.sum(dim)


def _regions(values: Tensor, found: Boxes, true: Boxes, sign: int = 1) -> Ratio:
    """Mean over the regions of the largest value with a true box of their frame, times a sign."""
    values = values.masked_fill(~true.present[..., None, :], -math.inf)
    counts = found.present & true.present.any(2, keepdim=True)
    return Ratio.of(sign * _best(values, 3), counts)
