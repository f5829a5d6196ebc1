"""What must hold on a CUDA device: the same numbers, and no waiting for it."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.edges import FullEdges, GridEdges
from stgraph.layers import KernelPosition, NodeNorm, SpaceLayer, TimeLayer
from stgraph.nodes import DynamicRegions, GridNodes

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def blocks() -> dict[str, GraphBlock]:
    def net(nodes, path):
        layers = {
            "position": KernelPosition(8, 12, 10),
            "norm": NodeNorm(8),
            "time": TimeLayer(nn.GRU(8, 8)),
            "space": SpaceLayer(8, path=path),
        }
        block = GraphBlock(SpaceTimeGraph(nodes, layers, ("position", "norm", "time", "space")))
        nn.init.ones_(block.norm.weight)
        return block

    dynamic = {"edges": FullEdges(), "alpha": (0.3,) * 4}
    return {
        "dynamic, dense": net(DynamicRegions(8, **dynamic), "dense"),
        "dynamic, sparse": net(DynamicRegions(8, **dynamic), "sparse"),
        "grid, dense": net(GridNodes(8, (3, 2, 1), GridEdges()), "dense"),
        "grid, sparse": net(GridNodes(8, (3, 2, 1), GridEdges()), "sparse"),
    }


@pytest.fixture(params=blocks())
def block(request) -> GraphBlock:
    torch.manual_seed(0)
    return blocks()[request.param]


def test_cuda_equals_cpu(block):
    features = torch.randn(2, 4, 8, 12, 10, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        block = block.double().to(device)
        x = features.clone().to(device).requires_grad_()
        out = block(x).features
        block.zero_grad()
        out.square().sum().backward()
        grads = {name: p.grad.cpu() for name, p in block.named_parameters()}
        results.append((out.detach().cpu(), x.grad.cpu(), grads))
    (out, grad, grads), (other, other_grad, other_grads) = results
    torch.testing.assert_close(out, other)
    torch.testing.assert_close(grad, other_grad)
    for name in grads:
        torch.testing.assert_close(grads[name], other_grads[name], atol=1e-8, rtol=1e-6)


def test_nothing_waits_for_the_device(block):
    block = block.cuda()
    features = torch.randn(2, 4, 8, 12, 10, device="cuda")
    block(features)  # first calls allocate and choose algorithms
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says of itself that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        graph, _ = block.net.nodes(features)
        block(features)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert graph.num_graphs == 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_is_finite(block, dtype):
    block = block.cuda()
    features = torch.randn(2, 4, 8, 12, 10, device="cuda", requires_grad=True)
    with torch.autocast("cuda", dtype):
        out = block(features).features
    out.float().square().mean().backward()
    assert out.isfinite().all()
    assert features.grad.isfinite().all()
