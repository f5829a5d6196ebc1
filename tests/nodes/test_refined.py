"""Windows that follow, corrected by what is seen there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.kernels import Bilinear
from stgraph.nodes import Contrast, MeanShiftRegions, RefinedRegions
from stgraph.testing import check_extractor


def corrected(growth: float, reach: float, offset: list[float]) -> RefinedRegions:
    """Regions that are told these offsets, whatever they see."""
    made = RefinedRegions(4, growth=growth, reach=reach, alpha=(1.0, 1.0, 1.0, 1.0))
    nn.init.zeros_(made.offset.weight)
    with torch.no_grad():
        made.offset.bias.copy_(torch.tensor(offset))
    return made


@pytest.mark.parametrize(
    "options",
    [
        {"follow": MeanShiftRegions(4, 4, saliency=Contrast())},
        {"growth": 0.0, "alpha": (0.3, 0.2, 0.5, 0.4)},
        {"growth": 0.0, "profile": Bilinear(), "alpha": (0.3, 0.2, 0.5, 0.4)},
        {"reach": 0.0, "alpha": (0.3, 0.2, 0.5, 0.4)},
    ],
    ids=["of frames", "offsets", "read at the centre", "sizes"],
)
def test_with_any_parts_it_is_an_extractor(options):
    check_extractor(RefinedRegions(4, FullEdges(), **options))


def test_it_starts_as_the_windows_and_its_gates_learn():
    features = torch.rand(2, 3, 4, 12, 12)
    refined = RefinedRegions(4)
    graph, state = refined(features)
    plain, before = refined.follow(features)
    torch.testing.assert_close(graph.window, plain.window)
    torch.testing.assert_close(state.regions.centre, before.regions.centre)
    graph.x.square().sum().backward()
    assert refined.alpha.grad is not None
    assert bool(refined.alpha.grad.any())


def test_offsets_move_and_grow_the_window_by_the_equation():
    features = torch.rand(1, 2, 4, 12, 12)
    refined = corrected(0.7, 0.5, [0.2, -0.4, 0.3, -0.1])
    window = refined(features)[0].window
    plain = refined.follow(features)[0].window
    for axis, (o, d) in enumerate(((0.2, 0.3), (-0.4, -0.1))):
        factor = math.exp(0.7 * math.tanh(o / 0.7))
        torch.testing.assert_close(window[:, axis], plain[:, axis] * factor)
        moved = (plain[:, 2 + axis] + 0.5 * plain[:, axis] * math.tanh(d)).clamp(0, 11)
        torch.testing.assert_close(window[:, 2 + axis], moved)


@pytest.mark.parametrize("size", [(5, 12), (12, 5)])
def test_windows_reach_all_of_a_map_that_is_no_square(size):
    refined = corrected(0.0, 0.5, [0.0, 0.0, 90.0, 90.0])
    features = torch.zeros(1, 1, 4, *size)  # nothing draws the windows, so they stand on a grid
    window, plain = refined(features)[0].window, refined.follow(features)[0].window
    for axis, cells in enumerate(size):
        moved = (plain[:, 2 + axis] + 0.5 * plain[:, axis]).clamp(0, cells - 1)
        torch.testing.assert_close(window[:, 2 + axis], moved)
        assert window[:, 2 + axis].max() > 0.7 * (cells - 1)


def test_neither_sizes_nor_places_leave_their_bounds_and_what_is_not_learnt_stays():
    features = torch.rand(1, 2, 4, 12, 12)
    wild = [90.0, -90.0, 90.0, -90.0]
    sizes, places = corrected(0.5, 0.0, wild), corrected(0.0, 0.25, wild)
    plain = sizes.follow(features)[0].window
    window = sizes(features)[0].window
    torch.testing.assert_close(window[:, 2:], plain[:, 2:])
    torch.testing.assert_close(window[:, 0], plain[:, 0] * math.exp(0.5))
    torch.testing.assert_close(window[:, 1], plain[:, 1] * math.exp(-0.5))
    window = places(features)[0].window
    torch.testing.assert_close(window[:, :2], plain[:, :2])
    assert (window[:, 2:] - plain[:, 2:]).abs().max() <= 0.25 * 2 + 1e-5


def test_what_is_learnt_does_not_lead_the_windows_astray():
    features = torch.rand(1, 4, 4, 12, 12)
    refined = corrected(0.7, 0.5, [1.0, 1.0, 1.0, 1.0])
    whole, _ = refined(features)
    state, pieces = None, []
    for t in range(4):
        graph, state = refined(features[:, t : t + 1], state)
        pieces.append(graph.window)
    torch.testing.assert_close(torch.cat(pieces), whole.window)
    followed, _ = refined.follow(features)
    torch.testing.assert_close(state.regions.centre[0], followed.window.view(4, 9, 4)[-1, :, 2:])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"follow": MeanShiftRegions(3)}, "follow: expected windows of 4 channels, got 3"),
        ({"follow": MeanShiftRegions(4, edges=FullEdges())}, "follow: expected windows without"),
        ({"growth": -0.1}, "growth: expected a number of at least 0"),
        ({"reach": math.inf}, "reach: expected a number of at least 0"),
        ({"growth": 0.0, "reach": 0.0}, "growth, reach: expected one of them above 0"),
        ({"alpha": (0.0, 0.0)}, "alpha: expected 4 gates"),
    ],
    ids=str,
)
def test_what_is_refused(options, told):
    with pytest.raises(InputError, match=told):
        RefinedRegions(4, **options)
