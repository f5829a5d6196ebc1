from __future__ import annotations

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets.draws import words
from stgraph.datasets.videos import EvenFrames, Flips, RandomCrops, TrainClips

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


def test_who_is_mirrored_has_nothing_to_do_with_where_it_is_cut() -> None:
    rule = TrainClips(EvenFrames(4), RandomCrops(16, 32), Flips())
    drawn = words(3, np.arange(4000), rule.draws)
    mirrored = np.array([rule.flips.drawn(one) for one in drawn])
    (views,) = zip(*(rule.views(32, 48, one) for one in drawn), strict=True)
    place = np.array([(view.top, view.left) for view in views], dtype=float)
    assert abs(mirrored.mean() - 0.5) < 0.03
    off = abs(place[mirrored].mean(0) - place[~mirrored].mean(0))
    assert (off < 0.2 * place.std(0)).all()
