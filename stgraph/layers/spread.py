"""Maps that nodes are spread over, as what they are made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stgraph.kernels import spread
from stgraph.precision import is_cast, precise, uncast

__all__ = ["SpreadMaps"]


class SpreadMaps(NamedTuple):
    r"""Maps :math:`y(p) = \sum_n K_n(p)\, v_n` that are not written out yet.

    What is done to every cell alike can be done to the N nodes instead of the H·W cells: a linear
    map of channels, and a norm over the whole map, whose mean and variance follow from products of
    nodes and of kernels. A constant is one node more, whose kernel is 1 everywhere. So a block
    writes maps once, and keeps none for the backward pass.
    """

    nodes: Tensor
    """``[F, N, C]``."""
    kernel: Tensor
    """``[F, N, H, W]``."""

    def plus(self, constant: Tensor) -> SpreadMaps:
        """With a constant ``[F, C]``, or ``[C]`` for all frames, in every cell."""
        frames, _, channels = self.nodes.shape
        one = constant.to(self.nodes.dtype).expand(frames, channels)[:, None]
        everywhere = torch.ones_like(self.kernel[:, :1])
        nodes, kernel = torch.cat([self.nodes, one], 1), torch.cat([self.kernel, everywhere], 1)
        return SpreadMaps(nodes, kernel)

    def mapped(self, weight: Tensor, bias: Tensor | None) -> SpreadMaps:
        """Channels of every cell by ``weight [D, C]`` and ``bias [D]``: a 1×1 convolution."""
        made = SpreadMaps(F.linear(self.nodes, weight), self.kernel)
        return made if bias is None else made.plus(bias)

    def moments(self) -> tuple[Tensor, Tensor]:
        r"""Mean and variance of each frame's values over (C, H, W), both ``[F, 1, 1]``.

        With :math:`\bar v_n` the mean of a node's channels and :math:`μ` that of the map, the
        variance is that inside of cells and that between them, two sums of squares:

        .. math::
            \frac{1}{C P} \sum_{nm} (K_n · K_m)\,((v_n - \bar v_n) · (v_m - \bar v_m))
            + \frac{1}{P} \sum_p \Bigl(\sum_n K_n(p)\, \bar v_n - μ\Bigr)^2
        """
        with uncast(self.nodes.device):
            nodes, kernel = precise(self.nodes), precise(self.kernel).flatten(2)
            middle = nodes.mean(2, keepdim=True)
            centred = nodes - middle
            inside = torch.bmm(centred, centred.mT) * torch.bmm(kernel, kernel.mT)
            between = torch.bmm(middle.mT, kernel)  # mean of every cell [F, 1, P]
            mean = between.mean(2, keepdim=True)
            within = inside.sum((1, 2), keepdim=True) / (nodes.size(2) * kernel.size(2))
            return mean, within.clamp_min(0) + (between - mean).square().mean(2, keepdim=True)

    def normed(self, weight: Tensor | None, bias: Tensor, eps: float) -> SpreadMaps:
        """Normalised over (C, H, W) of each frame, with a scale and a shift a channel ``[C]``."""
        mean, variance = self.moments()
        factor = (variance + eps).rsqrt() if weight is None else (variance + eps).rsqrt() * weight
        nodes = (precise(self.nodes) * factor).to(self.nodes.dtype)  # factor [F, 1, C] or [F, 1, 1]
        return SpreadMaps(nodes, self.kernel).plus((bias - mean * factor).squeeze(1))

    def written(self) -> Tensor:
        """The maps themselves ``[F, C, H, W]``."""
        return spread(self.nodes, self.kernel)

    def added_to(self, maps: Tensor) -> Tensor:
        """``maps [F, C, H, W]`` plus these, written in one go where types allow it."""
        if is_cast(maps.device) or maps.dtype != self.nodes.dtype:
            return maps + self.written()
        cells = torch.baddbmm(maps.flatten(2), self.nodes.mT, self.kernel.flatten(2))
        return cells.view_as(maps)
