"""How regions move: with what they follow, and with each other."""

from __future__ import annotations

import torch
from torch import Tensor

from stgraph.metrics.boxes import Boxes
from stgraph.metrics.overlap import nearest_region
from stgraph.metrics.ratio import Ratio, add_up

__all__ = ["common_motion", "displacement_error"]


def displacement_error(found: Boxes, true: Boxes) -> Ratio:
    r"""Mean error of the movement of a region against that of the box which it follows.

    .. math:: \operatorname{mean}_{t,j} \lVert (c(R_{t,i}) - c(R_{t-1,i})) -
        (c(B_{t,j}) - c(B_{t-1,j})) \rVert, \qquad
        i = \operatorname{argmin}_i \lVert c(R_{t-1,i}) - c(B_{t-1,j}) \rVert

    in sides of the frame, over all true boxes whose track is in the frame before too, and whose
    region is in both. Regions that stand still get the mean movement of the boxes.

    Raises:
        InputError: when they are not of the same frames.
    """
    nearest = nearest_region(found, true)[:, :-1]  # [B, T - 1, M], of the frame before
    if not found.box.size(2):
        return Ratio.of(true.box.new_zeros(0))
    moved, stays = _movement(found)
    slot = nearest.clamp_min(0)
    theirs = moved.gather(2, slot[..., None].expand(-1, -1, -1, 2))
    follows = (nearest >= 0) & stays.gather(2, slot)
    should, lasts = _movement(true)
    return Ratio.of(torch.linalg.vector_norm(theirs - should, dim=-1), follows & lasts)


def common_motion(found: Boxes) -> Ratio:
    r"""Share of the regions' movement that is the same for all regions of a frame.

    .. math:: \frac{\sum_t n_t \lVert \bar m_t \rVert^2}{\sum_t \sum_i \lVert m_{t,i} \rVert^2},
        \qquad m_{t,i} = c(R_{t,i}) - c(R_{t-1,i})

    over the :math:`n_t ≥ 2` regions that are in both frames: 1 when all move alike, as a camera
    would make them or an extractor whose regions differ by their anchors alone; about 1/N when
    they move independently. Regions that never move have none.
    """
    moved, stays = _movement(found)
    count = stays.sum(2, keepdim=True)  # [B, T - 1, 1]
    stays = stays & (count >= 2)
    moved = moved.masked_fill(~stays[..., None], 0)
    mean = moved.sum(2) / count.clamp_min(1)  # [B, T - 1, 2]
    return Ratio(add_up(count * mean.square()), add_up(moved.square()))


def _movement(boxes: Boxes) -> tuple[Tensor, Tensor]:
    """How far each went until the next frame, and which are in both.

    ``[B, T − 1, M, 2]`` and ``[B, T − 1, M]``, at the slots of the frame before.
    """
    before, after = boxes.track[:, :-1, :, None], boxes.track[:, 1:, None, :]
    there = boxes.present[:, :-1, :, None] & boxes.present[:, 1:, None, :]
    same = (before == after) & there  # [B, T - 1, M, M]
    if not boxes.box.size(2):
        return boxes.centre[:, 1:], same.any(3)
    slot = same.byte().argmax(3)  # gathered, since a product may be taken in half precision
    centre = boxes.centre[:, 1:].gather(2, slot[..., None].expand(-1, -1, -1, 2))
    return centre - boxes.centre[:, :-1], same.any(3)
