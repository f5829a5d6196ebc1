from __future__ import annotations

import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GINEConv
from torch_geometric.utils import from_networkx, from_scipy_sparse_matrix

from stgraph.checks import InputError
from stgraph.edges import GridEdges, TemplateEdges
from stgraph.graph import Layout, frame_graphs, validate
from stgraph.layers import GraphConv


def networkx_graph(nodes, directed, seed):
    graph = nx.gnp_random_graph(nodes, 0.5, seed=seed, directed=directed)
    for number, (_, _, data) in enumerate(graph.edges(data=True)):
        data["strength"] = number + 0.5
    graph.add_edges_from([(0, 0, {"strength": 7.0})])
    return graph


@settings(deadline=None)
@given(
    nodes=st.integers(1, 6), directed=st.booleans(), absent=st.booleans(), seed=st.integers(0, 99)
)
def test_a_networkx_graph_stands_in_every_frame(make, pairs, listed, nodes, directed, absent, seed):
    template = networkx_graph(nodes, directed, seed)
    bare = make(2, 2, nodes, absent, seed)
    graph = validate(TemplateEdges.from_networkx(template, weight="strength")(bare))
    name = graph.node_id.tolist()
    edges = listed(graph.edge_index)
    assert edges == pairs(graph, lambda i, j: template.has_edge(name[j], name[i]))
    expected = [template.edges[name[j], name[i]]["strength"] for j, i in edges]
    assert graph.edge_attr.shape == (len(edges), 1)
    assert graph.edge_attr.dtype == graph.x.dtype
    assert graph.edge_attr.flatten().tolist() == expected
    plain = TemplateEdges.from_networkx(template)(bare)
    assert torch.equal(plain.edge_index, graph.edge_index)
    assert "edge_attr" not in plain


@settings(deadline=None)
@given(
    nodes=st.integers(1, 6),
    form=st.sampled_from(["coo", "csr", "csc", "lil", "dia"]),
    absent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_scipy_matrix_stands_in_every_frame(make, pairs, listed, nodes, form, absent, seed):
    matrix = scipy.sparse.random_array((nodes, nodes), density=0.5, rng=seed).asformat(form)
    matrix = matrix if seed % 2 else scipy.sparse.coo_matrix(matrix)
    dense = matrix.toarray()
    bare = make(2, 2, nodes, absent, seed)
    graph = validate(TemplateEdges.from_scipy(matrix.copy(), weighted=True)(bare))
    name = graph.node_id.tolist()
    edges = listed(graph.edge_index)
    if form != "dia":  # which stores zeros beside the diagonal's entries
        assert edges == pairs(graph, lambda i, j: dense[name[j], name[i]] != 0)
    assert graph.edge_attr.flatten().tolist() == [dense[name[j], name[i]] for j, i in edges]


def test_the_ends_are_those_of_pyg(make):
    template = networkx_graph(5, True, seed=3)
    graph = TemplateEdges.from_networkx(template, weight="strength")(make(nodes=5))[4]
    twin = from_networkx(template).sort(sort_by_row=False)
    assert torch.equal(graph.edge_index, twin.edge_index)
    torch.testing.assert_close(graph.edge_attr[:, 0], twin.strength, check_dtype=False)
    matrix = nx.to_scipy_sparse_array(template, weight="strength")
    graph = TemplateEdges.from_scipy(matrix, weighted=True)(make(nodes=5))[4]
    edge_index, weight = from_scipy_sparse_matrix(matrix)
    key = (edge_index[1] * 5 + edge_index[0]).argsort()
    assert torch.equal(graph.edge_index, edge_index[:, key])
    assert torch.equal(graph.edge_attr[:, 0], weight[key])


def test_stored_zeros_are_edges_and_entries_stored_twice_are_added(make):
    ends = (np.array([0, 0, 2]), np.array([1, 1, 0]))
    matrix = scipy.sparse.coo_array((np.array([1.0, 2.0, 0.0]), ends), shape=(3, 3))
    graph = TemplateEdges.from_scipy(matrix, weighted=True)(make(1, 1, 3))
    assert graph.edge_index.tolist() == [[2, 0], [0, 1]]
    assert graph.edge_attr.tolist() == [[0.0], [3.0]]
    assert matrix.nnz == 3  # the caller's is unchanged


def test_matrices_of_bool_and_int(make):
    for kind in (bool, np.int32, np.uint8):
        matrix = scipy.sparse.eye_array(5, dtype=kind)
        graph = TemplateEdges.from_scipy(matrix, weighted=True)(make())
        assert graph.edge_attr.eq(1).all()


def test_a_tensor_of_targets_by_sources(make, listed):
    adjacency = torch.zeros(5, 5, dtype=torch.bool)
    adjacency[3, 1] = True  # from 1 to 3
    weight = torch.full((5, 5), torch.nan)
    weight[3, 1] = 2.0
    graph = TemplateEdges(adjacency, weight)(make(1, 2))
    assert listed(graph.edge_index) == [(1, 3), (6, 8)]
    assert graph.edge_attr.tolist() == [[2.0], [2.0]]


@pytest.mark.parametrize("absent", [False, True])
def test_weights_reach_a_convolution(make, absent):
    template = networkx_graph(5, True, seed=0)
    builder = pickle.loads(pickle.dumps(TemplateEdges.from_networkx(template, "strength")))
    graph = builder(make(absent=absent))
    conv = GINEConv(torch.nn.Linear(6, 6), edge_dim=1).double()
    assert GraphConv(conv, 6, {"edge_attr": "edge_attr"})(graph.x, graph).isfinite().all()


def test_bad_networkx_graphs_are_refused(make):
    with pytest.raises(InputError, match="graph: expected a networkx Graph or DiGraph, got dict"):
        TemplateEdges.from_networkx({0: [1]})
    with pytest.raises(InputError, match="got MultiDiGraph"):
        TemplateEdges.from_networkx(nx.MultiDiGraph([(0, 1)]))
    with pytest.raises(InputError, match=r"graph: expected nodes labelled 0\.\.1, got 'a', 'b'"):
        TemplateEdges.from_networkx(nx.Graph([("a", "b")]))
    with pytest.raises(InputError, match=r"graph: expected nodes labelled 0\.\.1, got 2"):
        TemplateEdges.from_networkx(nx.Graph([(1, 2)]))
    with pytest.raises(InputError, match="adjacency: expected at least one node"):
        TemplateEdges.from_networkx(nx.Graph())
    for value, got in ((None, "None"), ("much", "'much'"), (float("inf"), "inf")):
        graph = nx.Graph()
        graph.add_edge(0, 1, strength=value)
        with pytest.raises(InputError, match=f"number `strength` on every edge, got {got} on edge"):
            TemplateEdges.from_networkx(graph, weight="strength")
    with pytest.raises(InputError, match=r"adjacency: expected \[5, 5\], got \[4, 4\]"):
        TemplateEdges.from_networkx(nx.path_graph(4))(make(nodes=5))


def test_bad_scipy_matrices_are_refused(make):
    eye = scipy.sparse.eye_array
    with pytest.raises(
        InputError, match=r"matrix: expected a scipy\.sparse matrix or array, got nd"
    ):
        TemplateEdges.from_scipy(np.eye(3))
    with pytest.raises(InputError, match=r"matrix: expected \[N, N\], got \[3, 4\]"):
        TemplateEdges.from_scipy(eye(3, 4))
    with pytest.raises(InputError, match="matrix: expected real numbers, got complex"):
        TemplateEdges.from_scipy(eye(3, dtype=complex))
    with pytest.raises(InputError, match="matrix: expected finite entries"):
        TemplateEdges.from_scipy(eye(3) * np.nan)
    with pytest.raises(InputError, match="weighted: expected True or False"):
        TemplateEdges.from_scipy(eye(3), weighted="yes")
    with pytest.raises(InputError, match=r"adjacency: expected \[5, 5\], got \[4, 4\]"):
        TemplateEdges.from_scipy(eye(4))(make(nodes=5))


def test_bad_tensors_are_refused():
    yes = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(InputError, match=r"adjacency: expected \[N, N\], got \[3, 4\]"):
        TemplateEdges(torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="adjacency: expected a tensor of bool"):
        TemplateEdges(torch.ones(3, 3))
    with pytest.raises(InputError, match=r"weight: expected \[3, 3\], got \[3\]"):
        TemplateEdges(yes, torch.ones(3))
    for wrong in (torch.full((3, 3), torch.nan), torch.ones(3, 3, dtype=torch.complex64)):
        with pytest.raises(InputError, match="weight: expected finite real numbers"):
            TemplateEdges(yes, wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GridEdges((2, 1)),
        lambda: TemplateEdges.from_networkx(nx.path_graph(5)),
        lambda: TemplateEdges.from_scipy(scipy.sparse.eye_array(5)),
    ],
    ids=["grid", "networkx", "scipy"],
)
def test_templates_have_values_in_models_that_have_none(make) -> None:
    """As a model is built on the meta device, to be filled from a file."""
    with torch.device("meta"):
        builder = make()
    graph = frame_graphs({"x": torch.zeros(1, 2, 5, 1)}, Layout(1, 2, 5, 4, 4))
    assert torch.equal(builder(graph).edge_index, make()(graph).edge_index)
