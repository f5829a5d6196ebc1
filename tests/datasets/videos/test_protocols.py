"""The papers' rules for thousands of random lengths and sizes, written once more from their codes.

Frames count from 1 there, and crops are (left, top, width, height).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from examples import of

from stgraph.datasets.draws import words
from stgraph.datasets.videos import (
    CentreClips,
    Crops,
    EvenFrames,
    MultiScaleCrops,
    OfficialSegments,
    RandomCrops,
    Segments,
    TrainClips,
    View,
    protocol,
)

pytestmark = pytest.mark.law

NO_WORDS = np.zeros(0, dtype=np.uint64)


def videos() -> Iterator[tuple[int, int, int]]:
    """Lengths, short ones often, and heights and widths, a fifth of them upright or square."""
    random = np.random.default_rng(0)
    for case in range(of(10_000)):
        length = int(random.integers(1, 40 if case % 3 == 0 else 2000))
        height, width = (int(side) for side in np.sort(random.integers(224, 1200, 2)))
        if case % 5 == 0:
            height, width = (width, height) if case % 10 else (height, height)
        yield length, height, width


def get_test_indices(n: int, segments: int = 16) -> list[int]:
    tick = n / segments
    return [int(tick / 2.0 + tick * x) + 1 for x in range(segments)]


def twice(n: int, segments: int = 16) -> list[list[int]]:
    tick = n / segments
    return [get_test_indices(n), [int(tick * x) + 1 for x in range(segments)]]


def get_val_indices(n: int, segments: int = 16) -> list[int]:
    return get_test_indices(n) if n > segments else [1] * segments


def scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """What torchvision's ``Resize(side)`` gives: width and height."""
    if width < height:
        return side, int(side * height / width)
    return int(side * width / height), side


def boxes(views: list[View]) -> list[tuple[int, int, int, int]]:
    return [(view.left, view.top, view.cut[1], view.cut[0]) for view in views]


def sizes(view: View) -> tuple[int, int]:
    return view.scaled[1], view.scaled[0]


def test_one_and_three_crops_of_dyreg() -> None:
    assert protocol("1x1", size=112).crops == Crops(1, 112, 128)  # in proportion
    one, three = protocol("1x1"), protocol("3x2")
    for n, height, width in videos():
        assert (one.frames(n, NO_WORDS) + 1).tolist() == [get_test_indices(n)]
        assert (three.frames(n, NO_WORDS) + 1).tolist() == twice(n)
        w, h = scaled(height, width, 256)
        (centre,) = one.views(height, width, NO_WORDS)
        assert sizes(centre) == (w, h)
        middle = (round((w - 224) / 2.0), round((h - 224) / 2.0), 224, 224)
        assert boxes([centre]) == [middle]
        views = three.views(height, width, NO_WORDS)
        assert all(sizes(view) == (w, h) and view.size == (256, 256) for view in views)
        w_step, h_step = (w - 256) // 4, (h - 256) // 4
        corners = [(0, 2 * h_step), (4 * w_step, 2 * h_step), (2 * w_step, 2 * h_step)]
        assert boxes(views) == [(x, y, 256, 256) for x, y in corners]


def test_eleven_crops_of_rstg() -> None:
    eleven = protocol("11x2")
    for n, height, width in videos():
        first = np.linspace(0, n - 1, 32).astype(int)
        second = np.minimum(first + round(n / 64), n - 1)
        assert eleven.frames(n, NO_WORDS).tolist() == [first.tolist(), second.tolist()]
        w, h = scaled(height, width, 256)
        views = eleven.views(height, width, NO_WORDS)
        assert all(sizes(view) == (w, h) for view in views)
        room = max(w, h) - 256
        along = [math.floor(i * room / 10 + 1e-9) for i in range(11)]
        expected = [(0, x) if h > w else (x, 0) for x in along]
        assert boxes(views) == [(x, y, 256, 256) for x, y in expected]


def test_validation_of_dyreg() -> None:
    official, ours = CentreClips(OfficialSegments(16)), CentreClips()
    for n, height, width in videos():
        assert (official.frames(n, NO_WORDS) + 1).tolist() == [get_val_indices(n)]
        assert (ours.frames(n, NO_WORDS) + 1).tolist() == [get_test_indices(n)]
        assert boxes(ours.views(height, width, NO_WORDS)) == boxes(
            protocol("1x1").views(height, width, NO_WORDS)
        )


def fill_crop_sizes(height: int, width: int) -> set[tuple[int, int]]:
    """Pairs of width and height that ``GroupMultiScaleCrop(224, [1, .875, .75, .66])`` can take."""
    base = min(width, height)
    crop_sizes = [int(base * x) for x in (1, 0.875, 0.75, 0.66)]
    sides = [224 if abs(x - 224) < 3 else x for x in crop_sizes]
    return {(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1}


def fill_fix_offset(w: int, h: int, crop_w: int, crop_h: int) -> set[tuple[int, int]]:
    x, y = (w - crop_w) // 4, (h - crop_h) // 4
    grid = {(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0)}
    grid |= {(1, 1), (3, 1), (1, 3), (3, 3)}
    return {(i * x, j * y) for i, j in grid}


def test_training_of_dyreg() -> None:
    rule = TrainClips(OfficialSegments(16), MultiScaleCrops(224))
    scales: set[tuple[float, float]] = set()
    for case, (n, height, width) in enumerate(videos()):
        drawn = words(3, np.array([case]), rule.draws)[0]
        (indices,) = (rule.frames(n, drawn) + 1).tolist()
        d = n // 16
        if d == 0:
            assert indices == [1] * 16
        else:
            assert all(k * d + 1 <= index <= k * d + d for k, index in enumerate(indices))
        ((left, top, w, h),) = boxes(rule.views(height, width, drawn))
        assert (w, h) in fill_crop_sizes(height, width)
        assert (left, top) in fill_fix_offset(width, height, w, h)
        scales.add((w, h))
    assert len(scales) > of(2000)


def test_training_of_rstg() -> None:
    rule = TrainClips(EvenFrames(32), RandomCrops())
    places = []
    for case, (n, height, width) in enumerate(videos()):
        drawn = words(4, np.array([case]), rule.draws)[0]
        assert rule.frames(n, drawn)[0].tolist() == np.linspace(0, n - 1, 32).astype(int).tolist()
        (view,) = rule.views(height, width, drawn)
        w, h = scaled(height, width, 256)
        assert sizes(view) == (w, h)
        assert view.cut == view.size == (224, 224)
        assert 0 <= view.left <= w - 224
        assert 0 <= view.top <= h - 224
        places.append([view.left / (w - 224), view.top / (h - 224)])
    mean, spread = np.mean(places, 0), np.std(places, 0)
    np.testing.assert_allclose(mean, 0.5, atol=0.02)  # all places alike
    np.testing.assert_allclose(spread, 12**-0.5, atol=0.02)


def test_short_videos_are_spread_where_that_is_not_the_official_rule() -> None:
    for n, _, _ in videos():
        drawn = words(5, np.array([n]), 16)[0]
        frames = Segments(16).train(n, drawn)
        assert (np.diff(frames) >= 0).all()
        if n < 16:
            k = np.arange(16)
            assert (frames >= k * n // 16).all()
            assert (frames <= np.ceil((k + 1) * n / 16) - 1).all()
