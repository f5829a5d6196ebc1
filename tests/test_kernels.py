from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.kernels import (
    Bilinear,
    Gaussian,
    LogLinear,
    area,
    boxcar,
    moment_box,
    normalise,
    pool,
    separable,
    spread,
    tent,
    window_box,
)
from stgraph.nodes.grid import grid_boxes, grid_cells
from stgraph.shares import Shares


def windows(count: int = 7, dtype: torch.dtype = torch.float64):
    centre = torch.rand(count, 2, dtype=dtype) * torch.tensor([8.0, 5.0])
    return centre, 1 + 3 * torch.rand(count, 2, dtype=dtype)


def test_tent_is_the_printed_formula():
    centre, size = windows()
    kernel = separable(tent, centre, size, 9, 6)
    for n in range(len(centre)):
        for p in range(9):
            for q in range(6):
                row = max(0.0, float(size[n, 0] - abs(centre[n, 0] - p)))
                column = max(0.0, float(size[n, 1] - abs(centre[n, 1] - q)))
                assert kernel[n, p, q].item() == pytest.approx(row * column)


@pytest.mark.parametrize("map_size", [(6, 6), (7, 5), (2, 3), (16, 9)])
@pytest.mark.parametrize("scales", [(1,), (3, 2, 1), (5, 4)])
def test_area_is_the_exact_average_of_an_enlarged_map(map_size, scales):
    height, width = map_size
    cells = grid_cells(scales)
    kernel, _ = normalise(area(grid_boxes(cells, torch.float64), height, width))
    features = torch.randn(3, height, width, dtype=torch.float64)
    got = pool(features, kernel)
    first = 0
    for side in scales:  # repeat every cell `side` times, then average whole blocks
        large = features.repeat_interleave(side, 1).repeat_interleave(side, 2)
        expected = large.unflatten(1, (side, height)).unflatten(3, (side, width)).mean((2, 4))
        mine = got[first : first + side * side].T.view(3, side, side)
        torch.testing.assert_close(mine, expected)
        first += side * side


def test_raw_area_kernels_of_a_scale_cover_every_cell_once():
    for side in (1, 2, 3, 4):
        box = grid_boxes(grid_cells((side,)), torch.float64)
        torch.testing.assert_close(area(box, 7, 10).sum(0), torch.ones(7, 10, dtype=torch.float64))


def test_normalised_kernels_sum_to_one_and_empty_ones_stay_zero():
    kernel = separable(tent, *windows(), 9, 6)
    kernel[2] = 0
    normed, mass = normalise(kernel)
    sums = normed.sum((-1, -2))
    expected = torch.ones(7, dtype=torch.float64)
    expected[2] = 0
    torch.testing.assert_close(sums, expected)
    torch.testing.assert_close(normed * mass[:, None, None], kernel)
    assert mass[2] == 0


def test_normalise_survives_half_precision():
    kernel = torch.full((2, 56, 56), 60.0, dtype=torch.float16)  # sums past what a half can hold
    kernel[1] = 0
    normed, _ = normalise(kernel)
    assert normed.isfinite().all()
    assert normed[0].sum().item() == pytest.approx(1, abs=1e-3)
    assert normed[1].eq(0).all()


def test_pool_and_spread_are_adjoint():
    kernel = torch.rand(4, 3, 5, 6, dtype=torch.float64)
    features = torch.randn(4, 8, 5, 6, dtype=torch.float64)
    nodes = torch.randn(4, 3, 8, dtype=torch.float64)
    left = (pool(features, kernel) * nodes).sum()
    right = (features * spread(nodes, kernel)).sum()
    torch.testing.assert_close(left, right)


def test_pooling_refuses_another_map():
    said = r"features: expected a map of \[5, 6\] cells, got \[5, 5\]"
    for maps in ((8,), (2, 8)):
        with pytest.raises(InputError, match=said):
            pool(torch.zeros(*maps, 5, 5), torch.zeros(3, 5, 6))
    with pytest.raises(InputError, match=r"expected a map of \[3, 4\] cells, got \[4, 3\]"):
        pool(torch.zeros(8, 4, 3), torch.zeros(2, 3, 4))


def test_kernels_are_differentiable():
    centre, size = windows(3)
    centre, size = centre.requires_grad_(), size.requires_grad_()

    def pooled(centre, size):
        return normalise(separable(tent, centre, size, 5, 4))[0]

    assert torch.autograd.gradcheck(pooled, (centre, size))
    box = torch.tensor([[0.13, 0.21, 0.77, 0.94]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda box: area(box, 5, 4), box)


def test_the_box_of_a_window_holds_its_support():
    centre, size = torch.tensor([[4.0, 2.0]]), torch.tensor([[2.0, 1.5]])
    x1, y1, x2, y2 = window_box(centre, size, 10, 5)[0].tolist()
    assert (y1, y2) == pytest.approx((0.25, 0.65))
    assert (x1, x2) == pytest.approx((0.2, 0.8))
    assert window_box(centre, size * 9, 10, 5)[0].tolist() == [0, 0, 1, 1]


PROFILES = [tent, boxcar, Gaussian(), Gaussian(2.2), LogLinear(), LogLinear(7.0), Bilinear()]


def name_of(profile: object) -> str:
    """Not the place in memory, by which two processes would not know the same test."""
    return getattr(profile, "__name__", str(profile))


def printed(profile, distance: float, size: float) -> float:
    """The profiles' printed formulas, one number at a time."""
    if profile == boxcar:
        return max(0.0, min(distance + 0.5, size) - max(distance - 0.5, -size))
    if isinstance(profile, Gaussian):
        return math.exp(-(distance**2) / (2 * (size / profile.sigmas) ** 2))
    if isinstance(profile, LogLinear):
        return math.log(1 + profile.tau * max(0.0, size - abs(distance)))
    return max(0.0, (1.0 if isinstance(profile, Bilinear) else size) - abs(distance))


@pytest.mark.parametrize("profile", PROFILES, ids=name_of)
def test_profiles_are_the_printed_formulas(profile):
    centre, size = windows(4)
    kernel = separable(profile, centre, size, 9, 6)
    for n, p, q in itertools.product(range(4), range(9), range(6)):
        row = printed(profile, p - float(centre[n, 0]), float(size[n, 0]))
        column = printed(profile, q - float(centre[n, 1]), float(size[n, 1]))
        assert kernel[n, p, q].item() == pytest.approx(row * column)


@pytest.mark.parametrize("profile", PROFILES, ids=name_of)
def test_profiles_are_differentiable(profile):
    centre, size = windows(3)

    def kernel(centre, size):
        return separable(profile, centre, size, 5, 4)

    assert torch.autograd.gradcheck(kernel, (centre.requires_grad_(), size.requires_grad_()))
    assert torch.autograd.gradcheck(lambda *window: normalise(kernel(*window))[0], (centre, size))


@pytest.mark.parametrize("profile", PROFILES, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_profiles_survive_half_precision(profile, dtype):
    centre, size = (value.to(dtype).requires_grad_() for value in windows())
    kernel, _ = normalise(separable(profile, centre, size, 40, 30))
    kernel.square().sum().backward()
    assert kernel.isfinite().all()
    assert centre.grad.isfinite().all()
    assert size.grad is None or size.grad.isfinite().all()


def test_a_box_profile_is_the_area_of_its_window():
    centre, size = windows(50)
    centre, size = 2 + centre, size.clamp_max(2.4)  # inside the map, where no clipping happens
    size[:10] = 0.3  # windows inside a cell
    box = window_box(centre, size, 14, 12)
    torch.testing.assert_close(separable(boxcar, centre, size, 14, 12), area(box, 14, 12))


def test_bilinear_pooling_samples_the_map():
    centre, size = windows()
    features = torch.randn(3, 9, 6, dtype=torch.float64)
    got = pool(features, separable(Bilinear(), centre, size, 9, 6))
    grid = 2 * centre.flip(-1) / torch.tensor([5.0, 8.0]) - 1
    expected = F.grid_sample(features[None], grid[None, None], align_corners=True)
    torch.testing.assert_close(got, expected[0, :, 0].T)


def test_moment_boxes_of_whole_cells_are_exact():
    corner = torch.tensor([[1, 2], [0, 0], [4, 3]])
    box = torch.cat([corner, corner + torch.tensor([[3, 1], [8, 6], [1, 2]])], dim=1).double()
    box = box / torch.tensor([8.0, 6.0, 8.0, 6.0])
    torch.testing.assert_close(moment_box(area(box, 6, 8)), box)


def test_moment_boxes_are_boxes_and_differentiable():
    kernel = torch.rand(4, 5, 3, dtype=torch.float64)
    kernel[1] = 0
    kernel[2, 1:] = 0
    box = moment_box(kernel)
    assert (box >= 0).all()
    assert (box <= 1).all()
    assert (box[:, :2] < box[:, 2:]).all()
    peak = torch.full((1, 7, 5), 0.1, dtype=torch.float64)
    peak[0, 3, 2] = 9  # a box inside the frame
    assert torch.autograd.gradcheck(moment_box, peak.requires_grad_())
    assert torch.autograd.gradcheck(moment_box, kernel[:1].clone().requires_grad_())


def test_bad_options_of_profiles_are_refused():
    with pytest.raises(InputError, match="sigmas: expected a number above 0"):
        Gaussian(0)
    with pytest.raises(InputError, match="tau: expected a number above 0"):
        LogLinear(-1.0)


EMPTY = {
    "one axis off the map": ([9.0, 4.0], [1.0, 1.0]),
    "both axes off the map": ([-9.0, 20.0], [1.0, 1.0]),
    "flat": ([4.0, 4.0], [0.0, 2.0]),
    "flat, at the border": ([0.0, 7.0], [2.0, 0.0]),
    "a point between cells": ([4.5, 4.5], [1e-3, 1e-3]),
    "hardly there": ([4.0, 4.0], [1e-15, 1e-15]),
    "of no number": ([4.0, 4.0], [1e-30, 1e-30]),
    "without size between cells": ([4.5, 4.5], [0.0, 0.0]),
}


@pytest.mark.parametrize("profile", [tent, boxcar, Gaussian(), LogLinear(7.0)], ids=name_of)
@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("scale", [1.0, 2.0**16])
def test_gradients_of_empty_kernels_are_numbers(name, profile, scale):
    """Beside a full kernel, whose gradients are what they are alone."""
    full = ([3.3, 4.2], [2.0, 1.5])
    x = torch.randn(2, 8, 8)
    x[0] = 1e3

    def gradients(*windows):
        centre = torch.tensor([window[0] for window in windows], requires_grad=True)
        size = torch.tensor([window[1] for window in windows], requires_grad=True)
        raw = separable(profile, centre, size, 8, 8)
        kernel, mass = normalise(raw)
        box = moment_box(raw)
        loss = (kernel * x[-len(windows) :]).sum() + box.sum() + mass.sum()
        (loss * scale).backward()
        return centre.grad, size.grad, mass.detach()

    centre, size, mass = gradients(EMPTY[name], full)
    assert centre.isfinite().all()
    assert size.isfinite().all()
    alone = gradients(full)
    torch.testing.assert_close((centre[1:], size[1:]), alone[:2])
    if "off the map" in name and not isinstance(profile, Gaussian):  # which is nowhere 0
        assert mass[0] == 0
        assert not centre[0].any()
        assert not size[0].any()


def test_an_empty_kernel_takes_no_gradient_and_a_faint_one_keeps_its_value():
    raw = torch.tensor([[[0.0, 0.0]], [[1e-30, 3e-30]], [[1e-10, 3e-10]]], requires_grad=True)
    kernel, _ = normalise(raw)
    torch.testing.assert_close(kernel.detach()[1:], torch.tensor([[[0.25, 0.75]]] * 2))
    assert not kernel[0].any()
    (kernel * torch.tensor([1.0, 2.0])).sum().backward()
    assert not raw.grad[:2].any()
    torch.testing.assert_close(raw.grad[2], torch.tensor([[-0.75, 0.25]]) / 4e-10)
    raw.grad = None
    normalise(raw)[1].sum().backward()
    assert raw.grad.eq(1).all()  # the mass itself is a sum


@pytest.mark.parametrize("empty", [False, True])
def test_normalising_has_the_gradients_of_its_plain_form(empty):
    kernel = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    if empty:
        kernel[0, 1] = 0
        kernel[1, 2] = 1e-300
    kernel.requires_grad_()
    runs = []
    for run in (Shares.of, Shares.plain):
        shares, mass = run(kernel)
        loss = (shares * torch.arange(5.0)).sum() + mass.square().sum()
        (grad,) = torch.autograd.grad(loss, kernel, retain_graph=True)
        (again,) = torch.autograd.grad(loss, kernel, create_graph=True)
        runs.append([shares, mass, grad, *torch.autograd.grad(again.square().sum(), kernel)])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
