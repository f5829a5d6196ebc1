"""Colours of data sets are those of their pixels, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.clips import LeftOutError
from stgraph.datasets.videos import colour_statistics


def clip(*channels: int) -> dict[str, Any]:
    """A clip of two frames of one colour."""
    colour = torch.tensor(channels, dtype=torch.uint8)
    return {"video": colour[:, None, None].expand(2, -1, 4, 4)}


def test_mean_and_spread_are_those_of_the_pixels() -> None:
    found = colour_statistics([clip(0, 51, 255), clip(255, 51, 255)])
    assert found.mean == pytest.approx([0.5, 0.2, 1.0])
    assert found.spread == pytest.approx([0.5, 0.0, 0.0], abs=1e-6)


def test_few_clips_are_evenly_spaced() -> None:
    clips = [clip(10 * number) for number in range(8)]
    found = colour_statistics(clips, clips=2)  # the first one and that in the middle
    assert found.mean == pytest.approx([20 / 255])
    assert colour_statistics(clips, clips=100) == colour_statistics(clips)


def test_clips_that_are_left_out_are_not_counted() -> None:
    class Holes(list[dict[str, Any]]):
        def __getitem__(self, index: Any) -> Any:
            if index in (1, 2):
                raise LeftOutError("a.mp4", InputError("a.mp4", "a video", "none"))
            return super().__getitem__(index)

    assert colour_statistics(Holes([clip(51), clip(0), clip(0)])).mean == pytest.approx([0.2])
    with pytest.raises(InputError, match="dataset: expected a clip that can be read, got none of"):
        colour_statistics([])
