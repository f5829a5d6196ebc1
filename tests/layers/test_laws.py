"""Laws of every space and time layer, on graphs of any size with any edges and absences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stgraph.edges import EdgeBuilder, template_edges
from stgraph.graph import Layout, frame_graphs, to_dense
from stgraph.layers import (
    AdditiveAttention,
    AggregateReadout,
    AttentionTime,
    BoxPosition,
    ClipMeanTime,
    ConcatSend,
    DotAttention,
    FrameNorm,
    GaussianMaps,
    HomogeneousLayer,
    KernelEmbedding,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MeanGather,
    MeanTime,
    MLPUpdate,
    NodeNorm,
    PerNode,
    RawDotAttention,
    Readout,
    Remap,
    SpaceLayer,
    SumGather,
    SumSend,
    SumUpdate,
    TemporalLayer,
    TimeLayer,
)

SPACE = {
    "dot": lambda: SpaceLayer(4),
    "heads": lambda: SpaceLayer(4, ConcatSend(4), DotAttention(4, heads=2, scale=0.7)),
    "additive": lambda: SpaceLayer(4, SumSend(4, 2), AdditiveAttention(4, norm=FrameNorm)),
    "raw": lambda: SpaceLayer(4, gather=RawDotAttention(4), update=SumUpdate(4, layers=2)),
    "sum": lambda: SpaceLayer(4, gather=SumGather(4), update=MLPUpdate(4)),
    "mean": lambda: SpaceLayer(4, ConcatSend(4, position=GaussianMaps(4)), MeanGather(4)),
    "boxes": lambda: SpaceLayer(
        4, ConcatSend(4, norm=None, position=BoxPosition("centre"), position_of="sender")
    ),
    "kernels": lambda: SpaceLayer(4, ConcatSend(4, position=KernelEmbedding(2, 3, 2))),
}
LEAKING = {
    "leaking dot": lambda: SpaceLayer(4, gather=LeakingDotAttention(4, heads=2)),
    "leaking additive": lambda: SpaceLayer(4, gather=LeakingAdditiveAttention(4)),
}
OTHER = {"norm": lambda: NodeNorm(4), "per node": lambda: PerNode(nn.Linear(4, 4))}
CAUSAL = {
    "gru": lambda: TimeLayer(nn.GRU(4, 3)),
    "lstm": lambda: TimeLayer(nn.LSTM(4, 3), forget_after=1),
    "running mean": MeanTime,
    "attention": lambda: AttentionTime(4, window=2, heads=2),
    "homogeneous": lambda: HomogeneousLayer(SpaceLayer(4, ConcatSend(4, position=BoxPosition()))),
    "homogeneous, leaking": lambda: HomogeneousLayer(LEAKING["leaking additive"]()),
}
TIME = CAUSAL | {"clip mean": ClipMeanTime}
READOUTS = {
    "sum": lambda: Readout("sum"),
    "max": lambda: Readout("max", "last"),
    "softmax": lambda: AggregateReadout("softmax"),
    "std": lambda: AggregateReadout("std", "last"),
    "map": Remap,
}

few = settings(max_examples=12, deadline=None)


class Template(EdgeBuilder):
    def __init__(self, adjacency: torch.Tensor) -> None:
        self.adjacency = adjacency

    def edges(self, graph):
        return template_edges(self.adjacency, graph)


class Scene:
    """Frames of random sizes, with random edges and absent nodes."""

    def __init__(self, clips, frames, nodes, edges, present, seed) -> None:
        generator = torch.Generator().manual_seed(seed)

        def rand(*sizes):
            return torch.rand(*sizes, generator=generator, dtype=torch.float64)

        self.sizes = (clips, frames, nodes)
        self.fields = {
            "x": rand(*self.sizes, 4) * 4 - 2,
            "box": rand(*self.sizes, 4).sort(-1).values,
            "kernel": rand(*self.sizes, 3, 2),
            "mass": rand(*self.sizes),
        }
        self.adjacency = rand(nodes, nodes) < edges
        self.mask = None if present == 1 else rand(*self.sizes) < present
        self.order = torch.randperm(nodes, generator=generator)

    def graph(self, clips=slice(None), frames=slice(None), order=None, fields=None):
        order = torch.arange(self.sizes[2]) if order is None else order

        def cut(value):
            return value[clips, frames][:, :, order]

        chosen = {name: cut(value) for name, value in (fields or self.fields).items()}
        mask = None if self.mask is None else cut(self.mask)
        layout = Layout(*chosen["x"].shape[:3], 3, 2)
        graph = frame_graphs(chosen, layout, mask)
        return Template(self.adjacency[order][:, order])(graph)


scenes = st.builds(
    Scene,
    clips=st.integers(1, 3),
    frames=st.integers(1, 4),
    nodes=st.integers(1, 6),
    edges=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    present=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 10_000),
)


def made(factory):
    torch.manual_seed(1)
    layer = factory().double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def run(layer, graph) -> torch.Tensor:
    out = layer(graph.x, graph)
    return out[0] if isinstance(layer, TemporalLayer) else out


LAYERS = SPACE | LEAKING | OTHER | TIME


@pytest.mark.parametrize("name", LAYERS)
@few
@given(scene=scenes)
def test_renaming_the_nodes_renames_the_result(name, scene):
    layer = made(LAYERS[name])
    first, second = scene.graph(), scene.graph(order=scene.order)
    out = to_dense(run(layer, first), first)[:, :, scene.order]
    torch.testing.assert_close(to_dense(run(layer, second), second), out)


@pytest.mark.parametrize("name", LAYERS)
@few
@given(scene=scenes)
def test_a_clip_alone_is_the_clip_in_a_batch(name, scene):
    layer, whole = made(LAYERS[name]), scene.graph()
    out = to_dense(run(layer, whole), whole)
    for clip in range(scene.sizes[0]):
        alone = scene.graph(clips=slice(clip, clip + 1))
        one = to_dense(run(layer, alone), alone)
        torch.testing.assert_close(one, out[clip : clip + 1])


@pytest.mark.parametrize("name", SPACE)
@few
@given(scene=scenes)
def test_dense_equals_sparse(name, scene):
    layer, graph, results = made(SPACE[name]), scene.graph(), []
    for path in ("dense", "sparse"):
        layer.path = path
        x = graph.x.clone().requires_grad_()
        out = layer(x, graph)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        # A parameter that no edge reaches has no gradient on one path, and 0 on the other.
        needed = [x, *layer.parameters()]
        grads = torch.autograd.grad((out * weight).sum(), needed, materialize_grads=True)
        results.append((out, *grads))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("name", CAUSAL)
@few
@given(scene=scenes)
def test_streaming_equals_offline(name, scene):
    layer, whole = made(CAUSAL[name]), scene.graph()
    expected = to_dense(run(layer, whole), whole)
    state, pieces = None, []
    for t in range(scene.sizes[1]):
        graph = scene.graph(frames=slice(t, t + 1))
        x, state = layer(graph.x, graph, state)
        pieces.append(to_dense(x, graph))
    torch.testing.assert_close(torch.cat(pieces, 1), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", READOUTS)
@few
@given(scene=scenes)
def test_readouts_do_not_see_names_or_other_clips(name, scene):
    readout, graph = made(READOUTS[name]), scene.graph()
    out = readout(graph.x, graph)
    assert out.isfinite().all()
    renamed = scene.graph(order=scene.order)
    torch.testing.assert_close(readout(renamed.x, renamed), out)
    first = scene.graph(clips=slice(0, 1))
    torch.testing.assert_close(readout(first.x, first), out[:1])


@pytest.mark.parametrize("name", LAYERS)
@few
@given(scene=scenes)
def test_gradients_are_finite_however_few_nodes_there_are(name, scene):
    layer, graph = made(LAYERS[name]), scene.graph()
    x = graph.x.clone().requires_grad_()
    graph.x = x
    out = run(layer, graph)
    assert out.isfinite().all()
    (grad,) = torch.autograd.grad(out.sum(), [x], materialize_grads=True)
    assert grad.isfinite().all()
