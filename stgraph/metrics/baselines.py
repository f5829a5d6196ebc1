"""Regions without a model, to compare with (DyReG, table of IoUs): centre, grid, detector."""

from __future__ import annotations

import torch
from torch import Tensor

from stgraph.checks import InputError, node_count, shape, sides
from stgraph.metrics.boxes import Boxes, boxes_of_batch
from stgraph.precision import precise

__all__ = ["centre_baseline", "detector_baseline", "grid_baseline"]


def centre_baseline(true: Boxes, side: float = 1 / 3) -> Boxes:
    """One region in the middle of every frame.

    The default is an untrained window of the DyReG paper (half-size H/6), whose nine regions at the
    centre are one. For windows as the official code has them, take ``boxes_of_graph`` of
    ``FixedRegions(channels, anchors=centre_anchors)``.

    Args:
        true: of whose frames.
        side: side of the region, as a share of the frame's.

    Raises:
        InputError: when it is none.
    """
    if isinstance(side, bool) or not 0 < side <= 1:
        raise InputError("side", "a number above 0, up to 1", side)
    low, high = (1 - side) / 2, (1 + side) / 2
    return _everywhere(true, torch.tensor([[low, low, high, high]]))


def grid_baseline(true: Boxes, scale: int = 3) -> Boxes:
    """The cells of an s×s grid in every frame, row by row; nine by default.

    These are the boxes of ``GridNodes(channels, (s,))``.

    Args:
        true: of whose frames.
        scale: s.

    Raises:
        InputError: when it makes no grid.
    """
    sides("scale", (scale,))
    cell = torch.arange(scale * scale)
    corner = torch.stack([cell % scale, cell // scale], dim=1)
    return _everywhere(true, torch.cat([corner, corner + 1], dim=1) / scale)


def detector_baseline(
    boxes: Tensor,
    scores: Tensor,
    present: Tensor | None = None,
    track: Tensor | None = None,
    count: int = 9,
) -> Boxes:
    """The boxes of a detector that it is surest of, as hints of ``BoxNodes`` hold them.

    Args:
        boxes: (x1, y1, x2, y2) in 0..1 of the frame ``[B, T, M, 4]``.
        scores: how sure the detector was ``[B, T, M]``.
        present: where there is a box ``[B, T, M]`` (bool); all by default.
        track: ids of a tracker ``[B, T, M]``; by default the m-th surest box of a frame is taken
            for the same thing as that of another.
        count: how many of a frame are kept.

    Raises:
        InputError: on other shapes or types.
    """
    given = {"box": boxes} | ({} if present is None else {"present": present})
    every = boxes_of_batch(given | ({} if track is None else {"track": track}))
    sizes = every.present.shape
    shape("scores", scores, " ".join(map(str, sizes)))
    sure = precise(scores.detach()).to(boxes.device).masked_fill(~every.present, -torch.inf)
    kept = min(node_count("count", count), sizes[2])
    best = sure.topk(kept, dim=2).indices  # [B, T, count], the surest first
    present = every.present.gather(2, best)
    slots = torch.arange(kept, device=boxes.device).expand(best.shape)
    return Boxes(
        every.box.gather(2, best[..., None].expand(-1, -1, -1, 4)),
        present,
        slots if track is None else every.track.gather(2, best),
        every.exists,
    )


def _everywhere(true: Boxes, box: Tensor) -> Boxes:
    """The same regions ``[N, 4]`` in all frames that exist."""
    clips, frames = true.exists.shape
    lead = (clips, frames, len(box))
    present = true.exists[..., None].expand(lead)
    track = torch.arange(len(box), device=present.device).expand(lead)
    return Boxes(box.to(true.box).expand(*lead, 4), present, track, true.exists)
