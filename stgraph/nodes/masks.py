"""Nodes from masks that come from outside: ground truth, or any segmenter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stgraph.checks import InputError, flag, integer, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import area_weights, enclosing_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.nodes.identities import beside, by_identity, check_scores, check_slots, check_values

__all__ = ["BoxOf", "MaskNodes"]

BoxOf = Callable[[Tensor], Tensor]
"""``masks [..., h, w] → [..., 4]``: the box of a mask, in 0..1 of the frame."""


class MaskNodes(NodeExtractor):
    r"""Nodes are masks that the caller knows: of a segmenter, or drawn by people.

    The kernel of a node is its mask resized by area to the map's cells,

    .. math:: K(p) = \frac{1}{|p|} \int_p m(u)\,du,

    the mean of the mask over each cell: for a mask of 0 and 1, the share that it covers. A mask
    that fills a rectangle gives the node that :class:`BoxNodes` gives for the rectangle. The
    extractor has no parameters. Its hints are

    ===========  ===================  ===========================================================
    ``masks``    ``[B, T, M, h, w]``  bool, or numbers in 0..1, of any size, over the whole frame
    ``present``  ``[B, T, M]``        bool: where there is a mask; by default where one covers
                                      something. Others are not read, so padding may hold anything
    ``track``    ``[B, T, M]``        whole numbers 0..N−1: which identity a mask is, each at most
                                      once a frame. By default mask m is identity m
    ``scores``   ``[B, T, M]``        how sure the segmenter was, or more numbers
                                      ``[B, T, M, …]``: they become the node field
                                      ``scores [V, …]``
    ===========  ===================  ===========================================================

    Identities, frames without masks, streams and checks are as with :class:`BoxNodes`.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, identities of a clip; M by default, whatever M comes.
        edges: edge builder.
        box: the box of a mask; the smallest one around what is above 0 by default. For soft masks,
            which are hardly 0 anywhere, :func:`~stgraph.kernels.moment_box`.
        check: whether values of the hints are checked.

    Raises:
        InputError: when called without masks, with hints of other shapes or types, masks that are
            not in 0..1 or empty where they are said to be present, ids out of range or twice in a
            frame, and, without ``num_nodes``, pieces of a clip with different numbers of masks.

    Examples:
        >>> import torch
        >>> masks = torch.zeros(1, 1, 1, 4, 4)
        >>> masks[..., 1:3, 1:2] = 1
        >>> graph, _ = MaskNodes(channels=8)(torch.ones(1, 1, 8, 2, 2), masks=masks)
        >>> graph.box, graph.kernel * graph.mass
        (tensor([[0.2500, 0.2500, 0.5000, 0.7500]]), tensor([[[0.2500, 0.0000],
                 [0.2500, 0.0000]]]))
    """

    of_one_number = "; MaskNodes(num_nodes=...) sets it, and fewer masks are padded (`present`)"

    def __init__(
        self,
        channels: int,
        num_nodes: int | None = None,
        edges: EdgeBuilder | None = None,
        box: BoxOf = enclosing_box,
        check: bool = True,
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = None if num_nodes is None else integer("num_nodes", num_nodes)
        self.box = box
        self.check = flag("check", check)

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Three ellipses a frame that change places; some are missing, and some frames empty."""
        clips, frames = features.shape[:2]
        clip, frame, mask = torch.meshgrid(
            torch.arange(clips), torch.arange(frames), torch.arange(3), indexing="ij"
        )
        middle = torch.stack([2 + (3 * mask + frame) % 7, 2 + (5 * mask + clip) % 9], dim=-1)
        rows, columns = torch.arange(11)[:, None], torch.arange(13)
        far = (rows - middle[..., :1, None]) ** 2 + 2 * (columns - middle[..., 1:, None]) ** 2
        hints = {
            "masks": far <= (5 + mask + frame % 4)[..., None, None],  # [B, T, 3, 11, 13]
            "present": ((frame % 3 != 1) | (clip % 2 == 1)) & ((mask + frame) % 4 != 2),
            "track": (mask + frame) % 3,
            "scores": (1 + mask + frame) / 10,
        }
        return {name: hint.to(features.device) for name, hint in hints.items()}

    def regions(
        self,
        features: Tensor,
        state: Any = None,
        masks: Tensor | None = None,
        present: Tensor | None = None,
        track: Tensor | None = None,
        frame_mask: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> tuple[Regions, Any]:
        """Put the masks into the slots of their identities; there is no state."""
        if masks is None:
            raise InputError("masks", "masks [B, T, M, h, w] beside the features", "none")
        clips, frames, _, height, width = features.shape
        _, _, count, rows, columns = shape("masks", masks, clips, frames, "M h w")
        nodes = count if self.num_nodes is None else self.num_nodes
        if not rows or not columns:
            raise InputError("masks", "at least one pixel", list(masks.shape))
        if not masks.is_floating_point() and masks.dtype != torch.bool:
            raise InputError("masks", "a tensor of bool or of floating-point numbers", masks.dtype)
        if present is None:
            present = (masks.detach() != 0).flatten(-2).any(-1)  # NaN is told below
        sizes = (clips, frames, count)
        present = check_slots("masks", sizes, nodes, present, track, frame_mask, masks)
        if scores is not None:
            check_scores(scores, sizes)
        if self.check:
            _check(masks.detach(), present, track, nodes)
        by_id, mask = by_identity(masks, present, track, nodes)
        by_id = beside(by_id, features)
        extra = {}
        if scores is not None:
            extra["scores"] = beside(
                by_identity(scores.to(masks.device), present, track, nodes)[0], features
            )
        down = area_weights(rows, height, like=by_id)
        along = area_weights(columns, width, like=by_id)
        kernel = down @ by_id @ along.T  # [B, T, N, H, W]
        return Regions(kernel, self.box(by_id).to(by_id), mask, extra=extra), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        box = getattr(self.box, "__name__", repr(self.box))
        return f"{self.channels}, num_nodes={self.num_nodes}, box={box}, check={self.check}"


def _check(masks: Tensor, present: Tensor | None, track: Tensor | None, nodes: int) -> None:
    """Look at the values of the masks and ids that are there."""
    low, high = masks.flatten(-2).aminmax(dim=-1) if masks.dtype != torch.bool else _ends(masks)
    faults = {
        "masks in 0..1": ~((low >= 0) & (high <= 1)),  # which NaN is not
        "masks that cover something (or `present`)": ~(high > 0),
    }
    check_values("masks", "mask", faults, torch.stack([low, high], -1), present, track, nodes)


def _ends(masks: Tensor) -> tuple[Tensor, Tensor]:
    flat = masks.flatten(-2)
    return flat.all(-1).float(), flat.any(-1).float()
