from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stgraph.backbones import PairMax3d, WindowMean3d
from stgraph.checks import InputError


def test_it_is_the_mean_of_the_means_of_all_windows():
    x = torch.randn(2, 3, 4, 16, 17, dtype=torch.float64)
    windows = [x[..., i : i + 14, j : j + 14] for i in range(3) for j in range(4)]
    expected = torch.stack([window.mean((2, 3, 4)) for window in windows]).mean(0)
    torch.testing.assert_close(WindowMean3d(14)(x).flatten(1), expected)
    assert (x.mean((2, 3, 4)) - expected).abs().max() > 1e-3


def test_logits_of_windows_averaged_are_those_of_their_mean():
    x, w = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    averages = F.avg_pool3d(x, (4, 14, 14), stride=1)  # as the official code has it: 1×3×3 windows
    logits = torch.einsum("kc,bcthw->bkthw", w, averages).mean((2, 3, 4))
    torch.testing.assert_close(F.linear(WindowMean3d(14)(x).flatten(1), w), logits)


@pytest.mark.parametrize("size", [(14, 14), (3, 14), (2, 5)])
def test_maps_up_to_the_window_are_averaged_whole(size):
    x = torch.randn(2, 3, 4, *size)
    torch.testing.assert_close(WindowMean3d(14)(x), x.mean((2, 3, 4), keepdim=True))


@pytest.mark.parametrize("frames", [2, 3, 8, 9])
def test_frames_are_halved_without_a_last_one_alone(frames):
    x = torch.randn(2, 3, frames, 4, 5)
    whole = x[:, :, : frames // 2 * 2]
    expected = torch.maximum(whole[:, :, ::2], whole[:, :, 1::2])
    assert torch.equal(PairMax3d()(x), expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="input: expected two frames at least, got 1"):
        PairMax3d()(torch.zeros(1, 2, 1, 4, 4))
    with pytest.raises(InputError, match="side: expected a whole number of at least 1, got 0"):
        WindowMean3d(0)
    with pytest.raises(InputError, match=r"x: expected \[B, C, T, H, W\]"):
        WindowMean3d(14)(torch.zeros(2, 3, 4, 4))
