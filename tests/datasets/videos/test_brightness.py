"""Brightness: one amount for all frames, by (seed, epoch, clip), and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stgraph.checks import InputError
from stgraph.datasets import ItemLoader
from stgraph.datasets.draws import words
from stgraph.datasets.videos import (
    Brightness,
    ColourChange,
    Flips,
    RandomCrops,
    Segments,
    TrainClips,
    VideoFolder,
)


def test_it_is_uniform_and_cut_off_at_black_and_white() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256)
    change, amounts = Brightness(0.1), []
    for draw in words(7, np.arange(4000), 1):
        changed = change(ramp, draw)
        amount = int(changed[0, 0, 0, 128]) - 128
        assert torch.equal(changed.int(), (ramp.int() + amount).clamp(0, 255))
        amounts.append(amount)
    assert (min(amounts), max(amounts)) == (-25, 25)  # of 25.5, halves to the even number
    assert np.mean(amounts) == pytest.approx(0, abs=4 * 25.5 / np.sqrt(3 * 4000))
    assert np.var(amounts) == pytest.approx(25.5**2 / 3, rel=0.08)
    assert torch.equal(Brightness(0)(ramp, words(7, np.arange(1), 1)[0]), ramp)


@pytest.mark.parametrize("most", [-0.1, 1.5])
def test_amounts_are_shares_of_white(most: float) -> None:
    with pytest.raises(InputError, match="most: expected"):
        Brightness(most)


def clips(root: Path, colours: ColourChange | None) -> list[dict[str, Any]]:
    rule = TrainClips(Segments(3), RandomCrops(16, 20), Flips(), colours)
    loader = ItemLoader(VideoFolder(root, rule), 4, seed=3, shuffle=True)
    return [batch for _ in range(2) for batch in loader]


def test_a_clip_is_a_function_of_seed_epoch_and_clip(classes: Path) -> None:
    """All else of it, frames, cut, flip and label, is what it was without."""
    plain, changed, again = (
        clips(classes, colours) for colours in (None, Brightness(0.1), Brightness(0.1))
    )
    amounts = []
    for one, other, twice in zip(plain, changed, again, strict=True):
        assert torch.equal(other["video"], twice["video"])
        assert torch.equal(one["label"], other["label"])
        for before, after in zip(one["video"].int(), other["video"].int(), strict=True):
            inner = (after > 0) & (after < 255)
            (amount,) = (after - before)[inner].unique().tolist()
            assert torch.equal(after, (before + amount).clamp(0, 255))
            amounts.append(amount)
    assert len(amounts) == 8
    assert len(set(amounts)) > 4  # of 51


class Channels(ColourChange):
    """Exchanges red and blue, or not."""

    draws = 2

    def __call__(self, video: Tensor, words: Any) -> Tensor:
        assert len(words) == 2
        return video.flip(1)


def test_a_change_of_ones_own(classes: Path) -> None:
    for one, other in zip(clips(classes, None), clips(classes, Channels()), strict=True):
        assert torch.equal(one["video"].flip(2), other["video"])
