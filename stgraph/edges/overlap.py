"""Regions that overlap."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import flag, fraction
from stgraph.edges.base import EdgeBuilder
from stgraph.edges.pairs import dense_field, pair_edges

__all__ = ["OverlapEdges", "intersection"]


def intersection(box: Tensor) -> Tensor:
    r"""Areas of the intersections of all pairs of boxes, :math:`|R_i ∩ R_j|`.

    Args:
        box: boxes (x1, y1, x2, y2) ``[..., N, 4]``.

    Returns:
        ``[..., N, N]``; its diagonal are the areas of the boxes.

    Examples:
        >>> intersection(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0]]))
        tensor([[1.0000, 0.2500],
                [0.2500, 0.2500]])
    """
    low = torch.maximum(box[..., :, None, :2], box[..., None, :, :2])
    high = torch.minimum(box[..., :, None, 2:], box[..., None, :, 2:])
    return (high - low).clamp_min(0).prod(dim=-1)  # [..., N, N, 2] → [..., N, N]


class OverlapEdges(EdgeBuilder):
    r"""Between all nodes of a frame whose boxes overlap.

    .. math::
        j ∈ \mathcal{N}(i) \iff |R_i ∩ R_j| > 0 \;\text{ and }\;
        \frac{|R_i ∩ R_j|}{|R_i ∪ R_j|} ≥ \mathrm{IoU}_{min}

    For regions that move; boxes that only touch do not overlap, nor does a box without area (for
    RSTG's grids, where cells that touch are neighbours, see :class:`~stgraph.edges.GridEdges`).
    How many edges there are depends on the boxes, so on an accelerator this waits for it once.

    Args:
        iou: the least intersection over union, from 0 to 1.
        loops: whether a node also sends to itself, whatever its box.

    Raises:
        InputError: when ``iou`` is no number from 0 to 1; on graphs without ``box``.

    Examples:
        >>> OverlapEdges(iou=0.1)
        OverlapEdges(iou=0.1, loops=False)
    """

    def __init__(self, iou: float = 0.0, loops: bool = False) -> None:
        self.iou = fraction("iou", iou)
        self.loops = flag("loops", loops)

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        common = intersection(dense_field(graph, "box", 4))
        size = common.diagonal(dim1=-2, dim2=-1)
        union = size[:, :, None] + size[:, None] - common
        joined = (common > 0) & (common >= self.iou * union)
        return pair_edges(joined, self.loops, graph)
