r"""From what a network predicts for a region to a window on the map.

A prediction is :math:`o = (o_h, o_w, Δ_y, Δ_x)`; an anchor :math:`a` in 0..1 is where the region
starts. On an axis of H cells (DyReG, region generation):

.. math::
    s = e^{o} (H/λ + b) + c, \qquad
    p = \tfrac{H}{2} \tanh(Δ + \operatorname{artanh}(2a - 1)) + \tfrac{H}{2}

The paper has λ = 6, b = c = 0; its official code has b = c = 1 and keeps p within [0, H − 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stgraph.checks import InputError, integer, positive

__all__ = ["Windows", "centre_anchors", "grid_anchors"]


def centre_anchors(nodes: int) -> Tensor:
    """All regions start at the centre of the map: ``[N, 2]`` (row, column) in 0..1."""
    return torch.full((integer("nodes", nodes), 2), 0.5)


def grid_anchors(nodes: int) -> Tensor:
    """Regions start at the cell centres of a square grid, row by row: ``[N, 2]`` in 0..1.

    Raises:
        InputError: when ``nodes`` is no square number.

    Example:
        >>> grid_anchors(9)[1]
        tensor([0.1667, 0.5000])
    """
    side = math.isqrt(integer("nodes", nodes))
    if side * side != nodes:
        raise InputError("nodes", "a square number for grid anchors", nodes)
    cell = torch.arange(nodes)
    return (torch.stack([cell // side, cell % side], dim=-1) + 0.5) / side


@dataclass(frozen=True)
class Windows:
    """The rule of the module's docstring.

    Args:
        ratio: λ, the initial half-size is H/λ cells (plus the following).
        cells: b, cells added before the learned factor.
        margin: c, cells added after it.
        inside: whether centres are kept within the cell indices [0, H − 1], as in the official
            code; the paper's lie in [0, H].
        growth: largest size exponent |o|, ``None`` for no limit. Unlimited sizes can inflate past
            the map early in training, where regions stop learning.

    Example:
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
        if self.cells < 0 or self.margin < 0:
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
        start = torch.atanh((2 * anchor.to(offset.dtype) - 1).clamp(-1 + 1e-7, 1 - 1e-7))
        centres, sizes = [], []
        for axis, cells in enumerate((height, width)):  # numbers: a tensor would be copied over
            exponent, move = offset[..., axis], offset[..., 2 + axis]
            if self.growth is not None:
                exponent = exponent.clamp(-self.growth, self.growth)
            sizes.append(exponent.exp() * (cells / self.ratio + self.cells) + self.margin)
            centre = cells / 2 * torch.tanh(move + start[..., axis]) + cells / 2
            centres.append(centre.clamp(0, cells - 1) if self.inside else centre)
        return torch.stack(centres, dim=-1), torch.stack(sizes, dim=-1)
