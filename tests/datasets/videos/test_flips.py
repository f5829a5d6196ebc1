from __future__ import annotations

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos import Flips

NAMES = ["Wave", "Push from left to right", "Push from right to left", "keep left", "leftovers"]


def test_names_tell_what_a_mirrored_clip_is() -> None:
    assert Flips().table(NAMES) == [0, 2, 1, None, 4]
    assert Flips(labels={"Wave": "Wave", "keep left": "Wave"}).table(NAMES) == [
        0,
        None,
        None,
        0,
        None,
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("LEFT", "RIGHT"),
        ("SwipeLeft", "SwipeRight"),
        ("leftToRight", "rightToLeft"),
        ("moving leftwards", "moving rightwards"),
        ("turnleft", "turnright"),
        ("wave_LEFT_2", "wave_RIGHT_2"),
    ],
)
def test_words_of_a_direction_are_known_however_they_are_written(left: str, right: str) -> None:
    assert Flips().table([left, right, "still"]) == [1, 0, 2]
    if left != "turnleft":  # which alone is no more than letters
        assert Flips().table([left, "upright", "still"]) == [None, 1, 2]


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"flips.labels: expected names of labels, got 'wave'"):
        Flips(labels={"wave": "Wave"}).table(NAMES)
    with pytest.raises(InputError, match="chance"):
        Flips(1.5)
