"""Every layer keeps its promises, and a new one is found here by itself.

Classes in the modules of :mod:`stgraph.layers` are taken for what their ``forward`` says:

- ``(x, graph)``: a layer inside frames, or one of ``READOUTS``, which return no row a node;
- ``(x, graph, state)``: a :class:`TemporalLayer`;
- ``(graph)``: positions of nodes, tried inside the messages of a space layer;
- subclasses of ``Send``, ``Gather`` and ``Update``: tried as parts of a space layer.

A class is built as ``Layer.example()`` where it has such a class method, as ``Layer(8)`` where
``channels`` is all that it needs, and as ``Layer()`` where it needs nothing. Those that need more
have makers in ``MAKERS``; what is none of these kinds stands in ``NO_LAYERS``.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import EdgeConv, GATv2Conv

import stgraph.layers
from stgraph.checks import InputError
from stgraph.edges import EdgeBuilder, template_edges
from stgraph.graph import Layout, frame_graphs, to_dense
from stgraph.layers import (
    AdditiveAttention,
    AggregateReadout,
    AttentionTime,
    BoxPosition,
    Broadcast,
    ClipMapNorm,
    ConcatSend,
    DotAttention,
    FrameMapNorm,
    FrameNorm,
    Gather,
    GraphConv,
    HomogeneousLayer,
    KernelEmbedding,
    KernelPosition,
    LeakingDotAttention,
    MapNorm,
    PerNode,
    RawDotAttention,
    Readout,
    Remap,
    RowNorm,
    Scaled,
    Send,
    SpaceLayer,
    SumSend,
    TemporalLayer,
    TimeLayer,
    Update,
)

C, H, W = 8, 3, 2

MAKERS: dict[type[nn.Module], list[Callable[[], nn.Module]]] = {
    AggregateReadout: [lambda: AggregateReadout("softmax"), lambda: AggregateReadout("std")],
    AttentionTime: [lambda: AttentionTime(C, 3, 2), lambda: AttentionTime(C, 1)],
    GraphConv: [
        lambda: GraphConv(GATv2Conv(C, 3, heads=2), 6),
        lambda: GraphConv(EdgeConv(nn.Linear(2 * C, C), aggr="mean"), C),
    ],
    HomogeneousLayer: [
        lambda: HomogeneousLayer(SpaceLayer(C)),
        lambda: HomogeneousLayer(SpaceLayer(C, ConcatSend(C, position=BoxPosition()))),
    ],
    KernelEmbedding: [lambda: KernelEmbedding(5, H, W), lambda: KernelEmbedding(5, 2, 2, 30.0)],
    KernelPosition: [lambda: KernelPosition(C, H, W)],
    PerNode: [lambda: PerNode(nn.Linear(C, 5), 5), lambda: PerNode(nn.LayerNorm(C))],
    TimeLayer: [
        lambda: TimeLayer(nn.GRU(C, 5)),
        lambda: TimeLayer(nn.LSTM(C, C, 2, batch_first=True)),
        lambda: TimeLayer(nn.GRU(C, C), forget_after=1),
    ],
}
# Beside what a class is when it is built by the rule.
MORE: dict[type[nn.Module], list[Callable[[], nn.Module]]] = {
    AdditiveAttention: [
        lambda: AdditiveAttention(C, 2, FrameNorm),
        lambda: AdditiveAttention(C, 2, value=nn.Linear),
    ],
    BoxPosition: [lambda: BoxPosition("centre")],
    ConcatSend: [
        lambda: ConcatSend(C, 1, None),
        lambda: ConcatSend(C, position=BoxPosition(), position_of="sender"),
    ],
    DotAttention: [
        lambda: DotAttention(C, 4, 0.5, FrameNorm),
        lambda: DotAttention(C, 4, value=nn.Linear),
    ],
    LeakingDotAttention: [lambda: LeakingDotAttention(C, 2, value=nn.Linear)],
    Readout: [lambda: Readout("max", "last"), lambda: Readout("mean")],
    Remap: [lambda: Remap(normalised=False)],
    SpaceLayer: [lambda: SpaceLayer(C, path="dense"), lambda: SpaceLayer(C, path="sparse")],
    SumSend: [lambda: SumSend(C, 2)],
}
READOUTS = (Broadcast, Readout, Remap)
NO_LAYERS = {ClipMapNorm, FrameMapNorm, FrameNorm, Gather, MapNorm, RowNorm, Scaled, Send, Update}
"""Norms of rows that layers have inside, norms of maps, and what parts subclass."""


def classes() -> list[type[nn.Module]]:
    """Every concrete module class of the folder, that stands in the file it is found in."""
    found: set[type[nn.Module]] = set()
    for entry in pkgutil.iter_modules(stgraph.layers.__path__):
        module = importlib.import_module(f"stgraph.layers.{entry.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, nn.Module):
                here = value.__module__ == module.__name__ and not value.__name__.startswith("_")
                if here and not inspect.isabstract(value):
                    found.add(value)
    return sorted(found, key=lambda kind: kind.__name__)


def by_rule(kind: type[nn.Module]) -> Callable[[], nn.Module] | None:
    """How the module's docstring says that a class is built."""
    if hasattr(kind, "example"):
        return kind.example
    arguments = inspect.signature(kind).parameters.values()
    positional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [a.name for a in arguments if a.default is a.empty and a.kind not in positional]
    return {(): kind, ("channels",): lambda: kind(C)}.get(tuple(needed))


def makers(kind: type[nn.Module]) -> list[Callable[[], nn.Module]]:
    """Layers of a class, or with it inside."""
    if kind in MAKERS:
        parts = MAKERS[kind]
    elif (first := by_rule(kind)) is not None:
        parts = [first, *MORE.get(kind, [])]
    else:
        raise AssertionError(f"{kind.__name__} needs makers in MAKERS")
    return [lambda part=part: as_layer(part()) for part in parts]


def as_layer(part: nn.Module) -> nn.Module:
    """The part itself if it is called as a layer, or a space layer that has it."""
    if isinstance(part, Send):
        return SpaceLayer(C, send=part)
    if isinstance(part, Gather):
        return SpaceLayer(C, gather=part)
    if isinstance(part, Update):
        return SpaceLayer(C, update=part)
    arguments = tuple(inspect.signature(part.forward).parameters)
    if arguments == ("graph",):
        return SpaceLayer(C, send=ConcatSend(C, position=part))
    expected = ("x", "graph", "state") if isinstance(part, TemporalLayer) else ("x", "graph")
    assert arguments == expected, f"{type(part).__name__}: a layer, or one of NO_LAYERS?"
    return part


def cases(*kinds: type[nn.Module], but: tuple[type[nn.Module], ...] = ()) -> pytest.MarkDecorator:
    """Run a test for every layer, of these kinds if some are named."""
    params = []
    for kind in classes():
        for number, maker in enumerate([] if kind in NO_LAYERS else makers(kind)):
            layer = maker()
            if isinstance(layer, kinds or nn.Module) and not isinstance(layer, but):
                name = kind.__name__ + (f"-{number}" if number else "")
                params.append(pytest.param(maker, id=name))
    return pytest.mark.parametrize("maker", params)


few = settings(max_examples=5, derandomize=True, deadline=None)


class Template(EdgeBuilder):
    def __init__(self, adjacency: torch.Tensor) -> None:
        self.adjacency = adjacency

    def edges(self, graph):
        return template_edges(self.adjacency, graph)


class Scene(NamedTuple):
    """Frames of any size, with any edges and absent nodes."""

    clips: int
    frames: int
    nodes: int
    edges: float
    present: float
    seed: int

    def rand(self, name: str, *sizes: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed * 7 + len(name))
        return torch.rand(*sizes, generator=generator, dtype=torch.float64)

    @property
    def order(self) -> torch.Tensor:
        return self.rand("order", self.nodes).argsort()

    def graph(
        self, clips=slice(None), frames=slice(None), order=None, dtype=torch.float64, scale=1.0
    ) -> Batch:
        lead = (self.clips, self.frames, self.nodes)
        order = torch.arange(self.nodes) if order is None else order

        def cut(value: torch.Tensor) -> torch.Tensor:
            return value[clips, frames][:, :, order]

        fields = {
            "x": (self.rand("x", *lead, C) * 4 - 2) * scale,
            "box": self.rand("box", *lead, 4).sort(-1).values,
            "kernel": self.rand("kernel", *lead, H, W),
            "mass": self.rand("mass", *lead),
        }
        fields["pos"] = (fields["box"][..., :2] + fields["box"][..., 2:]) / 2
        fields["kernel"] = fields["kernel"] / fields["kernel"].sum((-1, -2), keepdim=True)
        chosen = {name: cut(value).to(dtype) for name, value in fields.items()}
        mask = None
        if self.present < 1:
            mask = self.rand("present", *lead) < self.present
            mask[0, -1] = False  # an empty frame
            mask = cut(mask)
        adjacency = self.rand("adjacency", self.nodes, self.nodes) < self.edges
        graph = frame_graphs(chosen, Layout(*chosen["x"].shape[:3], H, W), mask)
        return Template(adjacency[order][:, order])(graph)


scenes = st.builds(
    Scene,
    clips=st.integers(1, 3),
    frames=st.integers(1, 4),
    nodes=st.integers(1, 6),
    edges=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    present=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 10_000),
)


def by_identity(layer: nn.Module) -> bool:
    return any(getattr(part, "by_identity", False) for part in layer.modules())


def built(maker, scene: Scene) -> tuple[nn.Module, Scene]:
    """The layer with weights of its own everywhere, and the scene with N that it fits."""
    torch.manual_seed(1)
    layer = maker().double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer, scene._replace(nodes=14) if by_identity(layer) else scene


def run(layer: nn.Module, graph: Batch) -> torch.Tensor:
    out = layer(graph.x, graph)
    return out[0] if isinstance(layer, TemporalLayer) else out


def rows(layer: nn.Module) -> bool:
    """Whether what comes out is a row a node."""
    return not isinstance(layer, READOUTS)


def dense(layer: nn.Module, graph: Batch) -> torch.Tensor:
    """The result by clip: ``[B, T, N, D]`` of a row a node, what a readout returns as it is."""
    out = run(layer, graph)
    return to_dense(out, graph) if rows(layer) else out


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_every_layer_is_found_and_nothing_is_listed_that_is_not_there():
    found = set(classes())
    assert {SpaceLayer, TimeLayer, Remap, Broadcast, BoxPosition} <= found
    assert set(MAKERS) | set(MORE) | NO_LAYERS | set(READOUTS) <= found
    assert not set(MAKERS) & set(MORE)
    assert [kind.__name__ for kind in MAKERS if by_rule(kind) is not None] == []
    public = {getattr(stgraph.layers, name) for name in stgraph.layers.__all__}
    modules = {
        value for value in public if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert modules - found == {TemporalLayer}


NEW_FILE = """
from stgraph.layers.base import TemporalLayer
from torch import nn

class Doubled(nn.Module):
    def forward(self, x, graph):
        return 2 * x

class Later(TemporalLayer):
    def __init__(self, channels):
        super().__init__()
    def forward(self, x, graph, state=None):
        return x, state

class Needy(nn.Module):
    def __init__(self, wishes):
        super().__init__()
    def forward(self, x, graph):
        return x

class Helpful(Needy):
    @classmethod
    def example(cls):
        return cls("none")
"""


def test_a_layer_in_a_file_of_its_own_is_found(tmp_path, monkeypatch):
    (tmp_path / "newcomer.py").write_text(NEW_FILE)
    monkeypatch.setattr(stgraph.layers, "__path__", [*stgraph.layers.__path__, str(tmp_path)])
    try:
        new = {kind.__name__: kind for kind in classes()}
    finally:
        sys.modules.pop("stgraph.layers.newcomer", None)
        vars(stgraph.layers).pop("newcomer", None)
    assert isinstance(makers(new["Doubled"])[0](), new["Doubled"])
    assert isinstance(makers(new["Later"])[0](), new["Later"])
    assert isinstance(makers(new["Helpful"])[0](), new["Helpful"])
    with pytest.raises(AssertionError, match="Needy needs makers in MAKERS"):
        makers(new["Needy"])


@cases()
@few
@given(scene=scenes)
def test_shape_and_finite_gradients(maker, scene):
    layer, scene = built(maker, scene)
    graph = scene.graph()
    before = graph.x.clone()
    graph.x = graph.x.requires_grad_()
    out = run(layer, graph)
    assert out.isfinite().all()
    assert torch.equal(graph.x, before)
    if rows(layer):
        width = getattr(layer, "out_channels", None)
        assert out.shape == (graph.num_nodes, width if isinstance(width, int) else C)
    else:
        assert out.size(0) == scene.clips
    needed = [graph.x, *layer.parameters()]
    for grad in torch.autograd.grad(out.square().sum(), needed, materialize_grads=True):
        assert grad.isfinite().all()


@cases()
@few
@given(scene=scenes)
def test_renaming_the_nodes_renames_the_result(maker, scene):
    layer, scene = built(maker, scene)
    if by_identity(layer):
        return
    expected = dense(layer, scene.graph())
    if rows(layer):
        expected = expected[:, :, scene.order]
    same(dense(layer, scene.graph(order=scene.order)), expected)


@cases()
@few
@given(scene=scenes)
def test_a_clip_alone_is_the_clip_in_a_batch(maker, scene):
    layer, scene = built(maker, scene)
    whole = dense(layer, scene.graph())
    for clip in range(scene.clips):
        here = slice(clip, clip + 1)
        same(dense(layer, scene.graph(clips=here)), whole[here])


@cases(but=(TemporalLayer, Readout, Broadcast))
@few
@given(scene=scenes)
def test_inside_frames_a_frame_does_not_see_the_others(maker, scene):
    layer, scene = built(maker, scene)
    whole = dense(layer, scene.graph())
    for t in range(scene.frames):
        now = slice(t, t + 1)
        same(dense(layer, scene.graph(frames=now)), whole[:, now])


@cases(TemporalLayer)
@few
@given(scene=scenes)
def test_pieces_are_the_whole_or_a_state_is_refused(maker, scene):
    layer, scene = built(maker, scene)
    graph = scene.graph()
    if not layer.causal:
        with pytest.raises(InputError, match="state: expected None"):
            layer(graph.x, graph, torch.zeros(1))
        return
    state, pieces = None, []
    for t in range(scene.frames):
        piece = scene.graph(frames=slice(t, t + 1))
        x, state = layer(piece.x, piece, state)
        pieces.append(to_dense(x, piece))
    same(torch.cat(pieces, dim=1), dense(layer, graph))


@cases(TemporalLayer)
@pytest.mark.parametrize("present", [1.0, 0.6])
def test_a_state_owns_its_memory_and_loads_without_running_code(maker, present):
    sizes = set()
    for frames in (1, 3, 64):
        layer, scene = built(maker, Scene(2, frames, 5, 1.0, present, 0))
        graph = scene.graph()
        _, state = layer(graph.x, graph)
        for part in state or ():
            assert part.untyped_storage().nbytes() == part.nbytes
        file = io.BytesIO()
        torch.save(state, file)
        sizes.add(file.tell())
        file.seek(0)
        back = torch.load(file, weights_only=True)
        assert type(back) is type(state)
        torch.testing.assert_close(back, state)
    assert max(sizes) - min(sizes) < 200  # of names of types, not of frames


@cases()
@few
@given(scene=scenes)
def test_clips_without_nodes_give_no_rows_and_nothing_to_read(maker, scene):
    layer, scene = built(maker, scene._replace(present=0.0))
    graph = scene.graph()
    assert graph.num_nodes == 0
    out = run(layer, graph)
    assert out.eq(0).all()
    assert out.size(0) == (0 if rows(layer) else scene.clips)


@pytest.mark.parametrize(
    "dtype", [pytest.param(torch.bfloat16, marks=pytest.mark.slow), torch.float16], ids=str
)
@cases()
@few
@given(scene=scenes)
def test_half_precision_makes_no_nan(maker, scene, dtype):
    layer, scene = built(maker, scene)
    # Raw products of large numbers are more than half precision can hold.
    raw = any(isinstance(part, RawDotAttention) for part in layer.modules())
    for scale in (1.0,) if raw else (1.0, 50.0):  # up to 2, and up to 100
        graph = scene.graph(dtype=dtype, scale=scale)
        out = run(deepcopy(layer).to(dtype), graph)
        assert out.dtype == dtype
        assert out.isfinite().all()


@pytest.mark.parametrize("path", ["dense", "sparse"])
@pytest.mark.parametrize("edges", [0.6, 1.0])
def test_scores_beyond_half_precision_are_weights_all_the_same(path, edges):
    torch.manual_seed(0)
    layer = SpaceLayer(C, gather=DotAttention(C, heads=2), path=path)
    for linear in (layer.gather.query, layer.gather.key):
        nn.init.normal_(linear.weight)  # products up to (100 · 100 · …), past 65504
    graph = Scene(2, 3, 6, edges, 1.0, 0).graph(dtype=torch.float16, scale=50.0)
    assert layer.half()(graph.x, graph).isfinite().all()
    weight = layer.attention(graph.x, graph)
    assert weight.isfinite().all()
    assert (weight >= 0).all()
