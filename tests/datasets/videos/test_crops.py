from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.datasets.draws import words
from stgraph.datasets.videos import Crops, MultiScaleCrops, RandomCrops, View

SIDES = st.integers(16, 900)


def published(height: int, width: int) -> set[tuple[int, int, int, int]]:
    """All (top, left, height, width) that TSM's multi-scale crop can give, written once more."""
    short = min(height, width)
    sides = [
        224 if abs(int(short * s) - 224) < 3 else int(short * s) for s in (1, 0.875, 0.75, 0.66)
    ]
    found = set()
    for i, h in enumerate(sides):
        for j, w in enumerate(sides):
            if abs(i - j) > 1:
                continue
            dy, dx = (height - h) // 4, (width - w) // 4
            grid = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0)]
            grid += [(1, 1), (3, 1), (1, 3), (3, 3)]
            found |= {(y * dy, x * dx, h, w) for x, y in grid}
    return found


def test_multi_scale_crops_are_all_of_the_published_ones_and_no_others() -> None:
    for height, width in ((240, 427), (256, 256), (360, 240)):
        draws = words(0, np.arange(4000), 2)
        views = [MultiScaleCrops()(height, width, each) for each in draws]
        assert {(v.top, v.left, *v.cut) for v in views} == published(height, width)
        assert all(view.scaled == (height, width) and view.size == (224, 224) for view in views)


@pytest.mark.parametrize("distortion", [0, 1, 3])
def test_sides_of_a_cut_are_so_many_scales_apart(distortion: int) -> None:
    crops = MultiScaleCrops(32, (1.0, 0.8, 0.6, 0.4), distortion)
    sides = [100, 80, 60, 40]
    found = {crops(100, 130, each).cut for each in words(0, np.arange(2000), 2)}
    assert found == {
        (h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= distortion
    }


@settings(deadline=None)
@given(st.integers(230, 900), st.integers(230, 900), st.integers(0, 2**62))
def test_a_multi_scale_crop_of_any_size_is_a_published_one(height, width, key) -> None:
    view = MultiScaleCrops()(height, width, words(key, np.array([0]), 2)[0])
    assert (view.top, view.left, *view.cut) in published(height, width)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**62), st.sampled_from([1, 3, 4, 11]))
def test_every_view_lies_in_its_frame(height, width, key, count) -> None:
    views = [MultiScaleCrops()(height, width, words(key, np.array([0]), 2)[0])]
    views += Crops(count, 224)(height, width) + Crops(count, 256)(height, width)
    for view in views:
        assert 0 <= view.top <= view.scaled[0] - view.cut[0]
        assert 0 <= view.left <= view.scaled[1] - view.cut[1]


def test_random_crops_reach_all_of_a_frame_alike() -> None:
    views = [RandomCrops(4, 6)(6, 9, one) for one in words(0, np.arange(4000), 2)]
    assert {view.scaled for view in views} == {(6, 9)}
    places, counts = np.unique([(view.top, view.left) for view in views], axis=0, return_counts=1)
    assert places.tolist() == [[top, left] for top in range(3) for left in range(6)]
    assert counts.min() > 150  # of 222 each


@settings(deadline=None)
@given(SIDES, SIDES)
def test_test_crops_are_the_published_ones(height: int, width: int) -> None:
    (centre,) = Crops()(height, width)
    short, long = min(height, width), max(height, width)
    scaled = (256, 256 * long // short) if height < width else (256 * long // short, 256)
    assert centre.scaled == scaled
    assert centre.top == round((scaled[0] - 224) / 2)
    assert centre.left == round((scaled[1] - 224) / 2)
    left, right, middle = Crops(3, 256)(height, width)
    dy, dx = (scaled[0] - 256) // 4, (scaled[1] - 256) // 4
    assert [v.left for v in (left, right, middle)] == [0, 4 * dx, 2 * dx]
    assert {v.top for v in (left, right, middle)} == {2 * dy}
    eleven = Crops(11, 256)(height, width)
    along = [max(v.top, v.left) if long > short else 0 for v in eleven]
    room = max(scaled) - 256
    assert along[0] == 0 or long == short
    assert along[-1] == room
    assert max(abs(place - i * room / 10) for i, place in enumerate(along)) < 1


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40))
def test_boxes_follow_the_pixels(top, left, rows, columns) -> None:
    height, width = 100, 100
    view = View((height, width), top, left, (rows, columns), (rows, columns))
    frame = torch.zeros(height, width)
    frame[30:50, 20:45] = 1
    seen = frame[top : top + rows, left : left + columns]
    box = view.boxes(torch.tensor([0.20, 0.30, 0.45, 0.50])) * torch.tensor(
        [columns, rows, columns, rows]
    )
    places = seen.nonzero()
    if len(places):
        low, high = places.amin(0), places.amax(0) + 1
        expected = torch.stack([low[1], low[0], high[1], high[0]]).float()
        torch.testing.assert_close(box, expected, atol=1e-3, rtol=0)
    else:
        assert float((box[2] - box[0]) * (box[3] - box[1])) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Crops(2),
        lambda: Crops(1, 256, 224),
        lambda: MultiScaleCrops(scales=(1.5,)),
        lambda: MultiScaleCrops(scales=()),
    ],
)
def test_bad_input_is_refused(make) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(("side", "cut"), [(226, 224), (227, 227), (222, 222), (223, 223)])
def test_a_side_less_than_three_pixels_from_the_size_is_the_size(side: int, cut: int) -> None:
    """Where there is room for it."""
    view = MultiScaleCrops(224, scales=(1.0,))(side, side, words(0, np.array([0]), 2)[0])
    assert view.cut == (cut, cut)
