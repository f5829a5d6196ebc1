"""Maps as what they are made of equal the maps that are written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.kernels import normalise
from stgraph.layers import FrameMapNorm
from stgraph.layers.spread import SpreadMaps


def spread(dtype: torch.dtype = torch.float64) -> SpreadMaps:
    kernel, _ = normalise(torch.rand(6, 4, 5, 7, dtype=torch.float64))
    nodes = torch.randn(6, 4, 8, dtype=torch.float64) + torch.arange(6.0)[:, None, None]
    return SpreadMaps(nodes.to(dtype).requires_grad_(), kernel.to(dtype).requires_grad_())


def equal(ours: torch.Tensor, plain: torch.Tensor, leaves: list[torch.Tensor], atol: float = 1e-12):
    torch.testing.assert_close(ours, plain, rtol=0, atol=atol)
    weight = torch.randn_like(plain)
    grads = (
        torch.autograd.grad((out * weight).sum(), leaves, retain_graph=True)
        for out in (ours, plain)
    )
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=10 * atol)


def test_a_linear_map_of_nodes_is_one_of_cells():
    made, conv = spread(), nn.Conv2d(8, 3, 1).double()
    ours = made.mapped(conv.weight.flatten(1), conv.bias).written()
    equal(ours, conv(made.written()), [*made, *conv.parameters()])


@pytest.mark.parametrize("scale", [True, False])
def test_a_norm_of_nodes_is_one_of_maps(scale):
    made, norm = spread(), FrameMapNorm(8, scale=scale).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    plain = norm(made.written()[None])[0]
    equal(norm.spread(made).written(), plain, [*made, *norm.parameters()])
    maps = torch.randn_like(plain, requires_grad=True)
    equal(norm.spread(made).added_to(maps), maps + plain, [maps, *made, *norm.parameters()])


def test_moments_do_not_cancel_where_a_map_is_far_from_zero():
    made = spread()
    far = made.plus(torch.full((8,), 1e4, dtype=torch.float64))
    single = SpreadMaps(*(part.float() for part in far))
    plain = FrameMapNorm(8)(single.written()[None])[0]
    exact = FrameMapNorm(8).double()(far.written()[None])[0]
    ours = FrameMapNorm(8).spread(single).written()
    assert (ours - exact).abs().max() <= 4 * (plain - exact).abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_near_as_written_maps_are(dtype):
    made, norm = spread(), FrameMapNorm(8)
    half = SpreadMaps(*(part.to(dtype) for part in made))
    exact = norm.double().spread(made).written()
    plain = norm.to(dtype)(half.written()[None])[0]
    ours = norm.spread(half).written()
    assert ours.dtype == dtype
    assert (ours - exact).abs().max() <= 3 * (plain - exact).abs().max()
