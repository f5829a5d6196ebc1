from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.layers import Remap
from stgraph.nodes import GridNodes


def test_cells_are_averages_of_the_map():
    features = torch.randn(2, 3, 8, 12, 6)
    graph, _ = GridNodes(8, (3, 2, 1))(features)
    x = graph.x.view(6, 14, 8)
    maps = features.flatten(0, 1)
    expected = [F.adaptive_avg_pool2d(maps, side).flatten(2) for side in (3, 2, 1)]
    torch.testing.assert_close(x, torch.cat(expected, dim=2).transpose(1, 2))


def test_raw_remap_is_the_area_resize_of_every_scale():
    graph, _ = GridNodes(8, (3, 2, 1))(torch.randn(2, 3, 8, 12, 6))
    x = torch.randn(84, 5)
    maps = Remap(normalised=False)(x, graph).flatten(0, 1)
    nodes, first, expected = x.view(6, 14, 5).transpose(1, 2), 0, 0
    for side in (3, 2, 1):
        grid = nodes[:, :, first : first + side * side].unflatten(2, (side, side))
        expected = expected + F.interpolate(grid, (12, 6), mode="nearest-exact")
        first += side * side
    torch.testing.assert_close(maps, expected)


def test_bad_scales_are_refused():
    with pytest.raises(InputError, match="scales: expected at least one"):
        GridNodes(8, ())
    with pytest.raises(InputError, match="scales: expected a whole number"):
        GridNodes(8, (0,))
    with pytest.raises(InputError, match="edges: expected an edge builder"):
        GridNodes(8, edges="full")
