from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
    CGConv,
    EdgeConv,
    GATv2Conv,
    GCNConv,
    GeneralConv,
    GINEConv,
    GPSConv,
    GraphNorm,
    ResGatedGraphConv,
    SGConv,
    TransformerConv,
)

from stgraph import SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import attach_edges
from stgraph.layers import GraphConv, PerNode, TimeLayer
from stgraph.nodes import GridNodes

CONVS = {
    "gcn": lambda: GCNConv(8, 6),
    "gatv2": lambda: GATv2Conv(8, 3, heads=2),
    "transformer": lambda: TransformerConv(8, 6),
    "edge": lambda: EdgeConv(nn.Linear(16, 6)),
}


@pytest.mark.parametrize("name", CONVS)
def test_any_pyg_convolution_is_a_space_layer(name, graph):
    conv = CONVS[name]().double()
    out = GraphConv(conv, 6)(graph.x, graph)
    torch.testing.assert_close(out, conv(graph.x, graph.edge_index))
    net = SpaceTimeGraph(
        GridNodes(8, (2,), FullEdges()),
        {"conv": GraphConv(CONVS[name](), 6), "time": TimeLayer(nn.GRU(6, 4))},
        ("conv", "time"),
    )
    assert net(torch.randn(1, 2, 8, 4, 4)).x.shape == (8, 4)


def test_edge_features_reach_the_convolution(graph):
    conv = GINEConv(nn.Linear(8, 6), edge_dim=2).double()
    edge_attr = torch.randn(graph.edge_index.size(1), 2).double()
    wired = attach_edges(graph, graph.edge_index, edge_attr)
    out = GraphConv(conv, 6, {"edge_attr": "edge_attr"})(graph.x, wired)
    torch.testing.assert_close(out, conv(graph.x, graph.edge_index, edge_attr))
    with pytest.raises(InputError, match="graph: expected `edge_attr`"):
        GraphConv(conv, 6, {"edge_attr": "edge_attr"})(graph.x, graph)


@pytest.mark.parametrize(
    "conv",
    [
        GATv2Conv(8, 3, heads=2, edge_dim=2),
        CGConv(8, dim=2),
        GeneralConv(8, 6, in_edge_channels=2),
        ResGatedGraphConv(8, 6, edge_dim=2),
        TransformerConv(8, 6, edge_dim=2),
    ],
    ids=lambda conv: type(conv).__name__,
)
def test_a_convolution_that_was_built_for_edge_features_needs_them(graph, conv):
    bare = attach_edges(graph, graph.edge_index)
    with pytest.raises(InputError, match="graph: expected `edge_attr`"):
        GraphConv(conv.double(), 6)(bare.x, bare)


def test_per_node_modules(graph):
    norm = nn.LayerNorm(8).double()
    torch.testing.assert_close(PerNode(norm)(graph.x, graph), norm(graph.x))
    net = SpaceTimeGraph(
        GridNodes(8, (2,)),
        {"mlp": PerNode(nn.Linear(8, 6), out_channels=6), "time": TimeLayer(nn.GRU(6, 5))},
        ("mlp", "time"),
    )
    assert net.out_channels == 5
    assert net(torch.randn(1, 2, 8, 4, 4)).x.shape == (8, 5)


def test_modules_that_ask_are_told_the_frames(graph):
    """A norm or convolution over "the graph" must not see another frame."""
    for layer in (
        PerNode(GraphNorm(8).double()),
        GraphConv(GPSConv(8, None, attn_kwargs={"dropout": 0.0}).double().eval(), 8),
    ):
        before = layer(graph.x, graph)
        changed = graph.x.clone()
        changed[graph.batch > 0] *= torch.rand_like(changed[graph.batch > 0])
        after = layer(changed, graph)
        first = graph.batch == 0
        torch.testing.assert_close(after[first], before[first])
        assert not torch.allclose(after[~first], before[~first])


def test_other_fields_by_the_names_of_the_convolution(graph):
    conv = GCNConv(8, 6).double()
    weight = torch.rand(graph.edge_index.size(1)).double()
    wired = attach_edges(graph, graph.edge_index, weight)
    out = GraphConv(conv, 6, {"edge_weight": "edge_attr"})(graph.x, wired)
    torch.testing.assert_close(out, conv(graph.x, graph.edge_index, weight))
    with pytest.raises(InputError, match=r"fields: expected arguments among .*got \['colour'\]"):
        GraphConv(conv, 6, {"colour": "edge_attr"})


def test_a_bare_convolution_is_refused():
    with pytest.raises(InputError, match=r"layers\['conv'\]: expected a convolution inside"):
        SpaceTimeGraph(GridNodes(8, (2,)), {"conv": GCNConv(8, 6)}, ("conv",))


@pytest.mark.parametrize(
    "conv",
    [GCNConv(8, 8, cached=True), GPSConv(8, GCNConv(8, 8, cached=True)), SGConv(8, 8, cached=True)],
    ids=lambda conv: type(conv).__name__,
)
def test_what_keeps_the_edges_of_its_first_call_is_refused(conv):
    with pytest.raises(InputError, match="conv: expected cached=False, since edges differ from"):
        GraphConv(conv, 8)
