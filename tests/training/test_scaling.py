"""Frames of 8 bits become the numbers that a model sees."""

from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.training import Standardised, imagenet, kinetics, raw, signed

FRAMES = torch.linspace(0, 255, 2 * 3 * 4 * 5).byte().view(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("scale", "mean", "spread"),
    [(raw, 0, 1), (signed, 127.5, 127.5), (kinetics, 114.75, 57.375)],
)
def test_all_colours_alike(scale, mean, spread):
    torch.testing.assert_close(scale(FRAMES), (FRAMES.float() - mean) / spread)


@pytest.mark.parametrize(
    ("scale", "mean", "spread"),
    [
        (imagenet, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (Standardised((0.1, 0.2, 0.3), (0.5, 1.0, 2.0)), (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)),
    ],
)
def test_each_colour_by_its_own(scale, mean, spread):
    mean, spread = (torch.tensor(each)[:, None, None] for each in (mean, spread))
    torch.testing.assert_close(scale(FRAMES), (FRAMES / 255 - mean) / spread)


def test_what_does_not_fit_is_refused():
    for scale in (raw, signed, kinetics, imagenet, Standardised([0.5] * 3, [0.2] * 3)):
        with pytest.raises(InputError, match=r"video: expected torch.uint8, got torch.float32"):
            scale(FRAMES.float())
        with pytest.raises(InputError, match=r"video: expected torch.uint8, got torch.int64"):
            scale(FRAMES.long())
    with pytest.raises(InputError, match=r"video: expected \[..., 3, H, W\], got \[2, 4, 5\]"):
        imagenet(FRAMES[:, 0])
    with pytest.raises(InputError, match=r"video: expected \[..., 3, H, W\], got \[4, 5\]"):
        imagenet(FRAMES[0, 0])
    with pytest.raises(InputError, match=r"spread: expected 2 numbers, as mean, got 1"):
        Standardised([0.5, 0.5], [0.2])
    with pytest.raises(InputError, match="spread: expected"):
        Standardised([], [])
    for spread in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="spread: expected"):
            Standardised([0.5], [spread])
