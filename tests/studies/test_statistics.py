"""Intervals and tests, against values that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stgraph.checks import InputError
from stgraph.studies.statistics import holm, mcnemar, mean_of, paired


def test_the_interval_of_a_mean_is_students() -> None:
    value, interval = mean_of([0.80, 0.79, 0.82])
    known = stats.t.interval(0.95, 2, loc=value, scale=stats.sem([0.80, 0.79, 0.82]))
    assert interval == pytest.approx(known)
    assert mean_of([0.5]) == (0.5, None)
    with pytest.raises(InputError, match="values: expected at least one"):
        mean_of([])


def test_the_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    drawn = random.normal(0.7, 0.02, (4000, 3))
    covered = 0
    for row in drawn.tolist():
        interval = mean_of(row).interval
        assert interval is not None
        covered += interval.low <= 0.7 <= interval.high
    assert covered / 4000 == pytest.approx(0.95, abs=0.012)


def test_mcnemar_is_the_binomial_test_of_what_differs() -> None:
    one = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1], dtype=bool)
    other = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    # 8 clips that only the first has right, 1 that only the second has: 2 (1 + 9) / 2^9
    assert mcnemar(one, other) == pytest.approx(20 / 512)
    assert mcnemar(other, one) == mcnemar(one, other)
    assert mcnemar(one, one) == 1.0
    with pytest.raises(InputError, match="other: expected 12 clips, got 11"):
        mcnemar(one, other[:-1])


def test_rows_are_paired_by_their_seeds() -> None:
    one, other = [0.9, 0.8, 0.85], [0.7, 0.62, 0.64]
    found = paired(one, other)
    known = stats.ttest_rel(one, other)
    assert found.p == pytest.approx(known.pvalue)
    assert found.difference.value == pytest.approx(np.mean(np.subtract(one, other)))
    assert found.difference.interval == pytest.approx(known.confidence_interval())
    narrow = paired(one, other, confidence=0.8).difference.interval
    assert narrow == pytest.approx(known.confidence_interval(0.8))
    assert paired([0.9], [0.8]).p is None
    assert paired([0.9, 0.8], [0.9, 0.8]).p == 1.0
    with pytest.raises(InputError, match="other: expected 2 values"):
        paired([0.9, 0.8], [0.9])


def test_clips_are_compared_where_they_are_the_same() -> None:
    right, wrong = np.ones(10, dtype=bool), np.zeros(10, dtype=bool)
    found = paired([1.0, 1.0], [0.0, 0.0], [(right, wrong), None])
    assert found.clips == (pytest.approx(2 / 2**10), None)
    assert found.p == 0  # both seeds differ by the very same


def test_p_are_adjusted_as_holm_says() -> None:
    # the method's own order: m·p of the smallest, (m − 1)·p of the next, never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]
    assert holm([]) == []
