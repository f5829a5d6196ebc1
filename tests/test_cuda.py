"""What must hold on a CUDA device: the same numbers, and no waiting for it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import stgraph.nodes
from stgraph import GraphBlock, SpaceTimeGraph, insert, recipes
from stgraph.backbones import TemporalShift, resnet18, shifted_places
from stgraph.edges import FullEdges, GridEdges
from stgraph.insertion import Inserted, Place
from stgraph.layers import KernelPosition, NodeNorm, SpaceLayer, TimeLayer
from stgraph.nodes import BoxNodes, DynamicRegions, GridNodes, NodeExtractor
from stgraph.testing import kinds

DEVICE = "cuda"

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@contextmanager
def no_waiting() -> Iterator[None]:
    """An error for what waits for the device."""
    if DEVICE == "cpu":
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says of itself that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


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
    for device in ("cpu", DEVICE):
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
    block = block.to(DEVICE)
    features = torch.randn(2, 4, 8, 12, 10, device=DEVICE)
    block(features)  # first calls allocate and choose algorithms
    with no_waiting():
        graph, _ = block.net.nodes(features)
        block(features)
    assert graph.num_graphs == 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_is_finite(block, dtype):
    block = block.to(DEVICE)
    features = torch.randn(2, 4, 8, 12, 10, device=DEVICE, requires_grad=True)
    with torch.autocast(DEVICE, dtype):
        out = block(features).features
    out.float().square().mean().backward()
    assert out.isfinite().all()
    assert features.grad.isfinite().all()


@pytest.fixture(params=kinds(stgraph.nodes, NodeExtractor), ids=lambda kind: kind.__name__)
def extractor(request) -> NodeExtractor:
    torch.manual_seed(0)
    extractor = request.param(8, edges=FullEdges())
    for parameter in extractor.parameters():
        if not parameter.any():
            nn.init.constant_(parameter, 0.3)  # a gate that is closed at the start
    return extractor


def test_extractors_give_the_graphs_of_the_cpu(extractor):
    features = torch.randn(2, 3, 8, 9, 7, dtype=torch.float64)
    hints = extractor.example_hints(features)
    graphs, grads = [], []
    for device in ("cpu", DEVICE):
        there = copy.deepcopy(extractor).double().to(device)
        x = features.clone().to(device).requires_grad_()
        graph, _ = there(x, **{name: hint.to(device) for name, hint in hints.items()})
        graph.validate()
        assert graph.x.device.type == device
        graph.x.square().sum().backward()
        graphs.append(
            {name: v.detach().cpu() for name, v in graph.to_dict().items() if name != "layout"}
        )
        grads.append(x.grad.cpu())
    torch.testing.assert_close(*graphs)
    torch.testing.assert_close(*grads)


def test_extractors_do_not_wait_for_the_device(extractor):
    extractor = extractor.to(DEVICE)
    features = torch.randn(2, 3, 8, 9, 7, device=DEVICE)
    hints = extractor.example_hints(features)
    if isinstance(extractor, BoxNodes):  # whoever is absent would have to be counted
        hints = {"boxes": hints["boxes"].cpu()}  # where loaders make them
    extractor(features, **hints)
    with no_waiting():
        extractor(features, **hints)


@pytest.fixture
def net() -> Inserted:
    """A TSM-ResNet with DyReG's graph in it, which streams."""

    def block(place: Place) -> GraphBlock:
        nodes = recipes.dyreg_regions(place.channels, 4, place.height)
        block = recipes.dyreg_block(nodes, place.channels, place.height, rounds=1)
        nn.init.ones_(block.norm.weight)
        return block

    torch.manual_seed(0)
    cnn = resnet18(5, stages=2)
    shift = {tuple(shifted_places(cnn)): TemporalShift(online=True)}
    return insert(cnn, {"layer2.0.conv2": block}, shift, input_size=(3, 64, 64)).eval()


def test_an_inserted_model_equals_the_cpu_whole_and_frame_by_frame(net):
    video = torch.rand(2, 3, 3, 64, 64, dtype=torch.float64)
    outputs, grads = [], []
    for device in ("cpu", DEVICE):
        there, clips = copy.deepcopy(net).double().to(device), video.to(device)
        with torch.no_grad():
            whole = there(clips).output
            state, pieces = None, []
            for frame in clips.split(1, dim=1):
                output, _, state = there(frame, state)
                pieces.append(output)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
        outputs.append(whole.cpu())
        there.train()(clips).output.square().sum().backward()
        grads.append({k: p.grad.cpu() for k, p in there.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*outputs)
    assert grads[0].keys() == grads[1].keys()
    torch.testing.assert_close(*grads, atol=1e-8, rtol=1e-6)


def test_an_inserted_model_does_not_wait_for_the_device(net):
    net = net.to(DEVICE)
    video = torch.rand(2, 3, 3, 64, 64, device=DEVICE)
    net(video)
    with no_waiting():
        net(video)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_inserted_model_in_mixed_precision_is_finite(net, dtype):
    net = net.to(DEVICE).train()
    with torch.autocast(DEVICE, dtype):
        out = net(torch.rand(2, 3, 3, 64, 64, device=DEVICE)).output
    out.float().square().mean().backward()
    assert out.isfinite().all()


def test_a_step_is_captured_once_and_replayed():
    """``reduce-overhead`` replays CUDA graphs, whose outputs the next replay writes over."""
    block = recipes.dyreg_block(recipes.dyreg_regions(8, 4, 8), 8, 8).to(DEVICE).eval()
    torch.nn.init.ones_(block.norm.weight)
    step, states = torch.compile(block, fullgraph=True, mode="reduce-overhead"), [None, None]
    with torch.no_grad():
        for frame in torch.randn(8, 1, 1, 8, 8, 8, device=DEVICE):
            torch.compiler.cudagraph_mark_step_begin()
            found, expected = step(frame, states[0]), block(frame, states[1])
            torch.testing.assert_close(found.features, expected.features, rtol=1e-3, atol=1e-3)
            kept = pytree.tree_map_only(torch.Tensor, torch.clone, found.state)
            states = [kept, expected.state]
