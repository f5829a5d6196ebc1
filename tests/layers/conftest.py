from __future__ import annotations

import pytest
import torch

from stgraph.edges import FullEdges, GridEdges
from stgraph.graph import Layout, frame_graphs
from stgraph.nodes.grid import grid_boxes, grid_cells


def _graph(edges, mask: torch.Tensor | None = None):
    """Two clips of three frames with the 14 cells of RSTG's grids, in double precision."""
    nodes = 14
    box = grid_boxes(grid_cells((3, 2, 1)), torch.float64).expand(2, 3, -1, -1)
    fields = {
        "x": torch.randn(2, 3, nodes, 8, dtype=torch.float64),
        "kernel": torch.rand(2, 3, nodes, 5, 6, dtype=torch.float64),
        "mass": torch.rand(2, 3, nodes, dtype=torch.float64),
        "box": box,
    }
    return edges(frame_graphs(fields, Layout(2, 3, nodes, 5, 6), mask))


def _mask() -> torch.Tensor:
    mask = torch.rand(2, 3, 14) > 0.4
    mask[0, 1] = False  # a frame without nodes
    mask[:, :, 5] = False  # an identity that never appears
    return mask


@pytest.fixture
def make_graph():
    """``(edge builder, mask=None) → graph``, as :func:`_graph`."""
    return _graph


@pytest.fixture(params=["full", "full without loops", "grid", "some nodes", "some of the grid"])
def graph(request):
    return {
        "full": lambda: _graph(FullEdges()),
        "full without loops": lambda: _graph(FullEdges(loops=False)),
        "grid": lambda: _graph(GridEdges()),
        "some nodes": lambda: _graph(FullEdges(), _mask()),
        "some of the grid": lambda: _graph(GridEdges(), _mask()),
    }[request.param]()
