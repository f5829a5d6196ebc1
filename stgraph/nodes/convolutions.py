"""Convolutions of region generators as a CPU likes them best."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.fused import Fused, is_hooked
from stgraph.precision import is_cast

__all__ = ["Pointwise", "normed_convolution"]


class Pointwise(nn.Conv2d):
    """A 1×1 convolution; on a CPU a product of matrices, to maps in channels-last order.

    To few channels that takes a third of the time, backwards too, and convolutions behind it go on
    in that order, which is faster there. Parameters are those of ``nn.Conv2d``.

    Args:
        channels: C.
        out_channels: D.

    Shapes:
        ``[F, C, H, W]`` → ``[F, D, H, W]``.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if x.device.type != "cpu" or self.bias is None or is_cast(x.device):
            return super().forward(x)
        (cells,) = _Product.of(x.flatten(2), self.weight.flatten(1), self.bias)
        return cells.mT.reshape(x.size(0), self.out_channels, *x.shape[2:])


class _Product(Fused):
    """``W x + b`` of ``x [F, C, P]``, with channels last: ``[F, P, D]``.

    The gradient of x lies in memory as x does, which a product of transposed ones would not.
    """

    @staticmethod
    def plain(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor]:
        return (F.linear(x.mT, weight, bias),)

    @staticmethod
    def value(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[tuple[Tensor], tuple[()]]:
        columns = weight.t().expand(x.size(0), -1, -1)
        return (torch.baddbmm(bias.expand(1, 1, -1), x.mT, columns),), ()

    @staticmethod
    def slopes(
        inputs: list[Tensor], kept: tuple[()], grads: tuple[Tensor]
    ) -> tuple[Tensor | None, ...]:
        x, weight, _ = inputs
        (grad,) = grads
        of_x = torch.bmm(weight.t().expand(x.size(0), -1, -1), grad.mT)
        return of_x, torch.bmm(grad.mT, x.mT).sum(0), grad.sum((0, 1))


def normed_convolution(norm: nn.GroupNorm, conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv(norm(x))``, which does not keep what is normalised, but makes it again."""
    as_made = type(norm) is nn.GroupNorm and type(conv) is nn.Conv2d
    if not as_made or is_hooked(norm) or is_hooked(conv) or is_cast(x.device):
        return conv(norm(x))  # type: ignore[no-any-return]
    if x.device.type != "cpu" or not torch.is_grad_enabled() or conv.padding_mode != "zeros":
        return conv(norm(x))  # type: ignore[no-any-return]
    options = (norm.num_groups, norm.eps, conv.stride, conv.padding, conv.dilation, conv.groups)
    (out,) = _NormedConvolution.of(x, norm.weight, norm.bias, conv.weight, conv.bias, options)
    return out


class _NormedConvolution(Fused):
    @staticmethod
    def plain(
        x: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        options: tuple[Any, ...],
    ) -> tuple[Tensor]:
        groups, eps, *how = options
        return (F.conv2d(F.group_norm(x, groups, scale, shift, eps), weight, bias, *how),)

    @staticmethod
    def value(*inputs: Any) -> tuple[tuple[Tensor], tuple[()]]:
        return _NormedConvolution.plain(*inputs), ()

    @staticmethod
    def slopes(
        inputs: list[Any], kept: tuple[()], grads: tuple[Tensor]
    ) -> tuple[Tensor | None, ...]:
        x, *of_norm, weight, bias, options = inputs
        groups, eps, *how = options
        with torch.enable_grad():
            maps = x.detach().requires_grad_()
            affine = [None if each is None else each.detach().requires_grad_() for each in of_norm]
            normed = F.group_norm(maps, groups, affine[0], affine[1], eps)
        size = None if bias is None else [bias.numel()]
        stride, padding, dilation, groups = how
        back, of_weight, of_bias = torch.ops.aten.convolution_backward(
            grads[0], normed.detach(), weight, size, stride, padding, dilation, False, [0, 0],
            groups, [True, True, bias is not None],
        )  # fmt: skip
        wanted = [each for each in (maps, *affine) if each is not None]
        of_x, *found = torch.autograd.grad(normed, wanted, back)
        of_affine = [None if each is None else found.pop(0) for each in affine]
        return of_x, *of_affine, of_weight, of_bias, None
