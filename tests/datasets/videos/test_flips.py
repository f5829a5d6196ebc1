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


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"flips.labels: expected names of labels, got 'wave'"):
        Flips(labels={"wave": "Wave"}).table(NAMES)
    with pytest.raises(InputError, match="chance"):
        Flips(1.5)
