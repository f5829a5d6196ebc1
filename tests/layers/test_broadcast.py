from __future__ import annotations

import torch
from torch import nn

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.edges import FullEdges
from stgraph.layers import Broadcast, Readout, SpaceLayer
from stgraph.nodes import GridNodes


def test_the_readout_stands_at_every_point():
    graph, _ = GridNodes(8, (2, 1), edges=FullEdges())(torch.randn(2, 3, 8, 5, 7))
    maps = Broadcast(Readout("max"))(graph.x, graph)
    assert maps.shape == (2, 3, 8, 5, 7)
    expected = Readout("max")(graph.x, graph)
    assert torch.equal(maps, expected[:, None, :, None, None].expand_as(maps))


def test_a_block_with_it_adds_a_normed_vector_to_the_pooled_features():
    net = SpaceTimeGraph(
        GridNodes(8, (2,), edges=FullEdges()), {"space": SpaceLayer(8)}, ("space",)
    )
    block = GraphBlock(net, remap=Broadcast()).double()
    nn.init.normal_(block.norm.weight)
    features = torch.randn(2, 3, 8, 5, 7, dtype=torch.float64)
    out = block(features)
    assert not block.causal
    pooled = out.features.mean((1, 3, 4)) - features.mean((1, 3, 4))
    vector = Readout()(out.x, out.graph)
    expected = nn.functional.layer_norm(vector, (8,)) * block.norm.weight + block.norm.bias
    torch.testing.assert_close(pooled, expected)
