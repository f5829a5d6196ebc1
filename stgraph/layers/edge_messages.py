"""Weighted sums of messages over edges, and scores of edges, of which nothing an edge is kept.

What :mod:`stgraph.layers.messages` does for all pairs, for the edges of sparse graphs: rows of both
ends are read again in the backward pass, and on a CPU edges are gone through a few at a time, so
that what belongs to them stays in its cache. Cost is linear in edges, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stgraph.fused import Fused
from stgraph.layers.norm import FrameNorm
from stgraph.precision import precise

__all__ = ["EdgeDots", "EdgeSums", "normed_edge_sums"]

_AT_ONCE = {"cpu": 2**15}


def normed_edge_sums(
    to: Tensor,
    of: Tensor,
    alpha: Tensor,
    edge_index: Tensor,
    frame: Tensor,
    frames: int,
    norm: FrameNorm | None,
) -> Tensor:
    """Weighted sums ``[V, C]`` of messages over edges, each normalised over its frame.

    Args:
        to: share of every target ``[V, C]``.
        of: share of every source ``[V, C]``.
        alpha: weights ``[E, heads]``.
        edge_index: source and target ``[2, E]``.
        frame: frame of every node ``[V]``.
        frames: number of frames.
        norm: the norm of the messages, if any.
    """
    weights = precise(alpha)
    total, mean, variance = EdgeSums.of(to, of, weights, *edge_index, frame, frames)
    if norm is not None:
        share = weights.new_zeros(to.size(0), weights.size(1)).index_add(0, edge_index[1], weights)
        if share.size(1) > 1:
            share = share.repeat_interleave(to.size(1) // share.size(1), dim=1)
        factor = (variance + norm.eps).rsqrt()
        scale = factor.index_select(0, frame)[:, None] * norm.weight
        total = (total - mean.index_select(0, frame)[:, None] * share) * scale + norm.bias * share
    return total.to(to.dtype)


def _parts(edges: Tensor, width: int) -> Iterator[slice]:
    step = max(1, _AT_ONCE.get(edges.device.type, 2**26) // max(1, width))
    return (slice(first, first + step) for first in range(0, edges.size(0), step))


def _by_head(rows: Tensor, heads: int) -> Tensor:
    return rows.reshape(rows.size(0), heads, rows.size(1) // heads)


def _messages(to: Tensor, of: Tensor, source: Tensor, target: Tensor) -> Tensor:
    return precise((to.index_select(0, target) + of.index_select(0, source)).relu())


def _weighted(alpha: Tensor, rows: Tensor) -> Tensor:
    """Each head's weight ``[E, heads]`` times its share of the channels ``[E, C]``."""
    if alpha.size(1) == 1:
        return alpha * rows
    return (alpha[..., None] * _by_head(rows, alpha.size(1))).flatten(1)


def _per_frame(rows: Tensor, owner: Tensor, frames: int) -> Tensor:
    if frames == 1 and not torch.compiler.is_compiling():  # which may leave their number open
        return rows.sum(0, keepdim=True)
    return rows.new_zeros(frames).index_add(0, owner, rows)


class EdgeSums(Fused):
    """Weighted sums of messages over edges, with their mean and variance over each frame.

    From shares ``[V, C]`` of targets and sources, weights ``[E, heads]``, source and target of
    every edge, and the frame of every node to sums ``[V, C]`` and moments ``[frames]``.
    """

    @staticmethod
    def plain(
        to: Tensor,
        of: Tensor,
        alpha: Tensor,
        source: Tensor,
        target: Tensor,
        frame: Tensor,
        frames: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All edges at once."""
        message, owner = _messages(to, of, source, target), frame.index_select(0, target)
        total = message.new_zeros(to.shape).index_add(0, target, _weighted(alpha, message))
        count = _per_frame(torch.full_like(message[:, 0], to.size(1)), owner, frames).clamp_min(1)
        mean = _per_frame(message.sum(1), owner, frames) / count
        centred = message - mean.index_select(0, owner)[:, None]
        return total, mean, _per_frame(centred.square().sum(1), owner, frames) / count

    @staticmethod
    def value(
        to: Tensor,
        of: Tensor,
        alpha: Tensor,
        source: Tensor,
        target: Tensor,
        frame: Tensor,
        frames: int,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The same, part after part: a frame's variance is that in rows and that between them."""
        width, owner = to.size(1), frame.index_select(0, target)
        total = precise(torch.zeros_like(to))
        middle, inside = total.new_empty(2, source.size(0)).unbind()
        for part in _parts(source, width):
            message = _messages(to, of, source[part], target[part])
            total.index_add_(0, target[part], _weighted(alpha[part], message))
            rows = torch.mean(message, 1, out=middle[part])
            torch.linalg.vector_norm(message.sub_(rows[:, None]), dim=1, out=inside[part])
        count = _per_frame(torch.full_like(middle, width), owner, frames).clamp_min(1)
        mean = _per_frame(middle * width, owner, frames) / count
        between = (middle - mean.index_select(0, owner)).square() * width
        variance = _per_frame(inside.square() + between, owner, frames) / count
        return (total, mean, variance), (mean, count)

    @staticmethod
    def slopes(
        inputs: list[Tensor], kept: tuple[Tensor, ...], grads: tuple[Tensor, ...]
    ) -> tuple[Tensor | None, ...]:
        """Gradients of shares and weights, part after part."""
        to, of, alpha, source, target, frame, _ = inputs
        (mean, count), (of_total, of_mean, of_variance) = kept, grads
        slope = 2 * of_variance / count
        level = of_mean / count - slope * mean
        owner = frame.index_select(0, target)
        slope, level = slope.index_select(0, owner)[:, None], level.index_select(0, owner)[:, None]
        of_to, of_of = precise(torch.zeros_like(to)), precise(torch.zeros_like(of))
        of_alpha = torch.empty_like(alpha)
        for part in _parts(source, to.size(1)):
            message = _messages(to, of, source[part], target[part])
            grad = of_total.index_select(0, target[part])
            of_sum = _weighted(alpha[part], grad).add_(level[part]).addcmul_(message, slope[part])
            of_sum = torch.ops.aten.threshold_backward(of_sum, message, 0)
            of_to.index_add_(0, target[part], of_sum)
            of_of.index_add_(0, source[part], of_sum)
            torch.sum(_by_head(message.mul_(grad), alpha.size(1)), -1, out=of_alpha[part])
        return of_to.to(to.dtype), of_of.to(of.dtype), of_alpha, None, None, None, None


class EdgeDots(Fused):
    """Products ``[E, heads]`` of queries and keys ``[V, C]`` at the ends of edges."""

    @staticmethod
    def plain(
        query: Tensor, key: Tensor, source: Tensor, target: Tensor, heads: int
    ) -> tuple[Tensor]:
        """All edges at once."""
        product = query.index_select(0, target) * key.index_select(0, source)
        return (_by_head(product, heads).sum(-1),)

    @staticmethod
    def value(
        query: Tensor, key: Tensor, source: Tensor, target: Tensor, heads: int
    ) -> tuple[tuple[Tensor], tuple[()]]:
        """Part after part."""
        out = query.new_empty(source.size(0), heads)
        for part in _parts(source, query.size(1)):
            product = query.index_select(0, target[part])
            product.mul_(key.index_select(0, source[part]))
            torch.sum(_by_head(product, heads), -1, out=out[part])
        return (out,), ()

    @staticmethod
    def slopes(
        inputs: list[Tensor], kept: tuple[()], grads: tuple[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """Gradients of queries and keys, part after part."""
        query, key, source, target, _ = inputs
        of_query, of_key = torch.zeros_like(query), torch.zeros_like(key)
        for part in _parts(source, query.size(1)):
            grad = grads[0][part]
            far, near = key.index_select(0, source[part]), query.index_select(0, target[part])
            of_query.index_add_(0, target[part], _weighted(grad, far))
            of_key.index_add_(0, source[part], _weighted(grad, near))
        return of_query, of_key, None, None, None
