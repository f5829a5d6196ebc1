from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.edges import SimilarityEdges
from stgraph.graph import Layout, frame_graphs, validate


def similar(graph, k, metric, loops):
    """By loops: (source, target), sorted by target, then by source."""
    found = []
    for i in range(graph.num_nodes):
        others = [
            j
            for j in range(graph.num_nodes)
            if graph.batch[j] == graph.batch[i] and (j != i or loops)
        ]
        if metric == "dot":
            score = {j: float(graph.x[i] @ graph.x[j]) for j in others}
        else:
            score = {j: float(F.cosine_similarity(graph.x[i], graph.x[j], dim=0)) for j in others}
        chosen = sorted(others, key=lambda j: (j != i, -score[j]))[:k]
        found += [(j, i) for j in sorted(chosen)]
    return found


@settings(deadline=None)
@given(
    nodes=st.integers(1, 7),
    k=st.integers(1, 9),
    metric=st.sampled_from(["cosine", "dot"]),
    loops=st.booleans(),
    absent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_edges_are_those_of_loops_over_nodes(make, listed, nodes, k, metric, loops, absent, seed):
    graph = validate(SimilarityEdges(k, metric, loops)(make(2, 2, nodes, absent, seed)))
    assert listed(graph.edge_index) == similar(graph, k, metric, loops)


def test_with_all_nodes_present_every_node_hears_k(make):
    assert SimilarityEdges(3)(make()).edge_index.shape == (2, 6 * 5 * 3)
    assert SimilarityEdges(9)(make()).edge_index.shape == (2, 6 * 5 * 4)


def test_another_field_can_be_compared(make):
    graph = make()
    graph.kernel = torch.rand(graph.num_nodes, 4, 5).double()
    graph.flat = graph.kernel.flatten(1)
    by_map = SimilarityEdges(2, "dot", field="kernel")(graph).edge_index
    assert torch.equal(by_map, SimilarityEdges(2, "dot", field="flat")(graph).edge_index)
    assert not torch.equal(by_map, SimilarityEdges(2, "dot")(graph).edge_index)


def test_length_counts_for_dot_only(make):
    graph, longer = make(), make()
    longer.x = longer.x * torch.rand(longer.num_nodes, 1).add(0.5)
    cosine = SimilarityEdges(2)
    assert torch.equal(cosine(graph).edge_index, cosine(longer).edge_index)
    dot = SimilarityEdges(2, "dot")
    assert not torch.equal(dot(graph).edge_index, dot(longer).edge_index)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_nodes_of_zeros(metric, dtype):
    x = torch.randn(1, 2, 5, 8, dtype=dtype) * 300  # its dot products overflow a half
    x[0, 0, 1] = 0
    graph = frame_graphs({"x": x}, Layout(1, 2, 5, 2, 2))
    single = frame_graphs({"x": x.float()}, Layout(1, 2, 5, 2, 2))
    expected = SimilarityEdges(2, metric)(single).edge_index
    with torch.autocast("cpu", torch.bfloat16):
        found = validate(SimilarityEdges(2, metric)(graph)).edge_index
    assert torch.equal(found, expected)


def test_renaming_the_nodes_renames_the_edges(make, permuted):
    permuted(SimilarityEdges(3), make)


def test_bad_input_is_refused(make):
    with pytest.raises(InputError, match="k: expected a whole number of at least 1"):
        SimilarityEdges(0)
    with pytest.raises(InputError, match="metric: expected one of 'cosine', 'dot', got 'l2'"):
        SimilarityEdges(metric="l2")
    with pytest.raises(InputError, match="field: expected the name of a node field"):
        SimilarityEdges(field=3)
    with pytest.raises(InputError, match="graph: expected a field `flow`"):
        SimilarityEdges(field="flow")(make())
    with pytest.raises(InputError, match="graph: expected a field `node_id`"):
        SimilarityEdges(field="node_id")(make())
