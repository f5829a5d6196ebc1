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
from stgraph.nodes.identities import beside, by_identity, check_scores, check_slots, check_values

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
        count = shape("boxes", boxes, clips, frames, "M 4")[2]
        nodes = count if self.num_nodes is None else self.num_nodes
        if not boxes.is_floating_point():
            raise InputError("boxes", "a floating-point tensor", boxes.dtype)
        sizes = (clips, frames, count)
        present = check_slots("boxes", sizes, nodes, present, track, frame_mask, boxes)
        if scores is not None:
            check_scores(scores, sizes)
        if self.check:
            check_values("boxes", "box", _faults(boxes.detach()), boxes, present, track, nodes)
        box, mask = by_identity(boxes, present, track, nodes)
        box = beside(box, features)
        extra = {}
        if scores is not None:
            by_id, mask = by_identity(scores.to(boxes.device), present, track, nodes)
            extra["scores"] = beside(by_id, features)
        return Regions(self.kernel(box, height, width), box, mask, extra=extra), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        kernel = getattr(self.kernel, "__name__", repr(self.kernel))
        return f"{self.channels}, num_nodes={self.num_nodes}, kernel={kernel}, check={self.check}"


def _faults(boxes: Tensor) -> dict[str, Tensor]:
    """Where boxes are none ``[B, T, M]``, by what they should be."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return {
        "(x1, y1, x2, y2) in 0..1 of the frame": ~((boxes >= 0) & (boxes <= 1)).all(dim=-1),
        "x1 < x2 and y1 < y2": ~((x1 < x2) & (y1 < y2)),
    }
