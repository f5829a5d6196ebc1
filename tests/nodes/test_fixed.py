from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.kernels import Bilinear, normalise, pool, separable, tent
from stgraph.nodes import (
    DynamicRegions,
    FixedRegions,
    FixedSizeWindows,
    SmallGenerator,
    Windows,
    centre_anchors,
    grid_anchors,
)


def test_they_have_no_parameters():
    assert not list(FixedRegions(8).parameters())
    assert not FixedRegions(8).state_dict()


@pytest.mark.parametrize("windows", [Windows(), Windows.paper(), FixedSizeWindows()], ids=str)
@pytest.mark.parametrize("anchors", [grid_anchors, centre_anchors])
def test_they_are_what_dynamic_regions_start_from(windows, anchors):
    features = torch.randn(2, 3, 8, 11, 14)
    fixed, _ = FixedRegions(8, windows=windows, anchors=anchors)(features)
    untrained = DynamicRegions(8, generator=SmallGenerator(8), windows=windows, anchors=anchors)
    moving, _ = untrained(features)
    for name in ("x", "kernel", "mass", "box", "window"):
        torch.testing.assert_close(fixed[name], moving[name])


def test_nodes_are_pooled_with_the_kernel_of_every_window():
    features = torch.randn(2, 3, 8, 12, 9)
    graph, _ = FixedRegions(8, 4)(features)
    window = graph.window[:4]
    kernel, _ = normalise(separable(tent, window[:, 2:], window[:, :2], 12, 9))
    torch.testing.assert_close(graph.x.view(2, 3, 4, 8), pool(features, kernel))


def test_bilinear_windows_read_the_cell_under_the_anchor():
    nodes = FixedRegions(8, 1, profile=Bilinear(), windows=FixedSizeWindows.of(1.0))
    features = torch.randn(1, 1, 8, 6, 10)
    graph, _ = nodes(features)
    torch.testing.assert_close(graph.x[0], features[0, 0, :, 3, 5])


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="nodes: expected a square number"):
        FixedRegions(8, 5)
    with pytest.raises(InputError, match="windows: expected FixedSizeWindows"):
        FixedRegions(8, profile=Bilinear())
    with pytest.raises(InputError, match=r"anchors: expected \[4, 2\]"):
        FixedRegions(8, 4, anchors=lambda nodes: torch.zeros(3, 2))


@pytest.mark.parametrize("rule", [FixedSizeWindows, FixedSizeWindows.of])
def test_centres_stay_on_the_map_where_that_is_said(rule):
    offset, anchor = torch.tensor([[0.0, 0.0, 99.0, -99.0]]), torch.tensor([[0.5, 0.5]])
    kept, _ = rule(3.0)(offset, anchor, 5, 9)
    assert kept.tolist() == [[4, 0]]
    free, size = rule(3.0, inside=False)(offset, anchor, 5, 9)
    assert free.tolist() == [[5, 0]]  # the rim is H
    torch.testing.assert_close(size, rule(3.0)(offset, anchor, 5, 9)[1])
