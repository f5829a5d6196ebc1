"""Frames with the regions drawn on them: where the nodes of a video graph look."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, fraction, integer, shape
from stgraph.viz.clips import frame_list, video_frames
from stgraph.viz.colours import identity_colour, identity_colours
from stgraph.viz.pixels import GLYPH, dashes, fill, number, outline

__all__ = ["region_frames"]

_WIDTH = 320  # pixels, about, of a picture whose scale was not given
_FINE = 160  # pixels from which on lines and figures would be too coarse without enlargement
_STRIP = (21, 24, 29)
_DARK = (16, 16, 16)


def region_frames(
    video: Tensor,
    graph: Batch,
    *,
    box: Tensor | None = None,
    marked: Tensor | None = None,
    scale: int | None = None,
    kernels: float = 0.5,
    legend: bool = True,
) -> Tensor:
    """Draw every node's box and kernel on the frames of one clip.

    A node identity keeps its colour; a node that a frame lacks is not drawn there and its number
    in the legend is dimmed. A kernel shows as a tint, scaled to its own maximum:
    with :math:`w_n = s K_n / max K_n`, a pixel is covered by :math:`1 - ∏_n (1 - w_n)`.

    Args:
        video: frames ``[T, 1|3, H, W]`` uint8.
        graph: the T frame graphs of the clip (maps may have another size than frames).
        box: true boxes ``[T, M, 4]``, drawn in white dashes.
        marked: which of the true boxes get an unbroken line ``[M]`` (bool).
        scale: whole factor of enlargement; by default what makes the longer side about 320, and 2
            between 160 and 320, so that lines are fine beside what they stand around.
        kernels: strength s of the tint, 0..1.
        legend: whether a strip with the node numbers and the progress of the clip stands below.

    Returns:
        Pictures ``[T, h, w, 3]`` uint8.

    Raises:
        InputError: when the sizes do not fit together.
    """
    pictures = video_frames(video)  # [T, H, W, 3]
    frames, height, width, _ = pictures.shape
    factor = _enlargement(max(height, width)) if scale is None else integer("scale", scale)
    fraction("kernels", kernels)
    graphs = frame_list(graph, frames)
    truth = None if box is None else _truth(box, marked, frames)

    pictures = pictures.repeat_interleave(factor, 1).repeat_interleave(factor, 2)  # [T, h, w, 3]
    thickness = max(1, round(min(pictures.shape[1:3]) / 160))
    for picture, nodes in zip(pictures, graphs, strict=True):
        picture.copy_(_tint(picture, nodes.kernel, identity_colours(nodes.node_id), kernels))
        for node_id, region in zip(nodes.node_id.tolist(), nodes.box, strict=True):
            outline(picture, region, identity_colour(node_id), thickness)
    if truth is not None:
        for picture, boxes in zip(pictures, truth[0], strict=True):
            for true_box, whole in zip(boxes, truth[1], strict=True):
                dashes(picture, true_box, 0 if whole else 3 * thickness, max(1, thickness // 2))
    return torch.cat([pictures, _legend(graphs, pictures.size(2))], 1) if legend else pictures


def _enlargement(side: int) -> int:
    return 2 if _FINE < side < _WIDTH else max(1, round(_WIDTH / side))


def _truth(box: Tensor, marked: Tensor | None, frames: int) -> tuple[Tensor, list[bool]]:
    count = shape("box", box, frames, "M 4")[1]
    if not box.isfinite().all():
        raise InputError("box", "finite numbers", "nan or infinity")
    if marked is None:
        return box.detach().cpu(), [False] * count
    shape("marked", marked, str(count))
    return box.detach().cpu(), marked.bool().tolist()


def _tint(picture: Tensor, kernel: Tensor, colours: Tensor, strength: float) -> Tensor:
    """Cover a picture ``[h, w, 3]`` with kernels ``[V, H, W]`` in their colours ``[V, 3]``."""
    if not kernel.size(0) or not strength:
        return picture
    weight = kernel.float().clamp(min=0)
    weight = weight / weight.amax((1, 2), keepdim=True).clamp(min=1e-12)
    weight = strength * F.interpolate(
        weight[None], picture.shape[:2], mode="bilinear", align_corners=False
    ).squeeze(0)  # [V, h, w]
    cover = 1 - (1 - weight).prod(0)[..., None]  # [h, w, 1]
    mixed = torch.einsum("vhw,vc->hwc", weight, colours) / weight.sum(0)[..., None].clamp(min=1e-12)
    return (picture * (1 - cover) + mixed * cover).round().to(torch.uint8)


def _legend(graphs: list[Any], width: int) -> Tensor:
    """Strip under every frame ``[T, s, w, 3]``: a chip a node identity, and the progress."""
    present = [set(nodes.node_id.tolist()) for nodes in graphs]
    identities = sorted(set().union(*present))
    unit = max(1, round(width / 200))  # size of a dot of the figures
    digits = len(str(max(identities, default=0)))
    chip = (digits * (GLYPH[0] + 1) + 3) * unit, (GLYPH[1] + 4) * unit
    gap = 2 * unit
    columns = max(1, (width - gap) // (chip[0] + gap))
    rows = -(-len(identities) // columns)
    strip = torch.empty(
        len(graphs), rows * (chip[1] + gap) + gap + 2 * unit, width, 3, dtype=torch.uint8
    )
    strip[:] = torch.tensor(_STRIP, dtype=torch.uint8)
    for time, (picture, here) in enumerate(zip(strip, present, strict=True)):
        for place, node_id in enumerate(identities):
            left = gap + place % columns * (chip[0] + gap)
            top = gap + place // columns * (chip[1] + gap)
            colour = identity_colour(node_id)
            if node_id not in here:
                colour = tuple(part // 4 for part in colour)  # type: ignore[assignment]
            fill(picture, left, top, left + chip[0] - 1, top + chip[1] - 1, colour)
            inset = (chip[0] - (len(str(node_id)) * (GLYPH[0] + 1) - 1) * unit) // 2
            number(picture, left + inset, top + 2 * unit, node_id, _DARK, unit)
        done = round(width * (time + 1) / len(graphs))
        fill(picture, 0, picture.size(0) - unit, done - 1, picture.size(0) - 1, (200, 205, 212))
    return strip
