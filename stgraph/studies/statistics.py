"""How sure a table's numbers are: over seeds, over clips, and between rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from stgraph.checks import InputError
from stgraph.metrics.answers import Interval

__all__ = ["Mean", "Paired", "holm", "mcnemar", "mean_of", "paired"]

Answers = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Mean(NamedTuple):
    """A mean and from where to where it may lie."""

    value: float
    interval: Interval | None
    """By Student's t; none of fewer than two values."""


class Paired(NamedTuple):
    """How two rows differ, seed by seed and clip by clip."""

    difference: Mean
    """Mean over the seeds that both have."""
    p: float | None
    """Of a paired t-test over these seeds; none of fewer than two."""
    clips: tuple[float | None, ...]
    """McNemar's p of each of these seeds; none where the clips are not the same."""


def mean_of(values: Sequence[float], confidence: float = 0.95) -> Mean:
    r"""Return a mean with Student's interval over runs (1908).

    .. math:: \bar x ± t_{n-1} \, s / \sqrt n

    of n values with standard deviation s. It holds what differs from seed to seed: initial weights
    and the order of clips; and, as all seeds are tested on the same clips, nothing of those.

    Raises:
        InputError: of no values.

    Examples:
        >>> value, interval = mean_of([0.80, 0.79, 0.82])
        >>> round(value, 3), [round(end, 3) for end in interval]
        (0.803, [0.765, 0.841])
    """
    if not values:
        raise InputError("values", "at least one", "none")
    value = float(np.mean(values))
    if len(values) < 2:
        return Mean(value, None)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return Mean(value, Interval(value - half, value + half))


def mcnemar(one: Answers, other: Answers) -> float:
    """Return the exact two-sided p of McNemar's test (1947): are two models equally often right?

    Only clips count that one of them has right and the other wrong; if both are as good, each of
    these is a coin's toss. It is the test that Dietterich (1998) recommends where models can be
    trained once. It takes the two trained models as they are, and says nothing of other seeds.

    Args:
        one: whether each clip was answered right.
        other: the same of another model, of the same clips.

    Raises:
        InputError: on different numbers of clips.

    Examples:
        >>> a, b = np.array([1, 1, 1, 1, 1, 1, 0]) > 0, np.array([0, 0, 0, 0, 0, 0, 0]) > 0
        >>> mcnemar(a, b)
        0.03125
    """
    if one.shape != other.shape:
        raise InputError("other", f"{one.size} clips", other.size)
    ahead, behind = int((one & ~other).sum()), int((other & ~one).sum())
    if ahead + behind == 0:
        return 1.0
    return float(stats.binomtest(ahead, ahead + behind).pvalue)


def paired(
    one: Sequence[float],
    other: Sequence[float],
    answers: Sequence[tuple[Answers, Answers] | None] = (),
    confidence: float = 0.95,
) -> Paired:
    """Compare two rows, of the same seeds and the same clips.

    Over seeds by a paired t-test, whose interval is that of the difference: a seed draws the same
    training clips for both. And for each seed by :func:`mcnemar`.

    Args:
        one: what a row reached with each seed.
        other: what another reached with the same seeds.
        answers: of each seed, what became of each clip in both; none where the clips differ.
        confidence: of the interval.

    Raises:
        InputError: when the seeds are none, or not as many.
    """
    if len(one) != len(other):
        raise InputError("other", f"{len(one)} values", len(other))
    differences = [a - b for a, b in zip(one, other, strict=True)]
    difference = mean_of(differences, confidence)
    p = None
    if len(differences) > 1:
        spread = float(np.std(differences, ddof=1))
        if spread > 0:
            error = spread / math.sqrt(len(differences))
            p = float(2 * stats.t.sf(abs(difference.value) / error, len(differences) - 1))
        else:  # all seeds differ by the very same
            p = 1.0 if difference.value == 0 else 0.0
    return Paired(difference, p, tuple(None if two is None else mcnemar(*two) for two in answers))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p of several comparisons by Holm's method (1979); those that are none stay so.

    Examples:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    most = 0.0
    for rank, (p, place) in enumerate(known):
        most = max(most, min(1.0, (len(known) - rank) * p))
        adjusted[place] = most
    return adjusted
