from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.nodes import ClassNodes


def test_a_node_lies_on_what_looks_most_like_its_class() -> None:
    """Two classes, each one feature; a bright cell of each."""
    nodes = ClassNodes(2, 2)
    nn.init.eye_(nodes.maps.weight[:, :, 0, 0].data)
    nn.init.zeros_(nodes.maps.bias)
    features = torch.zeros(1, 1, 2, 8, 8)
    features[0, 0, 0, 2, 5] = features[0, 0, 1, 6, 1] = 30
    graph, _ = nodes(features)
    expected = torch.tensor([[5.5, 2.5], [1.5, 6.5]]) / 8  # x, y of the cells' centres
    torch.testing.assert_close(graph.pos, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(graph.mass.log(), torch.tensor([30.0, 30.0]), atol=1e-4, rtol=0)


def test_its_features_are_pooled_named_and_told_how_sure() -> None:
    torch.manual_seed(0)
    nodes = ClassNodes(3, 4).double()
    nn.init.normal_(nodes.sure)
    features = torch.randn(2, 3, 3, 5, 6).double()
    graph, _ = nodes(features)
    pooled = torch.einsum("vhw,vchw->vc", graph.kernel, features.flatten(0, 1)[graph.batch])
    expected = pooled + nodes.name.weight[graph.node_id] + graph.mass.log()[:, None] * nodes.sure
    torch.testing.assert_close(graph.x, expected)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_scores_of_any_size_have_numbers_and_gradients(scale: float) -> None:
    nodes = ClassNodes(2, 3)
    features = (scale * torch.randn(1, 2, 2, 4, 4)).requires_grad_()
    graph, _ = nodes(features)
    assert graph.x.isfinite().all()
    graph.pos.sum().backward()
    assert features.grad.isfinite().all()
