"""Sums are made in single precision at least: half precision costs one rounding, however long."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph import insert
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import FullEdges
from stgraph.graph import Layout, frame_graphs
from stgraph.layers import (
    AggregateReadout,
    AttentionTime,
    Broadcast,
    ClipMeanTime,
    MeanGather,
    MeanTime,
    Readout,
    Remap,
    ReplaceUpdate,
    SpaceLayer,
    SumSend,
    mean_over_time,
)
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import ConstantRegions, GridNodes

HALVES = [torch.bfloat16, torch.float16]
each_half = pytest.mark.parametrize("dtype", HALVES, ids=str)


def rounding(dtype: torch.dtype) -> float:
    """Half a step between neighbours, and what single precision adds to it."""
    return torch.finfo(dtype).eps / 2 * 1.001


def close(got: torch.Tensor, exact: torch.Tensor, dtype: torch.dtype, roundings: int = 1) -> None:
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), exact, rtol=roundings * rounding(dtype), atol=1e-6)


def clip(x: torch.Tensor):
    """Frame graphs of ``x [B, T, N, C]``, joined fully."""
    return FullEdges()(frame_graphs({"x": x}, Layout(*x.shape[:3], 2, 2)))


@each_half
@pytest.mark.parametrize("frames", [512, 4096])
def test_a_mean_of_a_stream_is_exact_to_one_rounding(dtype, frames):
    torch.manual_seed(0)
    x = (torch.randn(2, frames, 7) + 1).to(dtype)
    state, whole = None, mean_over_time(x)[0]
    for frame in x.split(1, dim=1):
        mean, state = mean_over_time(frame, state)
    assert state.total.dtype == torch.float32
    close(mean, x.double().mean(1), dtype)
    close(whole, x.double().mean(1), dtype)


@each_half
@pytest.mark.parametrize("nodes", ["sum", "mean", "max"])
def test_readouts_of_a_stream(dtype, nodes):
    torch.manual_seed(0)
    x = (torch.randn(1, 600, 9, 5) + 1).to(dtype)
    reduce = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[nodes]
    exact = reduce(x.double(), dim=2).mean(1)
    readout = Readout(nodes)
    close(readout(x.flatten(0, 2), clip(x)), exact, dtype)
    state = None
    for frame in x.split(1, dim=1):
        vector, state = readout.accumulate(frame.flatten(0, 2), clip(frame), state)
    close(vector, exact, dtype)
    last = Readout(nodes, "last")(x.flatten(0, 2), clip(x))
    close(last, reduce(x.double(), dim=2)[:, -1], dtype)
    assert Broadcast(readout)(x.flatten(0, 2), clip(x)).dtype == dtype


@pytest.mark.parametrize("layer", [MeanTime(), ClipMeanTime()], ids=["so far", "clip"])
@each_half
def test_means_of_nodes(layer, dtype):
    torch.manual_seed(0)
    x = (torch.randn(1, 3000, 2, 3) + 1).to(dtype)
    out, _ = layer(x.flatten(0, 2), clip(x))
    close(out.view(1, 3000, 2, 3)[:, -1], x.double().mean(1), dtype)


def test_large_values_do_not_overflow_in_their_mean():
    x = torch.full((1, 300, 40, 2), 3000.0, dtype=torch.float16)
    for readout in (Readout("mean"), AggregateReadout("mean"), Readout("max")):
        assert readout(x.flatten(0, 2), clip(x)).eq(3000).all()
    assert mean_over_time(x[:, :, 0])[0].eq(3000).all()
    assert MeanTime()(x.flatten(0, 2), clip(x))[0].eq(3000).all()
    assert ClipMeanTime()(x.flatten(0, 2), clip(x))[0].eq(3000).all()


@pytest.mark.slow
@each_half
def test_classifiers_of_a_stream(dtype):
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(16, 3))
    plain = CNNClassifier(insert(cnn, {}, input_size=(1, 2, 2)), 3)
    net = SpaceTimeGraph(GridNodes(4, (1,)), {"mean": MeanTime()}, ("mean",))
    graphs = GraphClassifier(nn.Conv2d(1, 4, 1), net, 3)
    for model in (plain.to(dtype), graphs.to(dtype)):
        video = torch.randn(1, 1, 1, 2, 2).to(dtype)
        with torch.no_grad():
            first = model(video)
            state = first.state
            for _ in range(600):
                answer = model(video, state)
                state = answer.state
        assert answer.logits.dtype == dtype
        # the same frame over and over: the mean is the frame
        torch.testing.assert_close(answer.logits, first.logits)


@each_half
@pytest.mark.parametrize("path", ["sparse", "dense"])
def test_a_mean_over_many_neighbours_in_both_paths(dtype, path):
    torch.manual_seed(0)
    send = SumSend(3, 1, None)
    layer = SpaceLayer(3, send, MeanGather(3), ReplaceUpdate(3, None), path).to(dtype)
    x = (torch.rand(1, 1, 400, 3) + 1).to(dtype)
    x[:] = x[:, :, :1]  # all alike, so their mean is any one of them
    graph = clip(x)
    out = layer(graph.x, graph)
    one = SpaceLayer(3, send, MeanGather(3), ReplaceUpdate(3, None), path).to(dtype)
    one.load_state_dict(layer.state_dict())
    alone = clip(x[:, :, :1])
    assert out.dtype == dtype
    step = 4 * torch.finfo(dtype).eps  # of 1/400, and of the products
    torch.testing.assert_close(out[:1], one(alone.x, alone), rtol=step, atol=step)


@pytest.mark.parametrize("path", ["sparse", "dense"])
@each_half
def test_weights_over_many_neighbours_sum_to_one(path, dtype):
    layer = SpaceLayer(3, path=path).to(dtype)
    x = torch.zeros(1, 1, 500, 3, dtype=dtype)
    graph = clip(x)
    weight = layer.attention(graph.x, graph).double().view(500, 500)
    assert (weight.sum(1) - 1).abs().max() < torch.finfo(dtype).eps


def test_attention_along_time_of_large_features():
    torch.manual_seed(0)
    layer = AttentionTime(8, 3)
    nn.init.normal_(layer.in_proj.weight)  # products past 65504
    x = torch.randn(1, 5, 4, 8).mul(100).half()
    out, _ = layer.half()(x.flatten(0, 2), clip(x))
    assert out.isfinite().all()


@each_half
def test_raw_kernels_write_back_what_single_precision_does(dtype):
    """Masses of large maps times features are beyond a half, raw kernels times features are not."""
    features = torch.full((1, 1, 2, 60, 60), 40.0)
    graph, _ = GridNodes(2, (1,))(features.to(dtype))
    maps = Remap(normalised=False)(graph.x, graph)
    assert maps.dtype == dtype
    torch.testing.assert_close(maps.float(), features, rtol=2e-2, atol=0)


@each_half
def test_constant_regions_of_long_clips(dtype):
    torch.manual_seed(0)
    nodes = ConstantRegions(4, 2, alpha=(0.0, 0.0, 1.0, 1.0)).eval()
    frame = torch.randn(1, 1, 4, 16, 16) * 10
    nodes = nodes.to(dtype)
    short, _ = nodes(frame.to(dtype))
    long, _ = nodes(frame.to(dtype).expand(-1, 3000, -1, -1, -1))
    torch.testing.assert_close(long.window[:2], short.window)
