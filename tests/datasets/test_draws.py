from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from stgraph.datasets import draws

KEY = draws.stream_key(0, "train")


def test_mix_is_that_of_splitmix64() -> None:
    state = 1234567 + np.arange(1, 6, dtype=np.uint64) * draws._GOLDEN
    assert draws._mix(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_draws_are_pinned() -> None:
    assert KEY == 0x2F77F58304DA61DE
    assert draws.words(KEY, np.array([0, 599_999]), 2).tolist() == [
        [7905591436066004082, 9041274605280289465],
        [10224959749583044644, 13677117180999520791],
    ]


def test_a_stream_depends_on_its_clip_alone() -> None:
    clips = np.arange(100)
    together = draws.words(KEY, clips, 20)
    backwards = draws.words(KEY, clips[::-1].copy(), 20)[::-1]
    alone = np.concatenate([draws.words(KEY, clips[i : i + 1], 5) for i in clips])
    assert np.array_equal(together, backwards)
    assert np.array_equal(together[:, :5], alone)


def test_streams_of_clips_seeds_and_splits_differ() -> None:
    keys = [draws.stream_key(seed, split) for seed in (0, 1, 2) for split in ("train", "test")]
    drawn = [draws.words(key, np.arange(200), 50) for key in keys]
    assert len(np.unique(drawn)) == 6 * 200 * 50


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbouring_words_are_uncorrelated(axis: int) -> None:
    u = draws.uniform(draws.words(KEY, np.arange(1000), 1000))
    first, second = np.delete(u, -1, axis).ravel(), np.delete(u, 0, axis).ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(first.size)
    assert np.abs(u.mean(axis) - 0.5).max() < 5 / np.sqrt(12 * 1000)


@pytest.mark.parametrize("span", [1, 2, 7, 72, 5999])
def test_bounded_is_uniform_on_its_span(span: int) -> None:
    drawn = draws.bounded(draws.words(KEY, np.arange(300), 1000), span)
    counts = np.bincount(drawn.ravel(), minlength=span)
    assert len(counts) == span
    assert stats.chisquare(counts).pvalue > 1e-4 if span > 1 else counts[0] == drawn.size


def test_bounded_takes_a_span_each_and_gives_0_for_0() -> None:
    top = np.array([2**64 - 1] * 3, np.uint64)
    assert draws.bounded(top, np.array([0, 1, 2**32 - 1])).tolist() == [0, 0, 2**32 - 2]


def test_uniform_stays_below_1() -> None:
    assert draws.uniform(np.array([0, 2**64 - 1], np.uint64)).tolist() == [0, 1 - 2**-53]


def test_order_is_a_uniform_permutation() -> None:
    drawn = draws.order(draws.words(KEY, np.arange(24_000), 4))
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert [tuple(row) for row in found] == sorted(permutations(range(4)))
    assert stats.chisquare(counts).pvalue > 1e-4
