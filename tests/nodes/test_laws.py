"""Laws of every node extractor on maps of any size, with any of its parts.

An extractor is found here by itself and built as ``Extractor(channels, edges=...)``. The parts of
``PARTS`` are tried as well: generators, rules of windows, profiles and other options of a class.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from examples import some
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import stgraph.nodes
from stgraph.checks import InputError
from stgraph.edges import FullEdges, NearestEdges
from stgraph.graph import layout_of, to_dense, validate
from stgraph.kernels import Bilinear, Gaussian, LogLinear, boxcar, pool, spread, tent
from stgraph.layers import Remap
from stgraph.nodes import (
    BoxNodes,
    ConstantRegions,
    DynamicRegions,
    FixedRegions,
    FixedSizeWindows,
    GridNodes,
    LargeGenerator,
    NodeExtractor,
    PointNodes,
    SemanticNodes,
    SlotNodes,
    SmallGenerator,
    StaticRegions,
    WindowKernel,
    Windows,
    grid_anchors,
    spatial_softmax,
)

C = 4
OPEN = (0.3, 0.2, 0.5, 0.4)

WINDOWS: dict[str, dict[str, Any]] = {
    "tent": {"profile": tent},
    "gaussian": {"profile": Gaussian()},
    "gaussian of the older code": {"profile": Gaussian(2.2), "windows": FixedSizeWindows()},
    "log-linear": {"profile": LogLinear(7.0), "windows": Windows(ratio=3.0, growth=0.5)},
    "box": {"profile": boxcar, "windows": Windows.paper(3.0)},
    "bilinear": {"profile": Bilinear(), "windows": FixedSizeWindows.of(1.0)},
    "bilinear, outside": {"profile": Bilinear(), "windows": FixedSizeWindows.of(1.0, inside=False)},
    "fixed in cells": {"windows": FixedSizeWindows.of(2.5)},
}


def small(nodes: int) -> SmallGenerator:
    return SmallGenerator(C, nodes, 6)


PARTS: dict[type[NodeExtractor], dict[str, Callable[[], NodeExtractor]]] = {
    BoxNodes: {
        "slots to spare": lambda: BoxNodes(C, 7, FullEdges()),
        "tent": lambda: BoxNodes(C, edges=NearestEdges(2), kernel=WindowKernel()),
        "gaussian": lambda: BoxNodes(C, kernel=WindowKernel(Gaussian(), 1.5)),
    },
    ConstantRegions: {
        name: lambda options=options: ConstantRegions(
            C, 3, FullEdges(), small(3), alpha=OPEN, **options
        )
        for name, options in WINDOWS.items()
    },
    DynamicRegions: {
        name: lambda options=options: DynamicRegions(
            C, 3, FullEdges(), small(3), alpha=OPEN, **options
        )
        for name, options in WINDOWS.items()
    }
    | {
        "large": lambda: DynamicRegions(
            C, 4, FullEdges(), LargeGenerator(C, 4, 6, 5), anchors=grid_anchors, alpha=OPEN
        ),
        "one": lambda: DynamicRegions(C, 1, FullEdges(), small(1), alpha=OPEN),
        "lstm": lambda: DynamicRegions(C, 3, generator=small(3), cell=nn.LSTM(6, 6), alpha=OPEN),
    },
    FixedRegions: {
        name: lambda options=options: FixedRegions(C, 4, FullEdges(), **options)
        for name, options in WINDOWS.items()
    },
    GridNodes: {
        "one": lambda: GridNodes(C, (1,), FullEdges()),
        "many": lambda: GridNodes(C, (4, 3, 2, 1)),
    },
    SemanticNodes: {
        "softmax": lambda: SemanticNodes(C, 2, FullEdges(), positive=spatial_softmax),
        "relu": lambda: SemanticNodes(C, 2, None, nn.Conv2d(C, 5, 3, padding=1), F.relu),
    },
    SlotNodes: {
        "wide": lambda: SlotNodes(C, 3, FullEdges(), width=6, iterations=2),
        "one": lambda: SlotNodes(C, 1, FullEdges()),
    },
    StaticRegions: {
        name: lambda options=options: StaticRegions(C, 3, FullEdges(), 5, alpha=OPEN, **options)
        for name, options in WINDOWS.items()
    },
}


def extractors() -> dict[type[NodeExtractor], dict[str, Callable[[], NodeExtractor]]]:
    """Every extractor there is, with makers of it by name."""
    found: set[type[NodeExtractor]] = set()
    for module in pkgutil.iter_modules(stgraph.nodes.__path__):
        for value in vars(importlib.import_module(f"stgraph.nodes.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, NodeExtractor):
                found.add(value)
    concrete = (kind for kind in found if not kind.__abstractmethods__)
    return {
        kind: {"default": lambda kind=kind: kind(C, edges=FullEdges())} | PARTS.get(kind, {})
        for kind in sorted(concrete, key=lambda kind: kind.__name__)
    }


EXTRACTORS = extractors()
CASES = [(kind, name) for kind, makers in EXTRACTORS.items() for name in makers]


def made(kind: type[NodeExtractor], name: str, seed: int = 0) -> NodeExtractor:
    """In double precision, with open gates: behind a parameter that is 0 nothing shows."""
    torch.manual_seed(seed)
    extractor = EXTRACTORS[kind][name]().double().eval()
    for parameter in extractor.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return extractor


sizes = st.fixed_dictionaries(
    {
        "clips": st.sampled_from((2, 1, 3)),
        "frames": st.sampled_from((3, 2, 1, 4)),
        "height": st.sampled_from((5, *range(1, 10))),
        "width": st.sampled_from((6, *range(1, 10))),
        "seed": st.integers(0, 10_000),
    }
)
of_every_kind = pytest.mark.parametrize("kind", EXTRACTORS, ids=lambda kind: kind.__name__)


def maps(size: dict[str, int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size["seed"])
    lead = (size["clips"], size["frames"], C, size["height"], size["width"])
    return torch.randn(lead, generator=generator, dtype=torch.float64).to(dtype)


def draw(data: st.DataObject, kind: type[NodeExtractor]) -> tuple[NodeExtractor, dict[str, int]]:
    """An extractor of this kind, and sizes of maps for it."""
    name = data.draw(st.sampled_from(list(EXTRACTORS[kind])), label="parts")
    size = data.draw(sizes, label="sizes")
    return made(kind, name, size["seed"]), size


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_the_parts_are_those_of_extractors_that_there_are():
    assert set(PARTS) <= set(EXTRACTORS)
    assert PointNodes in EXTRACTORS


@of_every_kind
@some(12)
@given(data=st.data())
def test_graphs_keep_the_contract_in_every_precision(kind, data):
    extractor, size = draw(data, kind)
    dtype = data.draw(
        st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])
    )
    features = maps(size, dtype)
    hints = extractor.example_hints(features)
    graph, state = extractor.to(dtype)(features, **hints)
    validate(graph)
    layout = layout_of(graph)
    assert (layout.clips, layout.frames) == (size["clips"], size["frames"])
    assert (layout.height, layout.width) == (size["height"], size["width"])
    assert graph.x.shape == (graph.num_nodes, extractor.out_channels)
    assert graph.x.dtype == dtype
    assert state.clock == size["frames"]
    total = graph.kernel.double().sum((1, 2))
    off = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 0.02)
    torch.testing.assert_close(total, (graph.mass > 0).double(), atol=off, rtol=0)


@of_every_kind
@some(12)
@given(data=st.data())
def test_pooling_and_spreading_are_adjoint(kind, data):
    extractor, size = draw(data, kind)
    features = maps(size)
    graph, _ = extractor(features, **extractor.example_hints(features))
    x = torch.randn(graph.num_nodes, C, dtype=torch.float64)
    nodes, kernel = to_dense(x, graph), to_dense(graph.kernel, graph)
    written = (features * spread(nodes, kernel)).sum()
    same((pool(features, kernel) * nodes).sum(), written)
    same((features * Remap()(x, graph)).sum(), written)
    raw = kernel * to_dense(graph.mass, graph)[..., None, None]
    same((features * Remap(normalised=False)(x, graph)).sum(), (pool(features, raw) * nodes).sum())


@of_every_kind
@some(12)
@given(data=st.data())
def test_a_clip_alone_is_the_clip_in_a_batch(kind, data):
    extractor, size = draw(data, kind)
    features = maps(size)
    hints = extractor.example_hints(features)
    whole, _ = extractor(features, **hints)
    for clip in range(size["clips"]):
        here = slice(clip, clip + 1)
        one, _ = extractor(features[here], **{name: hint[here] for name, hint in hints.items()})
        for field in ("x", "kernel", "mass", "box", "pos", "time", "node_id"):
            same(to_dense(one[field], one), to_dense(whole[field], whole)[here])


@of_every_kind
@some(12)
@given(data=st.data())
def test_pieces_are_the_whole_or_a_state_is_refused(kind, data):
    extractor, size = draw(data, kind)
    features = maps(size)
    hints = extractor.example_hints(features)
    whole, end = extractor(features, **hints)
    if not extractor.causal:
        with pytest.raises(InputError, match=f"state: expected None: {kind.__name__} needs"):
            extractor(features, end, **hints)
        return
    cut = data.draw(st.integers(1, size["frames"]), label="frames of the first piece")
    state, pieces = None, []
    for now in (slice(0, cut), *(slice(t, t + 1) for t in range(cut, size["frames"]))):
        later = {name: hint[:, now] for name, hint in hints.items()}
        piece, state = extractor(features[:, now], state, **later)
        pieces.append(piece)
    assert state.clock == end.clock
    for field in ("x", "kernel", "mass", "box", "pos", "time"):
        joined = torch.cat([to_dense(piece[field], piece) for piece in pieces], dim=1)
        same(joined, to_dense(whole[field], whole))


@of_every_kind
@some(12)
@given(data=st.data())
def test_gradients_are_finite(kind, data):
    extractor, size = draw(data, kind)
    features = maps(size).requires_grad_()
    graph, _ = extractor(features, **extractor.example_hints(features))
    total = sum((graph[field] ** 2).sum() for field in ("x", "kernel", "mass", "box", "pos"))
    total.backward()
    assert features.grad is None or features.grad.isfinite().all()
    for name, parameter in extractor.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda case: getattr(case, "__name__", case))
@some(2)
@given(size=sizes)
def test_gradients_are_those_of_finite_differences(kind, name, size):
    extractor = made(kind, name, size["seed"])
    tiny = {"clips": 1, "frames": min(2, size["frames"])}
    tiny |= {side: 1 + size[side] % 4 for side in ("height", "width")}
    features = maps(size | tiny).requires_grad_()
    hints = extractor.example_hints(features)
    parameters = dict(extractor.named_parameters())

    def graphs(features, *values):
        given = dict(zip(parameters, values, strict=True))
        graph, _ = torch.func.functional_call(extractor, given, (features,), hints)
        return graph.x, graph.kernel, graph.mass, graph.box, graph.pos

    # A small step, so that it hardly ever crosses the kink of a ReLU or a tent.
    assert torch.autograd.gradcheck(
        graphs, (features, *parameters.values()), eps=1e-7, fast_mode=True
    )
