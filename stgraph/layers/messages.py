r"""Weighted sums of messages over all pairs, of which none is kept.

A message :math:`\mathrm{msg}_{ij} = \mathrm{ReLU}(a_i + b_j)` costs one pass over memory, so the
backward pass makes it again instead of reading it: G·N²·C numbers are never kept. Its norm over a
frame is affine, so it is done to the weighted sums,

.. math::
    \sum_j α_{ij} \Bigl(\frac{\mathrm{msg}_{ij} - μ}{σ} ⊙ γ + β\Bigr)
    = \frac{\sum_j α_{ij}\, \mathrm{msg}_{ij} - μ \sum_j α_{ij}}{σ} ⊙ γ + β \sum_j α_{ij},

of which there are N times fewer. On a CPU, frames are gone through a few at a time, so that their
messages stay in its cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stgraph.fused import Fused
from stgraph.layers.norm import FrameNorm
from stgraph.precision import precise

__all__ = ["WeightedSums", "normed_sums"]

_AT_ONCE = {"cpu": 2**17}
"""Numbers that messages are made of at once, by kind of device."""


def normed_sums(
    to: Tensor, of: Tensor, alpha: Tensor, mask: Tensor | None, norm: FrameNorm | None
) -> Tensor:
    """Weighted sums ``[G, N, C]`` of messages between all pairs, each normalised over its frame.

    Args:
        to: share of every target ``[G, N, C]``.
        of: share of every source ``[G, J, C]``.
        alpha: weights ``[G, heads, N, J]``, 0 where there is no message.
        mask: which messages there are ``[G, N, J]`` (bool); ``None`` when all.
        norm: their norm, if any.
    """
    weights = precise(alpha).permute(0, 2, 3, 1).contiguous()  # [G, N, J, heads]
    total, mean, variance = WeightedSums.of(to, of, weights, mask)
    if norm is not None:
        share = weights.sum(2)  # [G, N, heads]
        if share.size(2) > 1:
            share = share.repeat_interleave(to.size(2) // share.size(2), dim=2)
        scale = (variance + norm.eps).rsqrt() * norm.weight  # [G, 1, C]
        total = torch.addcmul(norm.bias * share, total - mean * share, scale)
    return total.to(to.dtype)


def _messages(to: Tensor, of: Tensor) -> Tensor:
    return precise((to[:, :, None] + of[:, None]).relu())


def _weighted(alpha: Tensor, message: Tensor) -> Tensor:
    """Each head's weights ``[…, heads]`` times its share of the channels ``[…, C]``."""
    if alpha.size(-1) == 1:
        return alpha * message
    heads, width = alpha.size(-1), message.size(-1)
    split = message.reshape(*message.shape[:-1], heads, width // heads)
    return (alpha[..., None] * split).flatten(-2)


def _parts(to: Tensor, of: Tensor) -> Iterator[slice]:
    """Frames, a few at a time."""
    frames, nodes, width = to.shape
    most = _AT_ONCE.get(to.device.type, 2**26)
    step = max(1, most // max(1, nodes * of.size(1) * width))
    return (slice(first, first + step) for first in range(0, max(frames, 1), step))


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class WeightedSums(Fused):
    """Weighted sums of messages, with their mean and variance over each frame.

    From shares ``[G, N, C]`` and ``[G, J, C]``, weights ``[G, N, J, heads]`` and a mask
    ``[G, N, J]`` or ``None`` to sums ``[G, N, C]`` and moments ``[G, 1, 1]``.
    """

    @staticmethod
    def plain(
        to: Tensor, of: Tensor, alpha: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sums and moments of some frames."""
        message = _messages(to, of)
        if mask is None:
            mean = message.mean((1, 2, 3), keepdim=True)
            variance = (message - mean).square().mean((1, 2, 3), keepdim=True)
        else:
            there, count = _counted(mask, message)
            mean = (message * there).sum((1, 2, 3), keepdim=True) / count
            centred = (message - mean) * there
            variance = centred.square().sum((1, 2, 3), keepdim=True) / count
        total = _weighted(alpha, message).sum(2)
        return total, mean.squeeze(3), variance.squeeze(3)

    @staticmethod
    def value(
        to: Tensor, of: Tensor, alpha: Tensor, mask: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The same, part after part."""
        made = [
            _fast(to[part], of[part], alpha[part])
            if mask is None
            else WeightedSums.plain(to[part], of[part], alpha[part], mask[part])
            for part in _parts(to, of)
        ]
        total, mean, variance = (_joined(each) for each in zip(*made, strict=True))
        return (total, mean, variance), (mean,)

    @staticmethod
    def slopes(
        inputs: list[Tensor], kept: tuple[Tensor, ...], grads: tuple[Tensor, ...]
    ) -> tuple[Tensor | None, ...]:
        """Gradients of shares and weights, part after part."""
        to, of, alpha, mask = inputs
        parts = _parts(to, of)
        made = [
            _slopes(
                to[part],
                of[part],
                alpha[part],
                None if mask is None else mask[part],
                kept[0][part],
                *(grad[part] for grad in grads),
            )
            for part in parts
        ]
        of_to, of_of, of_alpha = (_joined(each) for each in zip(*made, strict=True))
        return of_to.to(to.dtype), of_of.to(of.dtype), of_alpha, None


def _counted(mask: Tensor, message: Tensor) -> tuple[Tensor, Tensor]:
    """A mask as numbers ``[G, N, J, 1]``, and how many values a frame has ``[G, 1, 1, 1]``."""
    there = mask[..., None].to(message.dtype)
    return there, (there.sum((1, 2, 3), keepdim=True) * message.size(-1)).clamp_min(1)


def _fast(to: Tensor, of: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """:meth:`WeightedSums.plain` where all messages are there."""
    message = _messages(to, of)
    total = _weighted(alpha, message).sum(2)
    flat = message.flatten(1)
    mean = flat.mean(1, keepdim=True)
    off = torch.linalg.vector_norm(flat.sub_(mean), dim=1, keepdim=True)  # fused, unlike a variance
    return total, mean[..., None], (off.square() / max(flat.size(1), 1))[..., None]


def _slopes(
    to: Tensor,
    of: Tensor,
    alpha: Tensor,
    mask: Tensor | None,
    mean: Tensor,
    of_total: Tensor,
    of_mean: Tensor,
    of_variance: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    message = _messages(to, of)
    grad = of_total[:, :, None]  # [G, N, 1, C]
    there, count = (None, message[0].numel()) if mask is None else _counted(mask, message)
    slope = 2 * of_variance[..., None] / count
    level = of_mean[..., None] / count - slope * mean[..., None]
    if there is None:
        of_message = _weighted(alpha, grad).add_(level).addcmul_(message, slope)
    else:
        of_message = _weighted(alpha, grad) + torch.addcmul(level, message, slope) * there
    of_sum = torch.ops.aten.threshold_backward(of_message, message, 0)
    product = message.mul_(grad)
    if alpha.size(-1) == 1:
        of_alpha = product.sum(-1, keepdim=True)
    else:
        of_alpha = product.reshape(*alpha.shape, product.size(-1) // alpha.size(-1)).sum(-1)
    return of_sum.sum(2), of_sum.sum(1), of_alpha
