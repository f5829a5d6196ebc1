r"""From what a network predicts for a region to a window on the map.

A prediction is :math:`o = (o_h, o_w, Δ_y, Δ_x)`; an anchor :math:`a` in 0..1 is where the region
starts. On an axis of H cells (DyReG, region generation):

.. math::
    s = e^{o} (H/λ + b) + c, \qquad
    p = \tfrac{H}{2} \tanh(Δ + \operatorname{artanh}(2a - 1)) + \tfrac{H}{2}

The paper has λ = 6, b = c = 0; its official code has b = c = 1 and keeps p within [0, H − 1].
Where only positions are learned, s = H/λ + b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stgraph.checks import InputError, node_count, positive

__all__ = ["FixedSizeWindows", "WindowRule", "Windows", "centre_anchors", "grid_anchors"]

WindowRule = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]
"""``(offset [..., N, 4], anchor [N, 2], H, W) → centre, size``, each ``[..., N, 2]`` in cells."""

_LARGEST = 10.0


def centre_anchors(nodes: int) -> Tensor:
    """All regions start at the centre of the map: ``[N, 2]`` (row, column) in 0..1."""
    return torch.full((node_count("nodes", nodes), 2), 0.5)


def grid_anchors(nodes: int) -> Tensor:
    """Regions start at the cell centres of a square grid, row by row: ``[N, 2]`` in 0..1.

    Raises:
        InputError: when ``nodes`` is no square number.

    Examples:
        >>> grid_anchors(9)[1]
        tensor([0.1667, 0.5000])
    """
    side = math.isqrt(node_count("nodes", nodes))
    if side * side != nodes:
        raise InputError("nodes", "a square number for grid anchors", nodes)
    cell = torch.arange(nodes)
    return (torch.stack([cell // side, cell % side], dim=-1) + 0.5) / side


def _centres(offset: Tensor, anchor: Tensor, height: int, width: int, inside: bool) -> Tensor:
    """Centres (row, column) ``[..., N, 2]`` in cells by the equation of the module's docstring."""
    start = torch.atanh((2 * anchor.to(offset.dtype) - 1).clamp(-1 + 1e-7, 1 - 1e-7))
    centres = []
    for axis, cells in enumerate((height, width)):  # numbers: a tensor would be copied over
        centre = cells / 2 * torch.tanh(offset[..., 2 + axis] + start[..., axis]) + cells / 2
        centres.append(centre.clamp(0, cells - 1) if inside else centre)
    return torch.stack(centres, dim=-1)


@dataclass(frozen=True)
class Windows:
    """The rule of the module's docstring.

    Args:
        ratio: λ, the initial half-size is H/λ cells (plus the following).
        cells: b, cells added before the learned factor.
        margin: c, cells added after it.
        inside: whether centres are kept within the cell indices [0, H − 1], as in the official
            code; the paper's lie in [0, H].
        growth: largest size exponent |o|; ``None`` for none but 10, where a size is thousands of
            maps and its square still a number. Unlimited sizes can inflate past the map early in
            training, where regions stop learning.

    Examples:
        >>> Windows().initial(16)  # official sizes
        4.666666666666666
        >>> Windows.paper().initial(18)
        3.0
    """

    ratio: float = 6.0
    cells: float = 1.0
    margin: float = 1.0
    inside: bool = True
    growth: float | None = None

    def __post_init__(self) -> None:
        positive("ratio", self.ratio)
        if not (self.cells >= 0 and self.margin >= 0):
            raise InputError("cells, margin", "at least 0", (self.cells, self.margin))
        if self.growth is not None:
            positive("growth", self.growth)

    @classmethod
    def paper(cls, ratio: float = 6.0) -> Windows:
        """Sizes and centres as the DyReG paper prints them."""
        return cls(ratio, cells=0.0, margin=0.0, inside=False)

    def initial(self, cells: int) -> float:
        """Half-size of an untrained region on an axis of so many cells."""
        return cells / self.ratio + self.cells + self.margin

    def __call__(
        self, offset: Tensor, anchor: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Apply the rule.

        Args:
            offset: predictions (o_h, o_w, Δ_y, Δ_x) ``[..., N, 4]``.
            anchor: anchors (row, column) ``[N, 2]`` in 0..1.
            height: rows H of the map.
            width: columns W of the map.

        Returns:
            Centres and half-sizes (row, column) ``[..., N, 2]`` in cells.
        """
        sizes = []
        for axis, cells in enumerate((height, width)):
            limit = _LARGEST if self.growth is None else self.growth
            exponent = offset[..., axis].clamp(-limit, limit)
            sizes.append(exponent.exp() * (cells / self.ratio + self.cells) + self.margin)
        centre = _centres(offset, anchor, height, width, self.inside)
        return centre, torch.stack(sizes, dim=-1)


@dataclass(frozen=True)
class FixedSizeWindows:
    """Windows that move but keep their size, H/λ + b cells (DyReG, "position-only").

    The predictions o_h and o_w go unread. They are still there, so that weights fit those of
    regions that learn their size.

    Args:
        ratio: λ.
        cells: b, cells added; the older official code has 1.
        inside: whether centres are kept within the cell indices [0, H − 1].

    Examples:
        >>> FixedSizeWindows().initial(18)
        4.0
        >>> FixedSizeWindows.of(1.0).initial(18)  # for bilinear sampling
        1.0
    """

    ratio: float = 6.0
    cells: float = 1.0
    inside: bool = True

    def __post_init__(self) -> None:
        positive("ratio", self.ratio)
        if not self.cells >= 0 or (math.isinf(self.ratio) and not self.cells):
            raise InputError("cells", "at least 0, and a size above 0", self.cells)

    @classmethod
    def of(cls, cells: float, inside: bool = True) -> FixedSizeWindows:
        """Windows whose half-size is so many cells on maps of every size."""
        return cls(math.inf, cells, inside)

    def initial(self, cells: int) -> float:
        """Half-size of a region on an axis of so many cells."""
        return cells / self.ratio + self.cells

    def __call__(
        self, offset: Tensor, anchor: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Apply the rule; arguments and results as for :class:`Windows`."""
        centre = _centres(offset, anchor, height, width, self.inside)
        rows, columns = centre.unbind(-1)
        sizes = [
            torch.full_like(rows, self.initial(height)),
            torch.full_like(columns, self.initial(width)),
        ]
        return centre, torch.stack(sizes, dim=-1)
