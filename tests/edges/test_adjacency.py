from __future__ import annotations

from copy import copy

import networkx as nx
import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch
from torch_geometric.nn import GATv2Conv, GCNConv, SAGEConv
from torch_geometric.utils import (
    from_scipy_sparse_matrix,
    to_scipy_sparse_matrix,
    to_torch_csr_tensor,
)
from torch_geometric.utils import to_networkx as pyg_networkx

from stgraph.checks import InputError
from stgraph.edges import (
    FullEdges,
    NearestEdges,
    TemplateEdges,
    edge_list,
    frames_to_networkx,
    sort_edges,
    to_csr,
    to_edge_index,
    to_networkx,
    to_scipy,
)
from stgraph.graph import attach_edges, layout_of, validate
from stgraph.layers import GraphConv, SpaceLayer


@pytest.fixture(params=[False, True], ids=["all", "some"])
def graph(request, make):
    return NearestEdges(2)(make(absent=request.param))


@pytest.fixture(params=[True, False], ids=["weights", "ones"])
def weight(request, graph):
    return torch.rand(graph.num_edges).double() if request.param else None


def shuffled(graph):
    """The same graph with its edges in another order inside the frames, and ``edge_attr``."""
    attr = torch.rand(graph.num_edges, 2)
    order = torch.randperm(graph.num_edges)
    owner = graph.batch[graph.edge_index[1, order]]
    order = order[owner.argsort(stable=True)]
    wired = attach_edges(graph, graph.edge_index, attr)
    return wired, attach_edges(graph, graph.edge_index[:, order], attr[order])


def gathered(graph):
    """The sum of what every node receives."""
    source, target = graph.edge_index
    return torch.zeros_like(graph.x).index_add(0, target, graph.x[source])


def test_edges_can_be_sorted_again(graph):
    wired, mixed = shuffled(graph)
    again = validate(sort_edges(mixed))
    assert torch.equal(again.edge_index, wired.edge_index)
    assert torch.equal(again.edge_attr, wired.edge_attr)


def test_edge_index_of_pyg(graph):
    edges = to_edge_index(graph)
    assert isinstance(edges, EdgeIndex)
    edges.validate()
    assert torch.equal(edges.as_tensor(), graph.edge_index)
    assert edges.sparse_size() == (graph.num_nodes, graph.num_nodes)
    assert edges.is_sorted_by_col
    assert edges._indptr is not None  # by target
    assert edges._T_indptr is not None  # by source
    _, mixed = shuffled(graph)
    assert torch.equal(to_edge_index(mixed).as_tensor(), graph.edge_index)
    received = edges.matmul(graph.x.float(), transpose=True)
    torch.testing.assert_close(received, gathered(graph).float())


def test_csr_is_that_of_pyg(graph, weight):
    size = (graph.num_nodes, graph.num_nodes)
    ours = to_csr(graph, weight)
    theirs = to_torch_csr_tensor(graph.edge_index, weight, size)
    assert ours.layout == torch.sparse_csr
    assert ours.dtype == graph.x.dtype
    assert torch.equal(ours.crow_indices(), theirs.crow_indices())
    assert torch.equal(ours.col_indices(), theirs.col_indices())
    assert torch.equal(ours.values(), theirs.values().double())
    torch.sparse_csr_tensor(  # says so if it is malformed
        ours.crow_indices(), ours.col_indices(), ours.values(), size, check_invariants=True
    )
    if weight is None:
        torch.testing.assert_close(ours.to_dense().T @ graph.x, gathered(graph))


def test_scipy_is_that_of_pyg_and_back(graph, weight):
    ours = to_scipy(graph, weight)
    theirs = to_scipy_sparse_matrix(graph.edge_index, weight, graph.num_nodes)
    assert ours.format == "csr"
    assert (ours.toarray() == theirs.toarray()).all()
    assert (ours.toarray() == to_csr(graph, weight).to_dense().numpy()).all()
    edge_index, values = from_scipy_sparse_matrix(ours)
    order = (edge_index[1] * graph.num_nodes + edge_index[0]).argsort()
    assert torch.equal(edge_index[:, order], graph.edge_index)
    torch.testing.assert_close(
        values[order], torch.ones(graph.num_edges).double() if weight is None else weight
    )


def test_networkx_is_that_of_pyg(graph, weight):
    ours = to_networkx(graph, weight)
    bare = attach_edges(graph, graph.edge_index)
    if weight is not None:
        bare.weight = weight
    theirs = pyg_networkx(bare, edge_attrs=None if weight is None else ["weight"])
    assert nx.utils.graphs_equal(
        nx.DiGraph(ours.edges(data=True)), nx.DiGraph(theirs.edges(data=True))
    )
    assert list(ours) == list(theirs) == list(range(graph.num_nodes))
    frames = nx.get_node_attributes(ours, "frame")
    assert [frames[row] for row in ours] == graph.batch.tolist()
    assert [data["node_id"] for _, data in ours.nodes(data=True)] == graph.node_id.tolist()
    assert [data["time"] for _, data in ours.nodes(data=True)] == graph.time.tolist()


def test_frames_as_networkx_are_those_of_pyg(graph, weight):
    parts = frames_to_networkx(graph, weight)
    assert len(parts) == 6
    for number, ours in enumerate(parts):
        theirs = pyg_networkx(graph[number], node_attrs=["node_id", "time"])
        assert list(ours) == list(theirs)
        assert set(ours.edges) == set(theirs.edges)
        for row, data in theirs.nodes(data=True):
            assert ours.nodes[row] == data | {"frame": number}
    if weight is not None:
        values = [value for one in parts for _, _, value in one.edges(data="weight")]
        assert sorted(values) == sorted(weight.tolist())


def test_a_template_comes_back(make):
    template = nx.gnp_random_graph(5, 0.5, seed=1, directed=True)
    graph = TemplateEdges.from_networkx(template)(make())
    for one in frames_to_networkx(graph):
        assert set(one.edges) == set(template.edges)
    again = TemplateEdges.from_scipy(to_scipy(graph[2]))(make())
    assert torch.equal(again.edge_index, graph.edge_index)


def test_a_single_frame_has_them_too(graph):
    one = graph[4]
    assert to_scipy(one).shape == (one.num_nodes, one.num_nodes)
    assert to_csr(one).to_dense().sum() == one.num_edges
    assert to_edge_index(one).sparse_size() == (one.num_nodes, one.num_nodes)
    assert len(frames_to_networkx(one)) == 1
    assert to_networkx(one).number_of_edges() == one.num_edges


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_any_type_and_their_gradient(graph, dtype):
    weight = torch.rand(graph.num_edges, 1, dtype=dtype, requires_grad=True)
    assert to_csr(graph, weight).dtype == dtype
    assert to_scipy(graph, weight).dtype == "float32"
    graph.x = graph.x.to(dtype)
    assert to_scipy(graph).sum() == graph.num_edges


def test_attention_as_weights(graph):
    alpha = SpaceLayer(6).double().attention(graph.x, graph).detach()
    total = to_csr(graph, alpha).to_dense().sum(0)
    hears = graph.edge_index[1].bincount(minlength=graph.num_nodes) > 0
    torch.testing.assert_close(total, hears.double())


# A user's own graph may carry PyG's EdgeIndex.


@pytest.fixture
def wired(graph):
    out = copy(graph)
    out.edge_index = to_edge_index(graph)  # as a user may
    return out


@pytest.mark.parametrize("path", ["dense", "sparse"])
def test_space_layers_take_an_edge_index_of_pyg(graph, wired, path):
    assert isinstance(wired.edge_index, EdgeIndex)
    validate(wired)
    space = SpaceLayer(6, path=path).double()
    torch.testing.assert_close(space(wired.x, wired), space(graph.x, graph))
    alpha = space.attention(graph.x, graph)
    torch.testing.assert_close(space.attention(wired.x, wired), alpha)


@pytest.mark.parametrize("conv", [GCNConv, GATv2Conv, SAGEConv], ids=lambda kind: kind.__name__)
def test_convolutions_take_an_edge_index_of_pyg(graph, wired, conv):
    layer = GraphConv(conv(6, 4), 4).double()
    x, other = (graph.x.clone().requires_grad_() for _ in range(2))
    out, expected = layer(x, wired), layer(other, graph)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_single_graphs_with_an_edge_index_of_pyg(graph):
    parts = graph.to_data_list()
    for one in parts:
        one.edge_index = to_edge_index(one)
    batch = validate(Batch.from_data_list(parts))
    assert layout_of(batch) == layout_of(graph)
    assert isinstance(batch.edge_index, EdgeIndex)
    assert torch.equal(edge_list(batch), graph.edge_index)
    for path in ("dense", "sparse"):
        space = SpaceLayer(6, path=path).double()
        torch.testing.assert_close(space(batch.x, batch), space(graph.x, graph))
        one = batch[4]
        torch.testing.assert_close(space(one.x, one), space(graph.x, graph)[graph.batch == 4])


def test_single_graphs_are_cut_out_of_an_edge_index_of_pyg(graph, wired):
    attached = attach_edges(graph, wired.edge_index)
    assert not isinstance(attached.edge_index, EdgeIndex)
    one = attached[4]
    assert torch.equal(edge_list(one), graph[4].edge_index)
    space = SpaceLayer(6, path="sparse").double()
    torch.testing.assert_close(space(one.x, one), space(graph.x, graph)[graph.batch == 4])


def test_new_edges_leave_no_features_of_old_ones(graph):
    old, _ = shuffled(graph)
    assert "edge_attr" not in FullEdges()(old)


def test_edges_of_an_edge_index_are_those_of_a_tensor(graph, wired):
    for form in (to_scipy, to_csr):
        ours, theirs = form(wired), form(graph)
        dense = [m.toarray() if form is to_scipy else m.to_dense().numpy() for m in (ours, theirs)]
        assert (dense[0] == dense[1]).all()
    assert to_networkx(wired).edges == to_networkx(graph).edges
    assert torch.equal(sort_edges(wired).edge_index, graph.edge_index)


def test_bad_input_is_refused(graph, make):
    for form in (sort_edges, to_edge_index, to_csr, to_scipy, to_networkx, frames_to_networkx):
        with pytest.raises(InputError, match="graph: expected edges"):
            form(make())
    for form in (to_csr, to_scipy, to_networkx, frames_to_networkx):
        for wrong in (torch.ones(3), [1.0], torch.ones(graph.num_edges, 2)):
            with pytest.raises(InputError, match="weight: expected"):
                form(graph, wrong)
    across = copy(graph)
    across.edge_index = torch.tensor([[0], [graph.num_nodes - 1]])
    with pytest.raises(InputError, match="edge_index: expected both ends of an edge in one frame"):
        frames_to_networkx(across)


def test_edges_of_a_users_builder_across_graphs_are_found(make):
    from stgraph.edges import EdgeBuilder

    class Wrong(EdgeBuilder):
        def edges(self, graph):
            good = FullEdges().edges(graph)
            return torch.stack([good[0].roll(1), good[1]])

    with pytest.raises(InputError, match="both ends of an edge in one frame, got edges across"):
        validate(Wrong()(make()))
