"""Where torch-scatter is installed, what reaches it, and that it changes no number.

Elsewhere the same layers run without it: ``make test`` does both.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GATConv, GATv2Conv, GENConv, TransformerConv
from torch_geometric.typing import WITH_TORCH_SCATTER

from stgraph.edges import GridEdges, to_edge_index
from stgraph.layers import GraphConv, SpaceLayer
from stgraph.nodes import GridNodes

SORTED: dict[str, Callable[[], nn.Module]] = {
    "GATConv": lambda: GATConv(8, 6, add_self_loops=False),
    "GATv2Conv": lambda: GATv2Conv(8, 6, add_self_loops=False),
    "GENConv": lambda: GENConv(8, 6, aggr="softmax"),
    "TransformerConv": lambda: TransformerConv(8, 6),
}
"""Convolutions that look at each target's stretch of edges, where those are sorted."""


@pytest.fixture
def graph() -> Batch:
    return GridNodes(8, edges=GridEdges())(torch.randn(2, 3, 8, 6, 7, dtype=torch.float64))[0]


def results(layer: nn.Module, graph: Batch) -> tuple[torch.Tensor, ...]:
    """Outputs and all gradients."""
    x = graph.x.detach().clone().requires_grad_()
    out = layer(x, graph)
    return (out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()]))


def test_it_is_there_exactly_when_the_run_says_so() -> None:
    expected = os.environ.get("STGRAPH_EXPECT_SCATTER")
    if expected is None:
        pytest.skip("STGRAPH_EXPECT_SCATTER is not set")
    assert (importlib.util.find_spec("torch_scatter") is not None) == (expected == "1")
    assert (expected == "1") == WITH_TORCH_SCATTER


@pytest.mark.parametrize("benchmark", ["scatter"], indirect=True)
@pytest.mark.parametrize("make", SORTED.values(), ids=SORTED)
def test_convolutions_of_sorted_edges_reach_it(
    make: Callable[[], nn.Module], graph: Batch, benchmark: Any
) -> None:
    layer, wired = GraphConv(make(), 6).double(), copy(graph)
    wired.edge_index = to_edge_index(graph)
    torch.testing.assert_close(results(layer, wired), results(layer, graph))
    assert (benchmark.entered(lambda: results(layer, wired)) > 0) == WITH_TORCH_SCATTER
    assert benchmark.entered(lambda: results(layer, graph)) == 0


@pytest.mark.parametrize("benchmark", ["scatter"], indirect=True)
@pytest.mark.parametrize("path", ["dense", "sparse"])
def test_space_layers_do_not_reach_it(path: str, graph: Batch, benchmark: Any) -> None:
    layer, wired = SpaceLayer(8, path=path).double(), copy(graph)
    wired.edge_index = to_edge_index(graph)
    torch.testing.assert_close(results(layer, wired), results(layer, graph))
    assert benchmark.entered(lambda: results(layer, wired)) == 0
