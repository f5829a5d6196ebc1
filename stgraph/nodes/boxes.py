"""Nodes from boxes that come from outside: ground truth, or any detector or tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stgraph.checks import InputError, flag, integer, positive, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, area, separable, tent
from stgraph.nodes.base import NodeExtractor, Regions

__all__ = ["BoxKernel", "BoxNodes", "WindowKernel"]

BoxKernel = Callable[[Tensor, int, int], Tensor]
"""``(box [..., 4], H, W) → [..., H, W]``: pooling weights of a box."""


@dataclass(frozen=True)
class WindowKernel:
    r"""A window's kernel for a box: its centre, half its sides, and a profile (DyReG, "GT boxes").

    On an axis of H cells a box from :math:`y_1` to :math:`y_2` becomes the window with centre
    :math:`H (y_1 + y_2) / 2 - ½` and half-size :math:`λ H (y_2 - y_1) / 2`. With the tent, a box
    smaller than a cell may weigh no cell at all; its node is 0 then.

    Args:
        profile: profile of the kernel on an axis.
        scale: λ.
    """

    profile: AxisProfile = tent
    scale: float = 1.0

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def __call__(self, box: Tensor, height: int, width: int) -> Tensor:
        """Weights ``[..., H, W]`` of ``box [..., 4]``."""
        x1, y1, x2, y2 = box.unbind(-1)
        centre = torch.stack([height * (y1 + y2) - 1, width * (x1 + x2) - 1], dim=-1) / 2
        size = self.scale / 2 * torch.stack([height * (y2 - y1), width * (x2 - x1)], dim=-1)
        return separable(self.profile, centre, size, height, width)


class BoxNodes(NodeExtractor):
    """Nodes are boxes that the caller knows (DyReG, "GT boxes"; any detector).

    The boxes come with each call, as hints beside the features:

    ===========  ================  ==============================================================
    ``boxes``    ``[B, T, M, 4]``  (x1, y1, x2, y2) in 0..1 of the frame, M slots a frame
    ``present``  ``[B, T, M]``     bool: where there is a box; all by default. Boxes that are not
                                   there are not read, so padding may hold anything
    ``track``    ``[B, T, M]``     whole numbers 0..N−1: which identity a box is, each at most once
                                   a frame. By default box m is identity m
    ``scores``   ``[B, T, M]``     how sure the detector was, or more numbers ``[B, T, M, …]``: they
                                   become the node field ``scores [V, …]``
    ===========  ================  ==============================================================

    A node's identity is what time layers follow, so pass track ids where the order of boxes changes
    between frames. An identity that no box of a frame has is absent from it; frames may be empty.
    :func:`~stgraph.nodes.pad_detections` and :func:`~stgraph.nodes.track_slots` make hints of what
    detectors and trackers return. On a stream give ``num_nodes``, since all pieces of a clip have
    the same identities.
    Values are checked where the hints lie. On the CPU, where loaders make them, that costs little,
    and counting the nodes waits for nothing; on an accelerator both wait for it.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, identities of a clip; M by default, whatever M comes.
        edges: edge builder.
        kernel: pooling weights of a box; the share of each cell that it covers by default,
            :class:`WindowKernel` for a window's.
        check: whether values of the hints are checked.

    Raises:
        InputError: when called without boxes, with hints of other shapes or types, boxes that are
            not inside the frame or are empty, ids out of range or twice in a frame, and, without
            ``num_nodes``, pieces of a clip with different numbers of boxes.

    Examples:
        >>> import torch
        >>> nodes = BoxNodes(channels=8, num_nodes=3)
        >>> boxes = torch.tensor([0.25, 0.25, 0.75, 0.5]).expand(1, 2, 1, 4)
        >>> track = torch.tensor([[[2], [0]]])
        >>> graph, _ = nodes(torch.ones(1, 2, 8, 4, 4), boxes=boxes, track=track)
        >>> graph.node_id, graph.time
        (tensor([2, 0]), tensor([0, 1]))
        >>> graph.kernel[0]
        tensor([[0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.5000, 0.5000, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0000, 0.0000]])
    """

    of_one_number = "; BoxNodes(num_nodes=...) sets it, and fewer boxes are padded (`present`)"

    def __init__(
        self,
        channels: int,
        num_nodes: int | None = None,
        edges: EdgeBuilder | None = None,
        kernel: BoxKernel = area,
        check: bool = True,
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = None if num_nodes is None else integer("num_nodes", num_nodes)
        self.kernel = kernel
        self.check = flag("check", check)

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Three boxes a frame that change places; some are missing, and some frames empty."""
        clips, frames = features.shape[:2]
        clip, frame, box = torch.meshgrid(
            torch.arange(clips), torch.arange(frames), torch.arange(3), indexing="ij"
        )
        corner = torch.stack([(3 * box + frame) % 7, (5 * box + clip) % 7], dim=-1) / 10
        side = torch.stack([1 + (box + frame) % 3, 1 + box], dim=-1) / 10
        hints = {
            "boxes": torch.cat([corner, corner + side], dim=-1),
            "present": ((frame % 3 != 1) | (clip % 2 == 1)) & ((box + frame) % 4 != 2),
            "track": (box + frame) % 3,
            "scores": (1 + box + frame) / 10,
        }
        return {name: hint.to(features.device) for name, hint in hints.items()}

    def regions(
        self,
        features: Tensor,
        state: Any = None,
        boxes: Tensor | None = None,
        present: Tensor | None = None,
        track: Tensor | None = None,
        frame_mask: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> tuple[Regions, Any]:
        """Put the boxes into the slots of their identities; there is no state."""
        if boxes is None:
            raise InputError("boxes", "boxes [B, T, M, 4] beside the features", "none")
        clips, frames, _, height, width = features.shape
        count = shape("boxes", boxes, f"{clips} {frames} M 4")[2]
        nodes = count if self.num_nodes is None else self.num_nodes
        if not nodes:
            raise InputError("boxes", "at least one slot a frame, or num_nodes=", list(boxes.shape))
        if not boxes.is_floating_point():
            raise InputError("boxes", "a floating-point tensor", boxes.dtype)
        for name, hint in (("present", present), ("track", track)):
            if hint is not None:
                shape(name, hint, f"{clips} {frames} {count}")
        if present is not None and present.dtype != torch.bool:
            raise InputError("present", "a tensor of bool", present.dtype)
        if track is not None and (track.is_floating_point() or track.dtype == torch.bool):
            raise InputError("track", "a tensor of whole numbers", track.dtype)
        if track is None and count > nodes:
            raise InputError("boxes", f"at most {nodes} a frame without track ids", count)
        if frame_mask is not None:  # padding may hold anything
            frame = frame_mask[..., None].to(boxes.device, non_blocking=True)
            if present is None:
                present = frame.expand(clips, frames, count)
            else:
                present = present & frame.to(present.device)
        if scores is not None:
            lead = f"[{clips}, {frames}, {count}, ...]"
            if not isinstance(scores, Tensor) or scores.shape[:3] != boxes.shape[:3]:
                came = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                raise InputError("scores", lead, came)
        if self.check:
            _check(boxes, present, track, nodes)
        box, mask = _by_identity(boxes, boxes, present, track, nodes)
        box = _beside(box, features)
        extra = {}
        if scores is not None:
            by_id, mask = _by_identity(scores.to(boxes.device), boxes, present, track, nodes)
            extra["scores"] = _beside(by_id, features)
        return Regions(self.kernel(box, height, width), box, mask, extra=extra), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        kernel = getattr(self.kernel, "__name__", repr(self.kernel))
        return f"{self.channels}, num_nodes={self.num_nodes}, kernel={kernel}, check={self.check}"


def _beside(value: Tensor, features: Tensor) -> Tensor:
    """What came with the features, where they are, in single precision at least."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    return value.to(features.device, dtype, non_blocking=value.device.type == "cpu")


def _by_identity(
    values: Tensor, boxes: Tensor, present: Tensor | None, track: Tensor | None, nodes: int
) -> tuple[Tensor, Tensor | None]:
    """Values of the boxes by identity ``[B, T, N, …]``, and which are there ``[B, T, N]``.

    ``None`` where all are.
    """
    count = boxes.size(2)
    if present is None and track is None and count == nodes:
        return values, None
    if present is None:
        present = boxes.new_ones(boxes.shape[:3], dtype=torch.bool)
    if track is None:
        track = torch.arange(count, device=boxes.device).expand(present.shape)
    present, track = present.to(boxes.device), track.to(boxes.device)
    place = track.long().masked_fill(~present, nodes)  # one slot more, for what is not there
    rest = (1,) * (values.dim() - 3)
    known = values.masked_fill(~present.view(*present.shape, *rest), 0)
    out = values.new_zeros(*values.shape[:2], nodes + 1, *values.shape[3:])
    out = out.scatter(2, place.view(*place.shape, *rest).expand_as(values), known)
    mask = present.new_zeros(*present.shape[:2], nodes + 1).scatter(2, place, present)
    return out[:, :, :nodes], mask[:, :, :nodes]


def _check(boxes: Tensor, present: Tensor | None, track: Tensor | None, nodes: int) -> None:
    """Look at the values of the boxes and ids that are there, all with one look at the device."""
    known = boxes.detach()
    there = known.new_ones(known.shape[:3], dtype=torch.bool)
    if present is not None:
        there = present.to(known.device)
    x1, y1, x2, y2 = known.unbind(-1)
    faults = {
        "(x1, y1, x2, y2) in 0..1 of the frame": ~((known >= 0) & (known <= 1)).all(dim=-1),
        "x1 < x2 and y1 < y2": ~((x1 < x2) & (y1 < y2)),
    }
    if track is not None:
        track = track.to(known.device).long()
        outside = (track < 0) | (track >= nodes)
        place = track.masked_fill(outside | ~there, nodes)
        times = torch.zeros(*place.shape[:2], nodes + 1, dtype=torch.long, device=place.device)
        times = times.scatter_add(2, place, torch.ones_like(place))
        faults[f"ids in 0..{nodes - 1}"] = outside
        faults["an id once a frame"] = (times.gather(2, place) > 1) & (place < nodes)
    wrong = torch.stack([fault & there for fault in faults.values()])
    if not wrong.any():
        return
    kind, clip, frame, number = wrong.nonzero()[0].tolist()
    name, values = ("boxes", known) if kind < 2 or track is None else ("track", track)
    got = values[clip, frame, number].tolist()
    raise InputError(name, list(faults)[kind], f"{got} (clip {clip}, frame {frame}, box {number})")
