"""Videos of two digits: only motion tells the label, and what is said of them is true."""

from __future__ import annotations

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets import Digits, sklearn_digits
from stgraph.datasets.videos.moving_digits import (
    CROSSWISE,
    OPPOSITE,
    SAME,
    STAYS,
    TEMPLATES,
    MovingDigits,
)

ROOM = np.array([64 - 18, 80 - 18])


@pytest.fixture(scope="module")
def videos() -> MovingDigits:
    return MovingDigits(sklearn_digits("train"), length=6000)


@pytest.fixture(scope="module")
def paths(videos: MovingDigits) -> dict[int, np.ndarray]:
    """Places of the first 16 frames by label ``[n, 16, 2, 2]`` in 0..1 of the room."""
    found: dict[int, list[np.ndarray]] = {label: [] for label in range(len(TEMPLATES))}
    for number in range(len(videos)):
        found[videos.label(number)].append(videos.places(number)[:16])
    return {label: np.stack(places) / ROOM for label, places in found.items()}


@pytest.mark.parametrize("frame", [0, 5, 15])
@pytest.mark.parametrize("label", range(4))
def test_a_frame_says_nothing_about_the_label(paths, label: int, frame: int) -> None:
    """Places are uniform over the square, in every frame: three bins an axis, both digits."""
    places = paths[label][:, frame]  # [n, digit, axis]
    cells = np.minimum((3 * places).astype(int), 2)
    for axis in (0, 1):
        counts = np.bincount(3 * cells[:, 0, axis] + cells[:, 1, axis], minlength=9)
        # 1500 videos in 9 bins of about 167: five standard deviations, and the rounding of places.
        assert np.abs(counts / len(places) - 1 / 9).max() < 0.05
    across = np.bincount(3 * cells[:, 0, 0] + cells[:, 0, 1], minlength=9)
    assert np.abs(across / len(places) - 1 / 9).max() < 0.05
    apart, together = places[:, 0] - places[:, 1], places.sum(1) - 1
    for line in (apart, together):  # triangular on -1..1, of variance 1/6
        assert abs(line.mean()) < 0.05
        assert abs(line.var() - 1 / 6) < 0.025


def test_motion_tells_the_label(paths) -> None:
    step = {label: np.diff(places * ROOM, axis=1) for label, places in paths.items()}
    first, second = step[SAME][:, :, 0], step[SAME][:, :, 1]
    assert np.abs(first - second).max() < 1.5  # places are whole pixels
    first, second = step[OPPOSITE][:, :, 0], step[OPPOSITE][:, :, 1]
    assert np.abs(first + second).max() < 1.5
    assert np.abs(step[STAYS][:, :, 1]).max() == 0
    way = np.abs(step[CROSSWISE]).sum(1)  # [n, digit, axis]
    mostly = way.argmax(-1)
    clear = np.abs(way[..., 0] - way[..., 1]).min(-1) > 6
    assert clear.mean() > 0.5
    assert (mostly[clear, 0] != mostly[clear, 1]).mean() > 0.95


def test_every_video_moves(paths) -> None:
    for places in paths.values():
        way = np.abs(np.diff(places[:, :, 0] * ROOM, axis=1)).sum((1, 2))
        assert np.mean(way < 8) < 0.02


def test_labels_are_balanced_in_every_four(videos: MovingDigits) -> None:
    labels = [videos.label(number) for number in range(400)]
    assert all(sorted(labels[at : at + 4]) == [0, 1, 2, 3] for at in range(0, 400, 4))
    assert len({tuple(labels[at : at + 4]) for at in range(0, 400, 4)}) == 24


def test_a_video_is_a_function_of_seed_split_and_number() -> None:
    train, unseen = sklearn_digits("train"), sklearn_digits("test")
    once, again = MovingDigits(train, 8, seed=1)[3], MovingDigits(train, 100, seed=1)[3]
    np.testing.assert_array_equal(once.frames, again.frames)
    np.testing.assert_array_equal(once.box, again.box)
    for other in (MovingDigits(train, 8, seed=2)[3], MovingDigits(unseen, 8, seed=1)[3]):
        assert not np.array_equal(once.frames[:16], other.frames[:16])


def test_boxes_are_where_the_digits_are(videos: MovingDigits) -> None:
    for number in range(12):
        scene = videos[number]
        assert scene.frames.dtype == np.uint8
        assert len(scene.frames) == len(scene.box) == len(videos.places(number))
        assert 16 <= len(scene.frames) <= 24
        bright = scene.frames.min(-1) > 150  # no background is
        inside = np.zeros_like(bright)
        for frame, boxes in enumerate(scene.box.astype(int)):
            for x1, y1, x2, y2 in boxes:
                assert 0 <= x1 < x2 <= 80
                assert 0 <= y1 < y2 <= 64
                inside[frame, y1:y2, x1:x2] = True
                assert bright[frame, y1:y2, x1:x2].any()
        assert bright.any((1, 2)).all()
        assert not (bright & ~inside).any()


def test_digits_have_the_side_that_is_asked_for() -> None:
    squares = Digits(np.full((2, 8, 8), 255, np.uint8), np.array([0, 1]), "train")
    videos = MovingDigits(squares, length=8, height=40, width=50, side=11)
    for number in range(8):
        scene, places = videos[number], videos.places(number)
        assert scene.box.shape == (len(places), 2, 4)
        np.testing.assert_array_equal(scene.box[..., 2:] - scene.box[..., :2], 11)
        np.testing.assert_array_equal(scene.box[..., 1::-1], places)
        assert (places >= 0).all()
        assert (places <= [40 - 11, 50 - 11]).all()
    assert max(videos.places(number).max() for number in range(8)) > 30


def test_either_digit_may_cover_the_other() -> None:
    """Squares of one colour each: the one above is whole wherever the two meet."""
    squares = Digits(np.full((2, 8, 8), 255, np.uint8), np.array([0, 1]), "train")
    videos = MovingDigits(squares, length=100)
    above = []
    for number in range(len(videos)):
        places = videos.places(number)
        apart = places[:, 1] - places[:, 0]
        meet = ((abs(apart) < 18) & (abs(apart) > 0)).all(1)
        if meet.any():
            when = int(meet.argmax())
            frame, (first, second), apart = videos[number].frames[when], places[when], apart[when]
            top, left = np.maximum(first, second)  # a corner of what both cover
            corner = np.where(apart > 0, 0, 17)  # of the first digit, which the other has not
            mine = (frame[top, left] == frame[tuple(first + corner)]).all()
            other = (frame[top, left] == frame[tuple(second + 17 - corner)]).all()
            assert mine != other
            above.append(mine)
    assert 0 < sum(above) < len(above)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("length", {"length": 0}),
        ("side", {"side": 3}),
        ("height", {"height": 35}),
        ("width", {"width": 35}),
        ("frames", {"frames": (1, 4)}),
        ("frames", {"frames": (5, 4)}),
        ("speed", {"speed": (2.0, 1.0)}),
        ("speed", {"speed": (0.0, 1.0)}),
    ],
)
def test_wrong_settings_are_named(name: str, options) -> None:
    with pytest.raises(InputError, match=name):
        MovingDigits(sklearn_digits("train"), **{"length": 4, **options})


def test_the_least_that_makes_a_video() -> None:
    least = {"side": 4, "height": 8, "width": 8, "frames": (2, 2), "speed": (0.5, 0.5)}
    videos = MovingDigits(sklearn_digits("train"), 1, **least)
    assert videos[0].frames.shape == (2, 8, 8, 3)
    for number in (-1, 1):
        with pytest.raises(IndexError):
            videos[number]


# Label, digits, frames; corners in the first and in the last frame; boxes in the first; and the sum
# of each colour over the first and the last frame, which a rounding or two may be off.
MADE = [
    (
        *(1, (2, 3), 22),
        [[[6, 27], [12, 56]], [[0, 32], [18, 51]]],
        [[29, 6, 43, 24], [59, 12, 71, 30]],
        [[368259, 380373, 372715], [367545, 392626, 377276]],
    ),
    (
        *(2, (1, 8), 20),
        [[[28, 36], [39, 2]], [[1, 38], [12, 4]]],
        [[38, 28, 52, 46], [4, 39, 16, 57]],
        [[391899, 372422, 347890], [399569, 387162, 360209]],
    ),
    (
        *(3, (8, 1), 23),
        [[[28, 15], [38, 36]], [[39, 47], [38, 36]]],
        [[17, 28, 31, 46], [40, 38, 51, 56]],
        [[381751, 408802, 381625], [381626, 406555, 386727]],
    ),
    (
        *(0, (8, 2), 18),
        [[[23, 5], [45, 55]], [[19, 31], [21, 52]]],
        [[8, 23, 19, 41], [58, 45, 70, 63]],
        [[374017, 398083, 420713], [368853, 396700, 428166]],
    ),
]


@pytest.mark.parametrize("number", range(4))
def test_videos_stay_what_they_were(number: int) -> None:
    """A data set that was made on another day, or on another machine, is this one."""
    label, digits, frames, places, boxes, colours = MADE[number]
    videos = MovingDigits(sklearn_digits("train"), 4)
    scene = videos[number]
    assert (scene.label, scene.digits, len(scene.frames)) == (label, digits, frames)
    assert videos.places(number)[[0, -1]].tolist() == places
    assert scene.box[0].tolist() == boxes
    sums = scene.frames[[0, -1]].astype(int).sum((1, 2))
    np.testing.assert_allclose(sums, colours, rtol=0, atol=30)
