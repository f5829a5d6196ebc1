"""RSTG's rule for the cells of multi-scale grids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, sides
from stgraph.edges.base import EdgeBuilder, check_identities, pairs_of, repeated

__all__ = ["GridEdges", "grid_adjacency"]


def grid_adjacency(scales: Sequence[int], height: int = 64, width: int = 64) -> Tensor:
    """Adjacency of the cells of s×s grids: neighbours, and overlap across scales.

    Cells are closed rectangles in frame pixels with sides ⌊height/s⌋ and ⌊width/s⌋. Two are
    connected when they overlap or share part of an edge; contact in a corner alone does not count,
    nor does a cell with itself (RSTG; the rule is the official code's).

    Args:
        scales: grid sides, in the order of the nodes, for example ``(3, 2, 1)``.
        height: rows of the frame in pixels.
        width: columns of the frame in pixels.

    Returns:
        ``[N, N]`` (bool), symmetric.

    Examples:
        >>> int(grid_adjacency((3, 2, 1)).sum()) // 2, int(grid_adjacency((4, 3, 2, 1)).sum()) // 2
        (45, 153)
    """

    cells = [(row, column, s) for s in scales for row in range(s) for column in range(s)]
    row, column, side = torch.tensor(cells).unbind(1)  # [N] each

    def overlap(number: Tensor, pixels: int) -> Tensor:  # [N, N]; 0 is touching, below 0 apart
        length = pixels // side
        low, high = number * length, (number + 1) * length
        return torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)

    over_y, over_x = overlap(row, height), overlap(column, width)
    joined = (over_y >= 0) & (over_x >= 0) & ((over_y > 0) | (over_x > 0))
    return joined.fill_diagonal_(False)


class GridEdges(EdgeBuilder):
    """Edges between the cells of multi-scale grids, as :func:`grid_adjacency` says (RSTG).

    Args:
        scales: grid sides, in the order of the nodes.
        frame: rows and columns of the frame in pixels, which the rule rounds cells to.

    Raises:
        InputError: on an empty or wrong list of scales, or a grid finer than the frame.
    """

    check = False

    def __init__(
        self, scales: Sequence[int] = (3, 2, 1), frame: tuple[int, int] = (64, 64)
    ) -> None:
        self.scales = sides("scales", scales)
        if max(self.scales) > min(frame):
            raise InputError("scales", f"sides up to the frame's {min(frame)}", list(self.scales))
        self.frame = (frame[0], frame[1])
        with torch.device("cpu"):  # where values are, though a model may be built without any
            self._adjacency = grid_adjacency(self.scales, *self.frame)
            self._pairs = pairs_of(self._adjacency)

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        check_identities(self._adjacency, graph)
        return repeated(self._pairs, graph)
