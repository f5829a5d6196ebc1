from __future__ import annotations

import torch
from torch.nn import functional as F

from stgraph.edges import FullEdges
from stgraph.graph import validate
from stgraph.kernels import pool
from stgraph.layers import DotAttention, Remap, SpaceLayer
from stgraph.nodes import PointNodes


def test_nodes_are_the_points_of_the_map():
    features = torch.randn(2, 3, 8, 4, 6)
    graph, _ = PointNodes(8)(features)
    validate(graph)
    x = features.permute(0, 1, 3, 4, 2).flatten(0, 3)
    assert torch.equal(graph.x, x)
    pooled = pool(features, graph.kernel.view(2, 3, 24, 4, 6))  # what the kernels themselves say
    assert torch.equal(pooled.flatten(0, 2), x)
    torch.testing.assert_close(graph.box[7], torch.tensor([1 / 6, 1 / 4, 2 / 6, 2 / 4]))


def test_the_remap_is_lossless():
    features = torch.randn(2, 3, 8, 4, 6)
    graph, _ = PointNodes(8)(features)
    for normalised in (True, False):
        assert torch.equal(Remap(normalised=normalised)(graph.x, graph), features)


def test_full_edges_over_points_attend_like_a_non_local_block():
    features = torch.randn(1, 2, 8, 3, 5, dtype=torch.float64)
    graph, _ = PointNodes(8, edges=FullEdges())(features)
    layer = SpaceLayer(8, gather=DotAttention(8)).double()
    alpha = layer.attention(graph.x, graph).view(2, 15, 15)
    query, key = layer.gather.ends(graph.x)
    score = query.view(2, 15, -1) @ key.view(2, 15, -1).transpose(1, 2)
    torch.testing.assert_close(alpha, F.softmax(score, dim=-1))
