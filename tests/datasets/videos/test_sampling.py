from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from examples import of
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.datasets.draws import words
from stgraph.datasets.videos import DenseWindow, EvenFrames, OfficialSegments, Segments

SAMPLERS = [Segments(16), OfficialSegments(16), DenseWindow(16), EvenFrames(32), Segments(1)]


def centres(n: int, count: int) -> list[int]:
    """The published rule, in fractions: tick/2 + tick·k, with tick = n / count, rounded down."""
    tick = Fraction(n, count)
    return [math.floor(tick / 2 + tick * k) for k in range(count)]


@pytest.mark.law
@pytest.mark.parametrize("count", [8, 10, 16])
def test_segments_of_any_length_are_those_of_the_published_rules(count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 5000, of(3334))
    for i, n in enumerate(lengths.tolist()):
        draws = words(7, np.array([i]), count)[0]
        ours, official = Segments(count), OfficialSegments(count)
        starts = [math.floor(Fraction(n, count) * k) for k in range(count)]
        for sampler in (ours, official):
            assert sampler.test(n, 2).tolist() == [centres(n, count), starts]
        assert ours.validate(n).tolist() == centres(n, count)
        assert official.validate(n).tolist() == (centres(n, count) if n > count else [0] * count)
        d = n // count
        if d:
            for sampler in (ours, official):
                offset = sampler.train(n, draws) - np.arange(count) * d
                assert offset.min() >= 0
                assert offset.max() < d
        else:
            assert official.train(n, draws).tolist() == [0] * count
            spread = ours.train(n, draws)
            low = [math.floor(Fraction(n * k, count)) for k in range(count)]
            high = [math.ceil(Fraction(n * (k + 1), count)) - 1 for k in range(count)]
            assert (spread >= low).all()
            assert (spread <= high).all()


def test_every_frame_of_a_segment_is_drawn_alike() -> None:
    draws = words(0, np.arange(4000), 4)
    drawn = np.stack([Segments(4).train(21, each) for each in draws])  # segments of 5 frames
    assert set(drawn.flatten().tolist()) == set(range(20))
    counts = np.bincount(drawn[:, 2] - 10, minlength=5)
    assert np.abs(counts - 800).max() < 5 * math.sqrt(800)


def test_a_dense_window_wraps_and_starts_where_the_official_code_starts() -> None:
    for n in (1, 5, 63, 64, 65, 100, 1000):
        positions = max(1, 1 + n - 64)
        starts = np.linspace(0, positions - 1, num=10, dtype=int)
        expected = [[(k * 4 + start) % n for k in range(16)] for start in starts]
        assert DenseWindow(16).test(n, 10).tolist() == expected
        drawn = {
            int(DenseWindow(16).train(n, words(1, np.array([i]), 16)[0])[0]) for i in range(300)
        }
        assert drawn <= set(range(max(1, positions - 1)))


def test_even_frames_are_the_rounded_linspace_of_rstg() -> None:
    for n in range(1, 500):
        first, second = EvenFrames(32).test(n, 2)
        assert first.tolist() == np.linspace(0, n - 1, 32).astype(int).tolist()
        assert second.tolist() == [min(f + round(n / 64), n - 1) for f in first.tolist()]


@settings(deadline=None)
@given(
    st.sampled_from(SAMPLERS), st.integers(1, 10**6), st.integers(0, 2**62), st.integers(0, 2**31)
)
def test_frames_exist_and_depend_on_the_words_alone(sampler, length, key, clip) -> None:
    draws = words(key, np.array([clip]), sampler.frames + 3)[0]
    train = sampler.train(length, draws)
    assert train.tolist() == sampler.train(length, draws[: sampler.frames].copy()).tolist()
    for chosen in (train, sampler.validate(length), sampler.test(length)[0]):
        assert chosen.shape == (sampler.frames,)
        assert chosen.min() >= 0
        assert chosen.max() < length


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Segments(0), "frames: expected a whole number"),
        (lambda: Segments(4).validate(0), "length: expected a whole number of at least 1, got 0"),
        (lambda: Segments(4).test(9, 3), "samplings: expected 1 to 2 with Segments(frames=4)"),
        (lambda: DenseWindow(16, window=8), "window: expected at least the 16 frames, got 8"),
        (
            lambda: Segments(4).train(9, words(0, np.array([0]), 3)[0]),
            "words: expected 4 random words, got [3]",
        ),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        call()


def test_words_are_those_of_one_clip() -> None:
    several = words(0, np.arange(4), 4)  # [4, 4]
    assert Segments(4).train(8, several[0]).shape == (4,)
    for wrong in (several, several[0, :3], several[0, 0]):
        with pytest.raises(InputError, match="words: expected 4 random words"):
            Segments(4).train(8, wrong)
