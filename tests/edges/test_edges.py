from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges, grid_adjacency
from stgraph.graph import Layout, frame_graphs, validate
from stgraph.nodes import GridNodes


def graph(nodes: int, mask: torch.Tensor | None = None):
    return frame_graphs({"x": torch.randn(2, 3, nodes, 4)}, Layout(2, 3, nodes, 8, 8), mask)


@pytest.mark.parametrize("loops", [True, False])
def test_full_edges(loops):
    out = validate(FullEdges(loops)(graph(5)))
    assert out.edge_index.size(1) == 6 * (25 if loops else 20)
    assert (out.edge_index[1].diff() >= 0).all()  # sorted by target
    assert out.has_self_loops() == loops


def test_full_edges_join_present_nodes_only():
    mask = torch.rand(2, 3, 5) > 0.5
    mask[1, 0] = False
    out = validate(FullEdges()(graph(5, mask)))
    counts = mask.sum(2).flatten()
    assert out.edge_index.size(1) == int(counts.square().sum())


def test_the_graph_that_came_is_unchanged():
    before = graph(5)
    FullEdges()(before)
    assert "edge_index" not in before


# RSTG: edge counts within and between scales, and degrees (row-major, scale by scale).
def test_rstg_counts_of_three_scales():
    adjacency = grid_adjacency((3, 2, 1))
    assert torch.equal(adjacency, adjacency.T)
    part = {3: slice(0, 9), 2: slice(9, 13), 1: slice(13, 14)}
    between = {(a, b): int(adjacency[part[a], part[b]].sum()) for a in part for b in part}
    assert (between[3, 3] // 2, between[3, 2], between[3, 1]) == (12, 16, 9)
    assert (between[2, 2] // 2, between[2, 1]) == (4, 4)
    degrees = [4, 6, 4, 6, 9, 6, 4, 6, 4, 7, 7, 7, 7, 13]
    assert adjacency.sum(1).tolist() == degrees


@pytest.mark.parametrize("side", [64, 224, 256])
def test_rstg_counts_do_not_depend_on_the_frame(side):
    assert int(grid_adjacency((3, 2, 1), side, side).sum()) == 2 * 45
    four = grid_adjacency((4, 3, 2, 1), side, side)
    assert int(four.sum()) == 2 * 153
    assert int(four[:16, :16].sum()) == 2 * 24
    assert [int(four[:16, s].sum()) for s in (slice(16, 25), slice(25, 29), slice(29, 30))] == [
        36,
        32,
        16,
    ]


def test_corner_contact_is_no_edge():
    adjacency = grid_adjacency((2,))
    assert not adjacency[0, 3]
    assert adjacency[0, 1]


def test_grid_edges_repeat_in_every_frame():
    out = validate(GridEdges((3, 2, 1))(graph(14)))
    assert out.edge_index.size(1) == 6 * 90
    one = out[4].edge_index
    dense = torch.zeros(14, 14, dtype=torch.bool)
    dense[one[1], one[0]] = True
    assert torch.equal(dense, grid_adjacency((3, 2, 1)))


def test_bad_scales_are_refused():
    with pytest.raises(InputError, match="scales: expected at least one"):
        GridEdges(())
    with pytest.raises(InputError, match="scales: expected a whole number"):
        GridEdges((3, 0))
    with pytest.raises(InputError, match="sides up to the frame's 4"):
        GridEdges((5,), frame=(4, 8))
    with pytest.raises(InputError, match=r"adjacency: expected \[5, 5\], got \[14, 14\]"):
        GridEdges((3, 2, 1))(graph(5))
    assert validate(GridEdges((2,), frame=(2, 8))(graph(4))).num_edges == 6 * 8  # as fine as it


@pytest.mark.parametrize(("frame", "edges"), [((64, 64), 528), ((256, 256), 490), ((48, 100), 534)])
def test_edges_of_a_grid_are_those_of_its_frame(frame, edges):
    scales = (7, 5)  # of which other cells touch where pixels are rounded otherwise
    graph, _ = GridNodes(2, scales, edges=GridEdges(scales, frame))(torch.rand(1, 1, 2, 8, 8))
    assert graph.num_edges == edges
    dense = torch.zeros(74, 74, dtype=torch.bool)
    dense[graph.edge_index[1], graph.edge_index[0]] = True
    assert torch.equal(dense, grid_adjacency(scales, *frame))
