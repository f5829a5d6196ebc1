"""What every edge builder promises.

A new one is found here by itself, built as ``Builder.example(N)``: ``Builder()``, unless it says
otherwise.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch

import stgraph.edges
from stgraph.edges import EdgeBuilder
from stgraph.graph import validate
from stgraph.nodes import GridNodes


def _builders() -> list[type[EdgeBuilder]]:
    found: set[type[EdgeBuilder]] = set()
    for module in pkgutil.iter_modules(stgraph.edges.__path__):
        for value in vars(importlib.import_module(f"stgraph.edges.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, EdgeBuilder):
                found.add(value)
    concrete = (kind for kind in found if not kind.__abstractmethods__)
    return sorted(concrete, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _builders(), ids=lambda kind: kind.__name__)
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
