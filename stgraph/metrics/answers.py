"""How many answers are right: of all, of each class, and how sure that is."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from stgraph.checks import InputError, integer, shape
from stgraph.metrics.ratio import Ratio

__all__ = ["Interval", "accuracy", "average_views", "confusion", "hits", "per_class", "wilson"]


def average_views(logits: Tensor) -> Tensor:
    """Average the logits of the views of each clip ``[B, V, K] → [B, K]``, without a softmax.

    That is the papers' test with several clips of a video (DyReG 3×2, RSTG 11×2). Logits ``[B, K]``
    are returned as they are.

    Raises:
        InputError: on another shape, or no view.
    """
    if isinstance(logits, Tensor) and logits.dim() == 2:
        return logits
    integer("views", shape("logits", logits, "B V K")[1])
    return logits.mean(1)


def hits(logits: Tensor, label: Tensor, k: int) -> Tensor:
    """Tell for each clip whether its label is among the ``k`` largest logits.

    Args:
        logits: ``[B, K]``.
        label: ``[B]``.
        k: how many answers count.

    Returns:
        0 or 1 for each clip, ``[B]``, float.

    Examples:
        >>> hits(torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.1]]), torch.tensor([2, 0]), k=1)
        tensor([0., 1.])
    """
    return (logits.topk(k).indices == label[:, None]).any(1).float()


def accuracy(logits: Tensor, label: Tensor, k: int = 1) -> Ratio:
    """Share of clips whose label is among the ``k`` largest logits: top-k accuracy.

    Args:
        logits: ``[B, K]``, or of several views ``[B, V, K]``, which are averaged.
        label: ``[B]``, whole numbers.
        k: how many answers count, at most K.

    Raises:
        InputError: on other shapes, labels that are no classes, or more answers than there are.

    Examples:
        >>> logits = torch.tensor([[[0.0, 3.0], [1.0, 0.0]], [[5.0, 3.0], [1.0, 0.0]]])
        >>> accuracy(logits, torch.tensor([1, 1])).value
        0.5
    """
    logits = _checked(logits, label)
    return Ratio.of(hits(logits, label, integer("k", k, maximum=logits.size(1))))


def confusion(logits: Tensor, label: Tensor) -> Tensor:
    """Count which label was answered how: ``[K, K]`` (int64), rows labels, columns answers.

    Args:
        logits: ``[B, K]``, or of several views ``[B, V, K]``, which are averaged.
        label: ``[B]``, whole numbers.

    Raises:
        InputError: on other shapes or labels that are no classes.

    Examples:
        >>> confusion(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        tensor([[1, 0],
                [1, 0]])
    """
    logits = _checked(logits, label)
    classes = logits.size(1)
    pairs = label.long() * classes + logits.argmax(1)
    counts = torch.zeros(classes * classes, dtype=torch.long, device=logits.device)
    return counts.scatter_add(0, pairs, torch.ones_like(pairs)).view(classes, classes)


def per_class(counts: Tensor) -> Ratio:
    """Top-1 accuracy of each class, of a confusion matrix ``[K, K]``.

    Its ``values`` are ``None`` for classes without clips.

    Examples:
        >>> per_class(torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])).values
        [0.75, 1.0, None]
    """
    shape("counts", counts, "K K")
    return Ratio(counts.diagonal(), counts.sum(1))


class Interval(NamedTuple):
    """From where to where a share may lie."""

    low: float
    high: float


def wilson(right: int, count: int, confidence: float = 0.95) -> Interval:
    r"""Confidence interval of a share, by Wilson's score (1927).

    .. math:: \frac{p + z^2/2n ± z \sqrt{p(1 - p)/n + z^2/4n^2}}{1 + z^2/n}

    of :math:`p = k/n` and the normal quantile z. Unlike p ± its error it stays within 0..1 and has
    a width at p = 0 and 1. It takes clips as independent.

    Args:
        right: k, how many.
        count: n, of how many; of none nothing is known, which is 0 to 1.
        confidence: how often such an interval holds the true share.

    Raises:
        InputError: on numbers that make no share, or a confidence outside of 0 and 1.

    Examples:
        >>> low, high = wilson(81, 100)
        >>> round(low, 4), round(high, 4)
        (0.7222, 0.8749)
    """
    integer("count", count, minimum=0)
    integer("right", right, minimum=0, maximum=count)
    if isinstance(confidence, bool) or not 0 < confidence < 1:
        raise InputError("confidence", "a number between 0 and 1", confidence)
    if not count:
        return Interval(0.0, 1.0)
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), right / count
    middle = p + z * z / (2 * count)
    half = z * ((p * (1 - p) + z * z / (4 * count)) / count) ** 0.5
    all_of_it = 1 + z * z / count
    low, high = (middle - half) / all_of_it, (middle + half) / all_of_it
    return Interval(low if right else 0.0, high if right < count else 1.0)  # exact at the ends


def _checked(logits: Tensor, label: Tensor) -> Tensor:
    """Logits ``[B, K]``, views averaged; values of labels are looked at on the CPU only."""
    logits = average_views(logits)
    shape("label", label, str(len(logits)))
    if label.is_floating_point() or label.dtype == torch.bool:
        raise InputError("label", "whole numbers", label.dtype)
    if label.device.type == "cpu" and label.numel():
        low, high = int(label.min()), int(label.max())
        if low < 0 or high >= logits.size(1):
            expected = f"0 to {logits.size(1) - 1}, the classes of the logits"
            raise InputError("label", expected, low if low < 0 else high)
    return logits
