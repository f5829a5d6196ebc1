from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import EdgeConv, GATv2Conv, GCNConv, GINEConv, TransformerConv

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
    out = GraphConv(conv, 6, edge_attr=True)(graph.x, wired)
    torch.testing.assert_close(out, conv(graph.x, graph.edge_index, edge_attr))
    with pytest.raises(InputError, match="graph: expected `edge_attr`"):
        GraphConv(conv, 6, edge_attr=True)(graph.x, graph)


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
