from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.edges import NearestEdges
from stgraph.edges.nearest import square_distance
from stgraph.graph import Layout, frame_graphs, validate


def nearest(graph, k, loops):
    """By loops: (source, target), sorted by target, then by source."""
    found = []
    for i in range(graph.num_nodes):
        others = [
            j
            for j in range(graph.num_nodes)
            if graph.batch[j] == graph.batch[i] and (j != i or loops)
        ]
        distance = {j: float((graph.pos[i] - graph.pos[j]).square().sum()) for j in others}
        chosen = sorted(others, key=lambda j: (j != i, distance[j], j))[:k]
        found += [(j, i) for j in sorted(chosen)]
    return found


@settings(deadline=None)
@given(
    nodes=st.integers(1, 7),
    k=st.integers(1, 9),
    loops=st.booleans(),
    absent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_edges_are_those_of_loops_over_nodes(make, listed, nodes, k, loops, absent, seed):
    graph = validate(NearestEdges(k, loops)(make(2, 2, nodes, absent, seed)))
    assert listed(graph.edge_index) == nearest(graph, k, loops)


def test_with_all_nodes_present_every_node_hears_k(make):
    assert NearestEdges(3)(make()).edge_index.shape == (2, 6 * 5 * 3)
    assert NearestEdges(9)(make()).edge_index.shape == (2, 6 * 5 * 4)
    assert NearestEdges(9, loops=True)(make()).edge_index.shape == (2, 6 * 5 * 5)
    assert NearestEdges()(make(nodes=1)).edge_index.shape == (2, 0)


def test_of_equal_distances_the_lower_identity_is_taken():
    pos = torch.zeros(1, 1, 5, 2)
    graph = frame_graphs({"x": pos, "pos": pos}, Layout(1, 1, 5, 2, 2))
    edges = NearestEdges(2)(graph).edge_index.view(2, 5, 2)
    assert edges[0].tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    edges = NearestEdges(2, loops=True)(graph).edge_index.view(2, 5, 2)
    assert edges[0].tolist() == [[0, 1], [0, 1], [0, 2], [0, 3], [0, 4]]


def test_renaming_the_nodes_renames_the_edges(make, permuted):
    permuted(NearestEdges(3), make)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_positions_of_any_type(make, dtype):
    graph = make()
    graph.pos = graph.pos.to(dtype)
    assert square_distance(graph.pos.float()).isfinite().all()
    assert validate(NearestEdges(2)(graph)).edge_index.size(1) == 60


def test_positions_that_are_no_numbers_make_no_loops(make):
    graph = make()
    graph.pos[3] = torch.nan
    graph.pos[4] = torch.inf
    assert not NearestEdges(4)(graph).has_self_loops()


def test_edges_have_no_gradient(make):
    graph = make()
    graph.pos.requires_grad_()
    assert not NearestEdges(2)(graph).edge_index.requires_grad


def test_bad_input_is_refused(make):
    for k in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="k: expected a whole number of at least 1"):
            NearestEdges(k)
    with pytest.raises(InputError, match="loops: expected True or False"):
        NearestEdges(loops="no")
    x = torch.zeros(1, 1, 3, 2)
    with pytest.raises(InputError, match=r"graph: expected a field `pos` \[V, 2\]"):
        NearestEdges()(frame_graphs({"x": x}, Layout(1, 1, 3, 2, 2)))
    wide = {"x": x, "pos": torch.zeros(1, 1, 3, 3)}
    with pytest.raises(InputError, match=r"pos: expected \[V, 2\], got \[3, 3\]"):
        NearestEdges()(frame_graphs(wide, Layout(1, 1, 3, 2, 2)))
    with pytest.raises(InputError, match="graph: expected a Batch of frame graphs"):
        NearestEdges()(make()[0])
