"""What every edge builder promises.

A new one is found here by itself, built as ``Builder.example(N)``: ``Builder()``, unless it says
otherwise.
"""

from __future__ import annotations

import pytest
import torch

import stgraph.edges
from stgraph.edges import EdgeBuilder
from stgraph.graph import validate
from stgraph.nodes import GridNodes
from stgraph.testing import kinds


@pytest.mark.parametrize("kind", kinds(stgraph.edges, EdgeBuilder), ids=lambda kind: kind.__name__)
def test_edges_are_valid_within_frames_and_sorted_by_target(kind):
    bare, _ = GridNodes(4, (3, 2, 1))(torch.randn(2, 3, 4, 6, 6))
    builder = kind.example(14)
    graph = validate(builder(bare))
    assert "edge_index" not in bare
    assert graph.edge_index.size(1) > 0
    assert (graph.edge_index[1].diff() >= 0).all()
    for number in (0, 5):
        assert graph[number].edge_index.max() < graph[number].num_nodes
    again = builder(bare)
    assert torch.equal(again.edge_index, graph.edge_index)
    assert repr(builder).startswith(kind.__name__)
