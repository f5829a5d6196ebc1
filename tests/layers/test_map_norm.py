"""Norms of maps: over a frame, over a clip, with the scale inside or outside of the shift."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.layers import ClipMapNorm, FrameMapNorm, Scaled

OVER = {FrameMapNorm: (2, 3, 4), ClipMapNorm: (1, 2, 3, 4)}


def maps() -> torch.Tensor:
    """Two clips of three frames, each with another scale and level."""
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    return x * torch.rand(2, 3, 1, 1, 1, dtype=torch.float64) * 4 + torch.arange(6.0).view(
        2, 3, 1, 1, 1
    )


def awake(norm: nn.Module) -> nn.Module:
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm.double()


@pytest.mark.parametrize("eps", [1e-12, 0.3])
@pytest.mark.parametrize("kind", OVER)
def test_values_are_normalised_by_their_mean_and_variance(kind, eps):
    norm, x, over = awake(kind(5, eps)), maps(), OVER[kind]
    centred = x - x.mean(over, keepdim=True)
    normed = centred / (centred.square().mean(over, keepdim=True) + eps).sqrt()
    expected = normed * norm.weight.view(5, 1, 1) + norm.bias.view(5, 1, 1)
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    scaled = awake(Scaled(kind(5, eps, scale=False)))
    expected = scaled.weight.view(5, 1, 1) * (normed + scaled.norm.bias.view(5, 1, 1))
    torch.testing.assert_close(scaled(x), expected, rtol=1e-12, atol=1e-12)


def test_over_a_frame_it_is_the_group_norm_of_one_group_bit_for_bit():
    norm, x = awake(FrameMapNorm(5)).float(), maps().float()
    expected = F.group_norm(x.flatten(0, 1), 1, norm.weight, norm.bias).view_as(x)
    assert torch.equal(norm(x), expected)


def test_over_a_clip_of_one_vector_it_is_the_layer_norm_of_the_vector():
    vector = torch.randn(2, 5, dtype=torch.float64)
    everywhere = vector[:, None, :, None, None].expand(2, 3, 5, 4, 6)
    normed = ClipMapNorm(5, 1e-12).double()(everywhere)
    expected = F.layer_norm(vector, (5,), eps=1e-12)
    torch.testing.assert_close(normed.mean((1, 3, 4)), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", OVER)
def test_gradients_are_right(kind):
    norm = awake(Scaled(kind(2, scale=False)))
    x = torch.randn(1, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, x)
    norm(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in norm.parameters())


def test_only_a_clip_needs_the_whole_clip():
    assert not ClipMapNorm(5).causal
    assert not Scaled(ClipMapNorm(5, scale=False)).causal
    assert Scaled(FrameMapNorm(5, scale=False)).causal


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"features: expected \[B, T, 5, H, W\], got \[6, 5, 4"):
        FrameMapNorm(5)(torch.zeros(6, 5, 4, 6))
    with pytest.raises(InputError, match="norm: expected a MapNorm with scale=False"):
        Scaled(ClipMapNorm(5))
    with pytest.raises(InputError, match="eps: expected a number above 0, got 0"):
        ClipMapNorm(5, 0)
