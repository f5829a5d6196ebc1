"""Convolutions as a CPU likes them equal those of PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.nodes.convolutions import Pointwise, normed_convolution


@pytest.mark.parametrize("maps", [0, 1, 3])
def test_a_pointwise_convolution_is_a_convolution(maps):
    ours, plain = Pointwise(6, 4).double(), nn.Conv2d(6, 4, 1).double()
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(maps, 6, 5, 3, dtype=torch.float64, requires_grad=True)
    runs = []
    for conv in (ours, plain):
        out = conv(x)
        grads = torch.autograd.grad(out.square().sum(), [x, *conv.parameters()], create_graph=True)
        twice = torch.autograd.grad(sum(grad.square().sum() for grad in grads), x)
        runs.append([out, *grads, *twice])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_norm_that_is_made_again_is_the_norm(stride):
    norm, conv = nn.GroupNorm(1, 6).double(), nn.Conv2d(6, 4, 3, stride, 1).double()
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64, requires_grad=True)
    leaves, runs = [x, *norm.parameters(), *conv.parameters()], []
    for run in (lambda: normed_convolution(norm, conv, x), lambda: conv(norm(x))):
        out = run()
        plain = torch.autograd.grad(out.square().sum(), leaves, retain_graph=True)
        grads = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        twice = torch.autograd.grad(sum(grad.square().sum() for grad in grads), leaves)
        runs.append([out, *plain, *grads, *twice])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_what_is_normalised_is_not_kept():
    norm, conv = nn.GroupNorm(1, 6), nn.Conv2d(6, 4, 3, 2)
    x, kept = torch.randn(2, 6, 8, 8, requires_grad=True) * 1, set()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.add(tensor.data_ptr()) or tensor, lambda tensor: tensor
    ):
        out = normed_convolution(norm, conv, x)
    assert out.requires_grad
    assert kept == {each.data_ptr() for each in (x, *norm.parameters(), *conv.parameters())}


@pytest.mark.parametrize("hooked", ["norm", "conv"])
def test_parts_with_hooks_are_called(hooked):
    norm, conv = nn.GroupNorm(1, 6), nn.Conv2d(6, 4, 3)
    calls = []
    {"norm": norm, "conv": conv}[hooked].register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(normed_convolution(norm, conv, x), conv(norm(x)))
    assert len(calls) == 2


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_what_is_around_the_map_is_as_the_convolution_has_it(mode):
    norm, conv = nn.GroupNorm(1, 6), nn.Conv2d(6, 4, 3, padding=1, padding_mode=mode)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(normed_convolution(norm, conv, x), conv(norm(x)))
