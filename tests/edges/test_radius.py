from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.edges import FullEdges, RadiusEdges
from stgraph.graph import Layout, frame_graphs, validate


@settings(deadline=None)
@given(
    nodes=st.integers(1, 7),
    radius=st.floats(0.01, 2.0),
    loops=st.booleans(),
    absent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_edges_are_those_of_loops_over_nodes(
    make, pairs, listed, nodes, radius, loops, absent, seed
):
    graph = validate(RadiusEdges(radius, loops)(make(2, 2, nodes, absent, seed)))

    def joined(i, j):
        near = float((graph.pos[i] - graph.pos[j]).square().sum()) <= radius**2
        return (near and i != j) or (loops and i == j)

    assert listed(graph.edge_index) == pairs(graph, joined)


def test_nodes_just_a_radius_apart_are_joined():
    pos = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.5, 0.25]]).view(1, 1, 3, 2)
    graph = frame_graphs({"x": torch.zeros(1, 1, 3, 1), "pos": pos}, Layout(1, 1, 3, 1, 1))
    found = {tuple(edge) for edge in RadiusEdges(0.5)(graph).edge_index.T.tolist()}
    assert found == {(0, 1), (1, 0), (1, 2), (2, 1)}


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("loops", [False, True])
def test_a_radius_without_end_joins_all(make, listed, absent, loops):
    graph = make(absent=absent)
    full = FullEdges(loops)(graph).edge_index
    assert listed(RadiusEdges(math.inf, loops)(graph).edge_index) == listed(full)


def test_renaming_the_nodes_renames_the_edges(make, permuted):
    permuted(RadiusEdges(0.3), make)


def test_bad_input_is_refused():
    for radius in (0, -1.0, math.nan, "far"):
        with pytest.raises(InputError, match="radius: expected a number above 0"):
            RadiusEdges(radius)
