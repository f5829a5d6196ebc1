from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.datasets.draws import words
from stgraph.datasets.videos import (
    Crops,
    MultiScaleCrops,
    RandomCrops,
    View,
    cut,
    open_video,
    seen,
)

image = pytest.importorskip("PIL.Image")


def by_pillow(frame: np.ndarray, view: View) -> np.ndarray:
    """The rule as written: resize the whole frame, cut, resize the cut, mirror."""

    def resized(one: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.asarray(image.fromarray(one).resize(size[::-1], image.Resampling.BILINEAR))

    whole = resized(frame, view.scaled)
    part = whole[view.top : view.top + view.cut[0], view.left : view.left + view.cut[1]]
    made = resized(part, view.size)
    return made[:, ::-1] if view.flip else made


def pixels(height: int, width: int, count: int = 2) -> torch.Tensor:
    made = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    made[0, :, : height // 2] = 255
    return made


VIEWS = st.sampled_from(
    [Crops(), Crops(3, 256, 256), Crops(11, 256, 256), Crops(1, 40, None), Crops(3, 30, 50)]
)


@settings(deadline=None, max_examples=25)
@given(st.integers(40, 500), st.integers(40, 500), VIEWS, st.integers(0, 2**62), st.booleans())
def test_pixels_are_pillows(height: int, width: int, crops, key: int, flip: bool) -> None:
    random = MultiScaleCrops(112)(height, width, words(key, np.array([0]), 2)[0])
    frames = pixels(height, width)
    for view in [random, *crops(height, width)[-1:]]:
        view = View(view.scaled, view.top, view.left, view.cut, view.size, flip)
        ours = seen(frames, view).permute(0, 2, 3, 1).numpy().astype(int)
        each = frames.permute(0, 2, 3, 1).numpy()
        theirs = np.stack([by_pillow(frame, view) for frame in each]).astype(int)
        # Recent versions of Pillow may take columns first, and round rows' sums thereafter.
        assert np.abs(ours - theirs).max() <= 2
        assert np.abs(ours - theirs).mean() < 0.3


def test_no_more_is_computed_than_is_seen_and_nothing_changes_by_it() -> None:
    frames = pixels(240, 427, 3)
    for view in Crops(11, 128, 160)(240, 427):
        whole = seen(frames, View(view.scaled, 0, 0, view.scaled, view.scaled))
        rows = slice(view.top, view.top + 128)
        assert torch.equal(seen(frames, view), whole[..., rows, view.left : view.left + 128])


def test_a_cut_is_of_the_frames_asked_for(tmp_path: Path) -> None:
    for number in range(5):
        image.new("RGB", (40, 30), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
    clip = cut(open_video(tmp_path), [3, 1, 3], View((30, 40), 5, 6, (8, 9), (8, 9)))
    assert clip.shape == (3, 3, 8, 9)
    assert clip.dtype == torch.uint8
    assert clip[:, 0, 0, 0].tolist() == [120, 40, 120]


def test_a_view_outside_of_the_frame_is_refused() -> None:
    with pytest.raises(InputError, match="view: expected a cut within 10 × 10"):
        seen(pixels(10, 10), View((10, 10), 5, 0, (6, 6), (6, 6)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (1, 300), (5000, 1), (15, 17)], ids=str)
def test_frames_of_any_size_are_seen(size: tuple[int, int]) -> None:
    """Also of a pixel, and so long that a matrix of all that might be seen would fill a machine."""
    frames, random = pixels(*size), words(0, np.arange(20), 2)
    drawn = [MultiScaleCrops(8), MultiScaleCrops(224), RandomCrops(12, 16), RandomCrops()]
    views = [rule(*size, one) for rule in drawn for one in random]
    tests = (Crops(), Crops(3, 256, 256), Crops(11, 256, 256))
    views += [view for rule in tests for view in rule(*size)]
    for view in views:
        assert min(*view.cut, *view.scaled) >= 1
        shown = seen(frames, view)
        assert shown.shape == (2, 3, *view.size)
        if size == (1, 1):
            assert torch.equal(shown, frames.expand_as(shown))
        elif max(size) < 20:
            expected = by_pillow(frames[0].permute(1, 2, 0).numpy(), view)
            difference = shown[0].permute(1, 2, 0).numpy().astype(int) - expected
            assert abs(difference).max() <= 1


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (3, 0), (0, 5)])
def test_a_cut_lies_within_its_frame_to_the_pixel(corner: tuple[int, int]) -> None:
    frames = torch.zeros(1, 3, 6, 8, dtype=torch.uint8)
    assert seen(frames, View((6, 8), 2, 4, (4, 4), (4, 4))).shape == (1, 3, 4, 4)
    with pytest.raises(InputError, match="view: expected a cut within 6 × 8"):
        seen(frames, View((6, 8), *corner, (4, 4), (4, 4)))
