"""Bad input at every border is an :class:`InputError` that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_nets import C, H, W, maps, net
from torch import Tensor, nn
from torch_geometric.data import Data

from stgraph import GraphBlock
from stgraph.checks import InputError
from stgraph.edges import EdgeBuilder, FullEdges
from stgraph.graph import attach_edges
from stgraph.layers import (
    AttentionTime,
    HomogeneousLayer,
    MeanTime,
    NodeNorm,
    Remap,
    SpaceLayer,
    TimeLayer,
)
from stgraph.nodes import (
    BoxNodes,
    ConstantRegions,
    DynamicRegions,
    FixedRegions,
    GridNodes,
    NodeExtractor,
    PointNodes,
    Regions,
    SemanticNodes,
    SlotNodes,
    SmallGenerator,
    StaticRegions,
)

NAN, INF = float("nan"), float("inf")

EXTRACTORS: dict[str, Callable[[], NodeExtractor]] = {
    "grid": lambda: GridNodes(C, edges=FullEdges()),
    "points": lambda: PointNodes(C, FullEdges()),
    "fixed": lambda: FixedRegions(C, edges=FullEdges()),
    "static": lambda: StaticRegions(C, edges=FullEdges()),
    "constant": lambda: ConstantRegions(C, 3, FullEdges(), SmallGenerator(C, 3)),
    "dynamic": lambda: DynamicRegions(C, 3, FullEdges(), SmallGenerator(C, 3)),
    "dynamic, large": lambda: DynamicRegions(C, edges=FullEdges()),
    "semantic": lambda: SemanticNodes(C, edges=FullEdges()),
    "slots": lambda: SlotNodes(C, edges=FullEdges()),
}
BORDERS: dict[str, Callable[[], nn.Module]] = {
    **EXTRACTORS,
    "net": net,
    "block": lambda: GraphBlock(net()),
    "block, projected": lambda: GraphBlock(net(), channels=6),
}


def spoiled(value: float) -> Callable[[Tensor], Tensor]:
    def spoil(features: Tensor) -> Tensor:
        features = features.clone()
        features[1, 2, 0, 3, 2] = value
        return features

    return spoil


FEATURES: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "one frame": (lambda f: f[:, 0], r"features: expected \[B, T, \d, H, W\], got \[2, \d, 5, 6\]"),
    "one rank more": (lambda f: f[None], r"features: expected \[B, T, \d, H, W\], got"),
    "other channels": (
        lambda f: torch.cat([f, f], dim=2),
        r"features: expected \[B, T, \d, H, W\], got \[2, 3, \d+, 5, 6\]",
    ),
    "channels last": (lambda f: f.movedim(2, -1), r"features: expected \[B, T, \d, H, W\], got"),
    "no clip": (lambda f: f[:0], "features: expected no size of 0"),
    "no frame": (lambda f: f[:, :0], "features: expected no size of 0"),
    "no row": (lambda f: f[..., :0, :], "features: expected no size of 0"),
    "whole numbers": (lambda f: f.long(), "features: expected a floating-point tensor, got torch."),
    "bool": (lambda f: f > 0, "features: expected a floating-point tensor, got torch.bool"),
    "complex": (
        lambda f: f.to(torch.complex64),
        "features: expected a floating-point tensor, got torch.complex64",
    ),
    "numpy": (lambda f: f.numpy(), "features: expected a tensor .*, got ndarray"),
    "none": (lambda f: None, "features: expected a tensor .*, got NoneType"),
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("case", FEATURES)
def test_features(border, case):
    module = BORDERS[border]()
    change, message = FEATURES[case]
    with pytest.raises(InputError, match=message) as caught:
        module(change(maps(channels=module.__dict__.get("channels", C))))
    assert caught.value.name == "features"


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_features_that_are_no_numbers(border, value):
    module = BORDERS[border]()
    features = spoiled(value)(maps(channels=module.__dict__.get("channels", C)))
    with pytest.raises(InputError, match="features: expected finite values, got NaN or inf"):
        module(features)


# Boxes of a detector, and their identities. Clip 1, frame 2, box 0 is wrong.


def boxes(*wrong: float) -> Tensor:
    made = torch.tensor([0.1, 0.2, 0.5, 0.6]).expand(2, 3, 3, 4).clone()
    if wrong:
        made[1, 2, 0] = torch.tensor(wrong)
    return made


def track(*wrong: int) -> Tensor:
    made = torch.arange(3).expand(2, 3, 3).clone()
    if wrong:
        made[1, 2] = torch.tensor(wrong)
    return made


WHERE = r"\(clip 1, frame 2, box 0\)"
INSIDE = rf"boxes: expected .* in 0\.\.1 of the frame, got .*{WHERE}"
HINTS: dict[str, tuple[dict[str, Any], str]] = {
    "no boxes": ({}, "boxes: expected boxes"),
    "boxes as a list": ({"boxes": boxes().tolist()}, "boxes: expected a tensor .*, got list"),
    "boxes of one clip": (
        {"boxes": boxes()[0]},
        r"boxes: expected \[2, 3, M, 4\], got \[3, 3, 4\]",
    ),
    "boxes of fewer frames": ({"boxes": boxes()[:, :2]}, r"boxes: expected \[2, 3, M, 4\]"),
    "boxes of five numbers": (
        {"boxes": torch.rand(2, 3, 3, 5)},
        r"boxes: expected \[2, 3, M, 4\], got \[2, 3, 3, 5\]",
    ),
    "boxes in pixels": ({"boxes": (boxes() * 224).long()}, "boxes: expected a floating-point"),
    "boxes in pixels, floats": ({"boxes": boxes() * 224}, r"boxes: expected .* in 0\.\.1"),
    "more boxes than identities": ({"boxes": torch.rand(2, 3, 4, 4)}, "boxes: expected at most 3"),
    "negative": ({"boxes": boxes(-0.1, 0.1, 0.5, 0.5)}, INSIDE),
    "outside": ({"boxes": boxes(0.1, 0.1, 0.5, 1.5)}, INSIDE),
    "nan": ({"boxes": boxes(NAN, 0.1, 0.5, 0.5)}, INSIDE),
    "infinite": ({"boxes": boxes(0.1, 0.1, INF, 0.5)}, INSIDE),
    "without width": ({"boxes": boxes(0.5, 0.1, 0.5, 0.5)}, f"boxes: .*x1 < x2.*{WHERE}"),
    "without area": ({"boxes": boxes(0.5, 0.5, 0.5, 0.5)}, f"boxes: .*x1 < x2.*{WHERE}"),
    "turned around": ({"boxes": boxes(0.5, 0.5, 0.1, 0.1)}, f"boxes: .*x1 < x2.*{WHERE}"),
    "id below 0": ({"track": track(-1, 1, 2)}, rf"track: expected ids in 0\.\.2, got -1 {WHERE}"),
    "id too large": ({"track": track(3, 1, 2)}, rf"track: expected ids in 0\.\.2, got 3 {WHERE}"),
    "id twice": ({"track": track(1, 1, 2)}, f"track: expected an id once a frame, got 1 {WHERE}"),
    "ids as floats": ({"track": track().float()}, "track: expected a tensor of whole numbers"),
    "ids of fewer boxes": (
        {"track": track()[:, :, :2]},
        r"track: expected \[2, 3, 3\], got \[2, 3, 2\]",
    ),
    "ids as a list": ({"track": track().tolist()}, "track: expected a tensor .*, got list"),
    "present as numbers": (
        {"present": torch.ones(2, 3, 3)},
        "present: expected a tensor of bool, got torch.float32",
    ),
    "present of fewer boxes": (
        {"present": torch.ones(2, 3, 2, dtype=torch.bool)},
        r"present: expected \[2, 3, 3\], got \[2, 3, 2\]",
    ),
}


@pytest.mark.parametrize("case", HINTS)
def test_boxes_and_ids(case):
    hints, message = HINTS[case]
    if hints and "boxes" not in hints:
        hints = {"boxes": boxes()} | hints
    extractor = BoxNodes(C, 3, FullEdges())
    for module in (extractor, net(extractor), GraphBlock(net(extractor))):
        with pytest.raises(InputError, match=message):
            module(maps(), **hints)


def test_a_hint_that_nobody_takes():
    for border in ("grid", "dynamic", "net", "block"):
        with pytest.raises((InputError, TypeError), match="boxes"):
            BORDERS[border]()(maps(), boxes=boxes())


# An author's edge builder, on 6 frames of 5 nodes: rows 0 to 4 are frame 0.


def pairs(*edges: tuple[int, int]) -> Tensor:
    return torch.tensor(edges, dtype=torch.long).t()


BUILT: dict[str, tuple[Any, str]] = {
    "across frames": (pairs((0, 5), (5, 0)), "edge_index: expected both ends of an edge in one"),
    "across clips": (pairs((0, 15)), "edge_index: expected both ends of an edge in one frame"),
    "a source too large": (pairs((30, 1)), r"edge_index: expected nodes in 0\.\.29, got 1\.\.30"),
    "a target too large": (pairs((0, 99)), r"edge_index: expected nodes in 0\.\.29, got 0\.\.99"),
    "a source below 0": (pairs((-1, 1)), r"edge_index: expected nodes in 0\.\.29, got -1\.\.1"),
    "not by frame": (pairs((5, 6), (0, 1)), "edge_index: expected edges sorted by frame"),
    "twice": (pairs((0, 1), (0, 1)), "edge_index: expected every edge once, got repeated"),
    "twice, apart": (
        pairs((0, 1), (1, 2), (0, 1)),
        "edge_index: expected every edge once, got repeated",
    ),
    "floats": (pairs((0, 1)).float(), "edge_index: expected a tensor of int64, got torch.float32"),
    "int32": (pairs((0, 1)).int(), "edge_index: expected a tensor of int64, got torch.int32"),
    "an adjacency": (
        torch.ones(30, 30, dtype=torch.bool),
        r"edge_index: expected \[2, E\], got \[30, 30\]",
    ),
    "the other way": (pairs((0, 1), (1, 2), (2, 3)).t(), r"edge_index: expected \[2, E\], got"),
    "none": (None, r"edges of Built: expected edge_index .*, got NoneType"),
    "a list": ([[0, 1], [1, 0]], r"edges of Built: expected edge_index .*, got list"),
    "three": ((pairs((0, 1)), None, None), r"edges of Built: expected edge_index .*, got"),
    "features of other edges": (
        (pairs((0, 1)), torch.ones(3, 1)),
        r"edge_attr: expected \[1, \.\.\.\], got \[3, 1\]",
    ),
    "features that are no tensor": ((pairs((0, 1)), 3), r"edge_attr: expected a tensor"),
    "features without rows": (
        (pairs((0, 1)), torch.tensor(1.0)),
        r"edge_attr: expected \[1, \.\.\.",
    ),
    "ends that are no tensor": (([[0], [1]], None), "edge_index: expected a tensor"),
}


@pytest.mark.parametrize("case", BUILT)
def test_edges_of_an_authors_builder(case):
    found, message = BUILT[case]

    class Built(EdgeBuilder):
        def edges(self, graph):
            return found

    bare, _ = GridNodes(C, (2, 1))(maps())
    extractor = GridNodes(C, (2, 1), Built())
    for call in (lambda: Built()(bare), lambda: extractor(maps()), lambda: net(extractor)(maps())):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize(
    "case", [c for c in BUILT if not c.startswith(("none", "a list", "three"))]
)
def test_edges_that_are_attached_by_hand(case):
    found, message = BUILT[case]
    bare, _ = GridNodes(C, (2, 1))(maps())
    with pytest.raises(InputError, match=message):
        attach_edges(bare, *(found if isinstance(found, tuple) else (found,)))
    assert "edge_index" not in bare


def test_edges_of_no_builder():
    with pytest.raises(InputError, match=r"edges: expected an edge builder .*, got 'full'"):
        GridNodes(C, edges="full")
    with pytest.raises(InputError, match="graph: expected frame graphs with a `layout`"):
        FullEdges()(Data(x=torch.randn(3, C)))


# An author's extractor.


def ones(*sizes: int) -> Tensor:
    return torch.ones(2, 3, *sizes)


def one_wrong(tensor: Tensor, value: float) -> Tensor:
    tensor = tensor.clone()
    tensor[1, 2, 1].flatten()[0] = value
    return tensor


def regions(nodes: int = 2, **fields: Any) -> tuple[Regions, Any]:
    box = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(2, 3, nodes, 4)
    return Regions(**({"kernel": ones(nodes, H, W), "box": box} | fields)), None


KERNEL, BOX = ones(2, H, W), ones(2, 4)
FOUND: dict[str, tuple[Any, str]] = {
    "a kernel with a NaN": (
        regions(kernel=one_wrong(KERNEL, NAN)),
        "kernel: expected finite values, got NaN or infinity",
    ),
    "a kernel with an infinity": (
        regions(kernel=one_wrong(KERNEL, INF)),
        "kernel: expected finite values, got NaN or infinity",
    ),
    "a negative kernel": (regions(kernel=-KERNEL), "kernel: expected weights ≥ 0, got -1"),
    "a kernel below 0 once": (
        regions(kernel=one_wrong(KERNEL, -0.25)),
        "kernel: expected weights ≥ 0, got -0.25",
    ),
    "a flat kernel": (
        regions(kernel=KERNEL.flatten(-2)),
        r"kernel: expected \[2, 3, N, 5, 6\], got \[2, 3, 2, 30\]",
    ),
    "a kernel of another map": (
        regions(kernel=KERNEL.transpose(-2, -1)),
        r"kernel: expected \[2, 3, N, 5, 6\], got \[2, 3, 2, 6, 5\]",
    ),
    "a kernel of no tensor": (regions(kernel=None), "kernel: expected a tensor"),
    "no node": (regions(0), "kernel: expected at least one node, got"),
    "boxes of other nodes": (
        regions(box=ones(3, 4)),
        r"box: expected \[2, 3, 2, 4\], got \[2, 3, 3, 4\]",
    ),
    "a box with a NaN": (regions(box=one_wrong(BOX, NAN)), "box: expected"),
    "a box outside": (regions(box=9 * BOX), r"box: expected .* in 0\.\.1"),
    "a box turned around": (regions(box=one_wrong(BOX * 0.5, 0.75)), "box: expected .*x1 ≤ x2"),
    "nodes of another width": (
        regions(x=ones(2, C + 1)),
        r"x: expected \[2, 3, 2, 4\], got \[2, 3, 2, 5\]",
    ),
    "nodes with a NaN": (regions(x=one_wrong(ones(2, C), NAN)), "x: expected finite values"),
    "a mask of numbers": (regions(mask=ones(2)), "mask: expected a tensor of bool, got torch.fl"),
    "a mask of other nodes": (
        regions(mask=ones(3) > 0),
        r"mask: expected \[2, 3, 2\], got \[2, 3, 3\]",
    ),
    "an extra field of other nodes": (
        regions(extra={"score": ones(3)}),
        r"score: expected \[2, 3, 2, \.\.\.\], got \[2, 3, 3\]",
    ),
    "an extra field of no tensor": (regions(extra={"score": 3}), "score: expected a tensor"),
    "an extra field called kernel": (
        regions(extra={"kernel": ones(2)}),
        "extra: expected fields with names of their own, got 'kernel'",
    ),
    "none": (None, r"regions of Found: expected \(Regions, state\), got NoneType"),
    "no state": (regions()[0], r"regions of Found: expected \(Regions, state\), got Regions"),
    "none and none": ((None, None), r"regions of Found: expected \(Regions, state\), got"),
    "three": ((*regions(), None), r"regions of Found: expected \(Regions, state\), got"),
    "tensors": ((KERNEL, BOX), r"regions of Found: expected \(Regions, state\), got"),
}


@pytest.mark.parametrize("case", FOUND)
def test_regions_of_an_authors_extractor(case):
    found, message = FOUND[case]

    class Found(NodeExtractor):
        def regions(self, features, state=None):
            return found

    for module in (Found(C, FullEdges()), net(Found(C, FullEdges()))):
        with pytest.raises(InputError, match=message):
            module(maps())


def test_what_stands_for_an_absent_node_may_be_anything():
    mask = torch.ones(2, 3, 2, dtype=torch.bool)
    mask[1, 2, 1] = False

    class Found(NodeExtractor):
        def regions(self, features, state=None):
            wrong = {"kernel": one_wrong(KERNEL, NAN), "box": one_wrong(BOX, 9)}
            return regions(**wrong, x=one_wrong(ones(2, C), INF), mask=mask)

    graph, _ = Found(C)(maps())
    assert graph.num_nodes == 11
    assert graph.x.isfinite().all()


# Layers that are called by hand.


@pytest.mark.parametrize(
    "layer",
    [
        SpaceLayer(C),
        SpaceLayer(C, path="sparse"),
        TimeLayer(nn.GRU(C, C)),
        MeanTime(),
        AttentionTime(C, 2),
        HomogeneousLayer(SpaceLayer(C)),
        NodeNorm(C),
        Remap(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_on_what_is_no_frame_graph_or_of_other_rows(layer):
    x = torch.randn(30, C)
    with pytest.raises(InputError, match="graph: expected"):
        layer(x, Data(x=x, edge_index=pairs((0, 1))))
    graph, _ = GridNodes(C, (2, 1), FullEdges())(maps())
    with pytest.raises(InputError, match=r"x: expected \[30, "):
        layer(x[:7], graph)
