from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import to_dense
from stgraph.kernels import Bilinear, Gaussian, LogLinear, boxcar, normalise, separable, tent
from stgraph.nodes import (
    DynamicRegions,
    FixedSizeWindows,
    LargeGenerator,
    SmallGenerator,
    Windows,
    centre_anchors,
    grid_anchors,
)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# Official sizes at the start, in cells: e⁰(H/6 + 1) + 1.
@pytest.mark.parametrize(
    ("side", "cells"), [(7, 3.167), (8, 3.333), (14, 4.333), (16, 4.667), (28, 6.667), (32, 7.333)]
)
def test_untrained_regions_have_the_official_size(side, cells):
    graph, _ = DynamicRegions(8, generator=SmallGenerator(8))(torch.randn(1, 2, 8, side, side))
    torch.testing.assert_close(graph.window[:, :2], torch.full((18, 2), cells), atol=1e-3, rtol=0)
    torch.testing.assert_close(graph.window[:, 2:], torch.full((18, 2), side / 2))


def test_untrained_regions_start_on_the_grid():
    regions = DynamicRegions(8, generator=SmallGenerator(8), anchors=grid_anchors)
    graph, _ = regions(torch.randn(1, 1, 8, 12, 18))
    rows, columns = graph.window[:, 2].view(3, 3), graph.window[:, 3].view(3, 3)
    torch.testing.assert_close(rows[:, 0], torch.tensor([2.0, 6.0, 10.0]))
    torch.testing.assert_close(columns[0], torch.tensor([3.0, 9.0, 15.0]))


def test_windows_follow_the_printed_equations():
    offset = torch.randn(50, 9, 4, dtype=torch.float64)
    anchor = torch.rand(9, 2, dtype=torch.float64)
    centre, size = Windows.paper()(offset, anchor, 12, 18)
    torch.testing.assert_close(size[..., 0], offset[..., 0].exp() * 2)
    torch.testing.assert_close(size[..., 1], offset[..., 1].exp() * 3)
    start = torch.atanh(2 * anchor[:, 0] * 12 / 12 - 1)
    torch.testing.assert_close(centre[..., 0], 6 * torch.tanh(offset[..., 2] + start) + 6)
    inside, _ = Windows()(10 * offset, anchor, 12, 18)
    assert inside.min() >= 0
    assert inside[..., 0].max() <= 11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_region_whose_anchor_is_on_the_border_can_leave_it(dtype):
    anchor = torch.tensor([[0.0, 1.0]], dtype=dtype)
    offset = torch.zeros(1, 4, dtype=dtype, requires_grad=True)
    centre, _ = Windows.paper()(offset, anchor, 12, 18)
    torch.testing.assert_close(centre, torch.tensor([[0.0, 18.0]], dtype=dtype), atol=1e-4, rtol=0)
    assert torch.autograd.grad(centre.sum(), offset)[0].isfinite().all()
    far = torch.tensor([[0.0, 0.0, 20.0, -20.0]], dtype=dtype)
    moved, _ = Windows.paper()(far, anchor, 12, 18)
    torch.testing.assert_close(moved, torch.tensor([[12.0, 0.0]], dtype=dtype), atol=1e-3, rtol=0)


def test_growth_limits_the_size():
    offset = torch.tensor([[9.0, -9.0, 0.0, 0.0]])
    _, size = Windows(growth=0.5)(offset, centre_anchors(1), 6, 6)
    expected = torch.tensor([0.5, -0.5]).exp() * 2 + 1
    torch.testing.assert_close(size[0], expected)


def test_position_only_regions_move_and_keep_their_size():
    regions = DynamicRegions(8, windows=FixedSizeWindows(), alpha=(0.5,) * 4)
    graph, _ = regions(torch.randn(1, 3, 8, 12, 18))
    torch.testing.assert_close(graph.window[:, 0], torch.full((27,), 3.0))  # H/6 + 1
    torch.testing.assert_close(graph.window[:, 1], torch.full((27,), 4.0))
    assert graph.window[:, 2].std() > 0
    full = DynamicRegions(8, alpha=(0.5,) * 4)  # the same weights fit, with the same centres
    full.load_state_dict(regions.state_dict())
    assert set(full.state_dict()) == set(regions.state_dict())
    assert FixedSizeWindows.of(2.5).initial(7) == FixedSizeWindows.of(2.5).initial(70) == 2.5


def test_fixed_sizes_share_the_centres_of_learned_ones():
    offset, anchor = torch.randn(5, 9, 4), grid_anchors(9)
    for inside in (True, False):
        centre, size = FixedSizeWindows(8.0, 0.5, inside)(offset, anchor, 16, 24)
        expected, _ = Windows(inside=inside)(offset, anchor, 16, 24)
        torch.testing.assert_close(centre, expected)
        assert (size == torch.tensor([2.5, 3.5])).all()


@pytest.mark.parametrize("profile", [boxcar, Gaussian(2.2), LogLinear(20.0)])
def test_any_profile_makes_the_kernels(profile):
    regions = DynamicRegions(8, profile=profile, alpha=(0.5,) * 4)
    graph, _ = regions(torch.randn(1, 2, 8, 10, 14))
    half, centre = graph.window[:, :2], graph.window[:, 2:]
    expected, _ = normalise(separable(profile, centre, half, 10, 14))
    torch.testing.assert_close(graph.kernel, expected)
    assert "profile=" in repr(regions)


def test_bilinear_regions_have_size_one():
    rule = FixedSizeWindows.of(1.0)
    graph, _ = DynamicRegions(8, profile=Bilinear(), windows=rule)(torch.randn(1, 1, 8, 11, 7))
    assert (graph.window[:, :2] == 1).all()
    assert ((graph.kernel > 0).sum((1, 2)) <= 4).all()
    for wrong in (None, FixedSizeWindows(ratio=16.0, cells=1.0)):
        with pytest.raises(InputError, match=r"windows: expected FixedSizeWindows.*Bilinear"):
            DynamicRegions(8, profile=Bilinear(), windows=wrong)


# Modules of f and g_i by map size: M, and the parameters of DyReG's Table 7 and 8 models.
@pytest.mark.parametrize(
    ("size", "side"), [(7, 5), (8, 6), (14, 6), (16, 7), (28, 6), (32, 7), (56, 6)]
)
def test_large_generator_has_the_official_shapes(size, side):
    generator = LargeGenerator(8, 9, 32, size)
    assert generator.side == side
    assert generator(torch.randn(2, 8, size, size)).shape == (2, 9, 32)
    assert count(generator.regions) == (16 * side * side + 1) * 9 * 32


@pytest.mark.parametrize("size", range(5, 64))
def test_large_generator_fits_every_size(size):
    assert LargeGenerator(4, 2, 8, size)(torch.randn(1, 4, size, size)).shape == (1, 2, 8)


@pytest.mark.parametrize(
    ("channels", "size", "f", "g", "recurrence"),
    [(32, 16, 24_448, 226_080, 6_336 + 132 + 4 + 128)],
)
def test_parameters_of_the_multi_sync_regions(channels, size, f, g, recurrence):
    regions = DynamicRegions(channels, generator=LargeGenerator(channels, 9, 32, size))
    assert count(regions.generator) - count(regions.generator.regions) == f
    assert count(regions.generator.regions) == g
    assert count(regions) == f + g + recurrence


@pytest.mark.parametrize(
    ("channels", "size", "f", "g"),
    [(128, 28, 27_520, 664_704), (256, 14, 31_616, 664_704), (256, 7, 31_616, 461_952)],
)
def test_parameters_of_the_resnet50_regions(channels, size, f, g):
    regions = DynamicRegions(channels, generator=LargeGenerator(channels, 9, 128, size))
    assert count(regions.generator) - count(regions.generator.regions) == f
    assert count(regions.generator.regions) == g
    assert count(regions) == f + g + 99_072 + 516 + 4 + 512


def test_the_closed_gate_passes_gradients_to_itself_only():
    regions = DynamicRegions(8)
    graph, _ = regions(torch.randn(2, 3, 8, 16, 16))
    (graph.x * torch.randn_like(graph.x)).sum().backward()
    assert regions.alpha.grad.abs().sum() > 0
    assert regions.offset.weight.grad.abs().sum() == 0


def test_permuting_the_regions_permutes_the_nodes():
    regions = DynamicRegions(8, anchors=grid_anchors, alpha=(0.3,) * 4).double()
    features = torch.randn(2, 3, 8, 16, 16, dtype=torch.float64)
    before, _ = regions(features)
    order = torch.randperm(9)
    with torch.no_grad():
        regions.anchor = regions.anchor[order]
        linear = regions.generator.regions
        linear.weight.copy_(linear.weight.view(9, 32, -1)[order].flatten(0, 1))
        linear.bias.copy_(linear.bias.view(9, 32)[order].flatten())
    after, _ = regions(features)
    torch.testing.assert_close(after.x.view(6, 9, 8), before.x.view(6, 9, 8)[:, order])


def test_kernels_carry_the_windows():
    regions = DynamicRegions(8, alpha=(0.5,) * 4)
    graph, _ = regions(torch.randn(1, 2, 8, 10, 14))
    half, centre = graph.window[:, :2], graph.window[:, 2:]
    rows = (half[:, :1] - (torch.arange(10) - centre[:, :1]).abs()).clamp_min(0)
    columns = (half[:, 1:] - (torch.arange(14) - centre[:, 1:]).abs()).clamp_min(0)
    expected, mass = normalise(rows[:, :, None] * columns[:, None])
    torch.testing.assert_close(graph.kernel, expected)
    torch.testing.assert_close(graph.mass, mass)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="nodes: expected a square number"):
        DynamicRegions(8, 7, anchors=grid_anchors)
    with pytest.raises(InputError, match="generator: expected one of num_nodes=9, got num_nodes=4"):
        DynamicRegions(8, 9, generator=SmallGenerator(8, 4))
    with pytest.raises(InputError, match="generator: expected a module with `out_channels`"):
        DynamicRegions(8, generator=torch.nn.Identity())
    with pytest.raises(InputError, match="alpha: expected 4 gates"):
        DynamicRegions(8, alpha=(0.0,))
    with pytest.raises(InputError, match="ratio: expected a number above 0"):
        Windows(ratio=0)
    for option in ("cells", "margin"):
        with pytest.raises(InputError, match="cells, margin: expected at least 0"):
            Windows(**{option: -0.1})
        with pytest.raises(InputError, match="cells, margin: expected at least 0"):
            Windows(**{option: float("nan")})
    with pytest.raises(InputError, match="cells: expected at least 0"):
        FixedSizeWindows(cells=-0.1)
    with pytest.raises(InputError, match=r"cells: expected .* a size above 0"):
        FixedSizeWindows.of(0.0)
    with pytest.raises(InputError, match="channels: expected an even number"):
        SmallGenerator(7)
    with pytest.raises(InputError, match="size: expected a map of at least 5"):
        LargeGenerator(8, size=4)
    regions = DynamicRegions(8)
    _, state = regions(torch.randn(2, 1, 8, 16, 16))
    with pytest.raises(InputError, match=r"state: expected \[1, 3, 9, 32\], got \[1, 2, 9, 32\]"):
        regions(torch.randn(3, 1, 8, 16, 16), state)


def test_an_lstm_follows_the_regions():
    nodes = DynamicRegions(
        8,
        4,
        edges=FullEdges(),
        generator=LargeGenerator(8, 4, 6, size=8),
        cell=nn.LSTM(6, 6),
        alpha=(0.3,) * 4,
    ).double()
    features = torch.randn(2, 4, 8, 8, 8, dtype=torch.float64)
    whole, _ = nodes(features)
    state, pieces = None, []
    for t in range(4):
        graph, state = nodes(features[:, t : t + 1], state)
        pieces.append(to_dense(graph.window, graph))
    assert len(state.regions) == 2
    torch.testing.assert_close(
        torch.cat(pieces, 1), to_dense(whole.window, whole), atol=1e-12, rtol=0
    )
    with pytest.raises(InputError, match="cell: expected one of 6 inputs and outputs, got 5 inp"):
        DynamicRegions(8, 4, generator=LargeGenerator(8, 4, 6), cell=nn.GRU(5, 6))
    with pytest.raises(InputError, match=r"cell: expected a torch\.nn\.GRU"):
        DynamicRegions(8, cell=nn.Linear(32, 32))


@pytest.mark.parametrize("profile", [tent, Gaussian(), LogLinear(7.0)])
def test_wild_offsets_give_finite_gradients(profile):
    nodes = DynamicRegions(8, 4, generator=LargeGenerator(8, 4, 6), profile=profile)
    features = torch.randn(1, 2, 8, 16, 16)
    offset = torch.full((1, 2, 4, 4), 60.0).requires_grad_()
    for sign in (1, -1):
        regions = nodes.place(sign * offset, features)
        kernel, _ = normalise(regions.kernel)
        (grad,) = torch.autograd.grad((kernel * torch.rand(16, 16)).sum(), offset)
        assert kernel.isfinite().all()
        assert grad.isfinite().all()


def test_positions_of_the_small_generator_have_a_size():
    positions = torch.randn(8, 6, 6)
    generator = SmallGenerator(8, 4, 5, size=6, positions=positions)
    maps = torch.randn(2, 8, 9, 7)
    pooled = nn.functional.adaptive_avg_pool2d(maps, 6)
    torch.testing.assert_close(generator(maps), generator(pooled))
    without = SmallGenerator(8, 4, 5, size=6)
    without.load_state_dict({k: v for k, v in generator.state_dict().items() if k != "positions"})
    assert not torch.allclose(without(maps), generator(maps))
    with pytest.raises(InputError, match="size: expected the side of the map of positions, got N"):
        SmallGenerator(8, 4, 5, positions=positions)
    with pytest.raises(InputError, match=r"positions: expected \[8, 5, 5\], got \[8, 6, 6\]"):
        SmallGenerator(8, 4, 5, size=5, positions=positions)


@pytest.mark.parametrize("scale", [1.0, 2.0**16])
def test_flat_windows_at_the_border_learn_with_numbers(scale):
    """By the printed rule a window may be so flat that no cell is in it."""
    torch.manual_seed(0)
    nodes = DynamicRegions(8, 3, windows=Windows.paper(), alpha=(1.0, 1.0, 1.0, 1.0))
    with torch.no_grad():
        nodes.offset.weight.mul_(0.01)
        nodes.offset.bias.copy_(torch.tensor([-9.0, 0.0, 5.0, 0.0]))
    features = torch.randn(1, 2, 8, 16, 16, requires_grad=True)
    graph, _ = nodes(features)
    assert (graph.mass == 0).any()
    (scale * (graph.x.sum() + graph.kernel.sum() + graph.box.sum())).backward()
    assert features.grad.isfinite().all()
    for name, parameter in nodes.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("size", "side"), [(10, 8), (11, 5), (20, 9), (21, 4), (50, 11), (51, 5)])
def test_strides_of_the_large_generator_follow_the_size(size, side):
    made = LargeGenerator(4, 3, 5, size)
    assert made.regions.in_features == 16 * side**2
    assert made(torch.rand(2, 4, size, size)).shape == (2, 3, 5)
