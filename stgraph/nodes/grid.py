"""Cells of multi-scale grids, as in RSTG; one scale is the fixed grid of DyReG's baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stgraph.checks import sides
from stgraph.edges import EdgeBuilder
from stgraph.kernels import area
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.precision import precise_type

__all__ = ["GridNodes", "grid_boxes", "grid_cells"]


def grid_cells(scales: Sequence[int]) -> Tensor:
    """Cells of s×s grids, row by row, scale by scale: (column, row, s) ``[N, 3]``, whole numbers.

    Examples:
        >>> grid_cells((2, 1)).tolist()
        [[0, 0, 2], [1, 0, 2], [0, 1, 2], [1, 1, 2], [0, 0, 1]]
    """
    cells = []
    for side in scales:
        number = torch.arange(side * side)
        cells.append(torch.stack([number % side, number // side, torch.full_like(number, side)], 1))
    return torch.cat(cells)


def grid_boxes(cells: Tensor, dtype: torch.dtype) -> Tensor:
    """Boxes (x1, y1, x2, y2) ``[N, 4]`` in 0..1 of :func:`grid_cells`, as exact as the type is."""
    corner, side = cells[:, :2].to(dtype), cells[:, 2:]
    return torch.cat([corner, corner + 1], dim=1) / side


class GridNodes(NodeExtractor):
    """Nodes are the cells of s×s grids at several scales (RSTG).

    A cell's feature is the exact fractional-overlap average of the map over it, for any map size;
    with ``Remap(normalised=False)`` nodes return as the area resize of every scale, summed.

    Args:
        channels: C, channels of the feature maps.
        scales: grid sides, the largest first; ``(3, 2, 1)`` gives 14 nodes, ``(4, 3, 2, 1)`` 30.
        edges: edge builder, for example ``GridEdges(scales)``.

    Examples:
        >>> graph, _ = GridNodes(channels=8, scales=(3, 2, 1))(torch.ones(2, 5, 8, 6, 6))
        >>> graph.num_graphs, tuple(graph.x.shape)
        (10, (140, 8))
    """

    cells: Tensor

    def __init__(
        self, channels: int, scales: Sequence[int] = (3, 2, 1), edges: EdgeBuilder | None = None
    ) -> None:
        super().__init__(channels, edges)
        self.scales = sides("scales", scales)
        self.register_buffer("cells", grid_cells(self.scales), persistent=False)

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The same cells in every frame; there is no state."""
        clips, frames, _, height, width = features.shape
        dtype = precise_type(features.dtype)
        box = grid_boxes(self.cells, dtype)
        kernel = area(box, height, width).expand(clips, frames, -1, -1, -1)  # [B, T, N, H, W]
        return Regions(kernel, box.expand(clips, frames, -1, -1)), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, scales={self.scales}, edges={self.edges!r}"
