from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stgraph.datasets.digits.motion import wander
from stgraph.datasets.draws import bounded, stream_key, words

B, T, M, STEP, LIMIT = 2000, 10, 5, 10, 71


def walk(alike: int, clips: int = B) -> tuple[np.ndarray, np.ndarray]:
    stream = words(stream_key(0, "test"), np.arange(clips), 2 * M * (T + 1))
    start = bounded(stream[:, : 2 * M], LIMIT + 1).reshape(clips, M, 2)
    synchronous = np.broadcast_to(np.arange(M) < alike, (clips, M))
    steps = stream[:, 2 * M :].reshape(clips, T, M, 2)
    return start, wander(start, steps, synchronous, np.array([LIMIT, LIMIT]), STEP)


@pytest.mark.parametrize("alike", [0, 2, 3, 5])
def test_wander_follows_the_rule_digit_by_digit(alike: int) -> None:
    clips = 40
    start, path = walk(alike, clips)
    stream = words(stream_key(0, "test"), np.arange(clips), 2 * M * (T + 1))
    steps = stream[:, 2 * M :].reshape(clips, T, M, 2)
    for clip in range(clips):
        place = start[clip].copy()
        for frame in range(T):
            for axis in range(2):
                low = [max(-STEP, -p) for p in place[:, axis]]
                high = [min(STEP, LIMIT - p) for p in place[:, axis]]
                groups = [list(range(alike))] if alike else []
                for group in groups + [[m] for m in range(alike, M)]:
                    lo, hi = max(low[m] for m in group), min(high[m] for m in group)
                    if lo < hi:
                        word = int(steps[clip, frame, group[0], axis])
                        place[group, axis] += lo + ((word >> 32) * (hi - lo) >> 32)
            assert np.array_equal(path[clip, frame], place)


@pytest.mark.parametrize("alike", [0, 2, 5])
def test_steps_and_places_keep_their_bounds(alike: int) -> None:
    start, path = walk(alike)
    assert path.min() == 0
    assert path.max() <= LIMIT
    steps = np.diff(np.concatenate((start[:, None], path), 1), axis=1)
    assert steps.min() == -STEP
    assert steps.max() == STEP - 1


def test_the_far_border_is_not_reached_by_moving() -> None:
    _, path = walk(0)
    assert path.max() == LIMIT - 1


def test_synchronous_digits_keep_their_offsets_and_no_others() -> None:
    start, path = walk(3)
    offset = path - path[:, :, :1]
    assert (offset[:, :, :3] == (start - start[:, :1])[:, None, :3]).all()
    assert not (offset[:, :, 3:] == offset[:, :1, 3:]).all((1, 3)).any()


def test_interior_steps_are_uniform_without_the_upper_bound() -> None:
    start, path = walk(0)
    places = np.concatenate((start[:, None], path), 1)
    before, step = places[:, :-1], np.diff(places, axis=1)
    interior = (before >= STEP) & (before <= LIMIT - STEP)
    counts = np.bincount(step[interior] + STEP, minlength=2 * STEP)
    assert len(counts) == 2 * STEP
    assert stats.chisquare(counts).pvalue > 1e-4


def test_an_empty_shared_range_stops_one_axis_only() -> None:
    start = np.array([[[0, 30], [LIMIT, 35]]])
    steps = np.full((1, 4, 2, 2), 2**64 - 1, np.uint64)
    limit = np.array([LIMIT, LIMIT])
    path = wander(start, steps, np.ones((1, 2), bool), limit, STEP)
    assert (path[0, :, :, 0] == [0, LIMIT]).all()
    assert path[0, :, 0, 1].tolist() == [39, 48, 57, 65]
    alone = wander(start, steps, np.zeros((1, 2), bool), limit, STEP)
    assert alone[0, :, 0, 0].tolist() == [9, 18, 27, 36]
    assert alone[0, :, 1, 0].tolist() == [70, 70, 70, 70]


def test_axes_have_their_own_limits() -> None:
    stream = words(1, np.arange(500), 2 * M * T).reshape(500, T, M, 2)
    start, alone = np.zeros((500, M, 2), np.int64), np.zeros((500, M), bool)
    path = wander(start, stream, alone, np.array([0, 20]), STEP)
    assert (path[..., 0] == 0).all()
    assert path[..., 1].max() == 19
