"""What every node extractor promises. A new one is found here by itself.

An extractor is built as ``Extractor(channels)``; hints that it needs come from its
``example_hints``.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch
from torch_geometric.data import Batch

import stgraph.nodes
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import layout_of, presence, to_dense, validate
from stgraph.nodes import NodeExtractor, Regions


def _extractors() -> list[type[NodeExtractor]]:
    found: set[type[NodeExtractor]] = set()
    for module in pkgutil.iter_modules(stgraph.nodes.__path__):
        for value in vars(importlib.import_module(f"stgraph.nodes.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, NodeExtractor):
                found.add(value)
    concrete = (kind for kind in found if not kind.__abstractmethods__)
    return sorted(concrete, key=lambda kind: kind.__name__)


@pytest.fixture(params=_extractors(), ids=lambda kind: kind.__name__)
def extractor(request) -> NodeExtractor:
    return request.param(8, edges=FullEdges()).double()


def maps(*lead: int, height: int = 7, width: int = 9) -> torch.Tensor:
    return torch.randn(*lead, 8, height, width, dtype=torch.float64)


def extract(extractor: NodeExtractor, features: torch.Tensor, state=None):
    return extractor(features, state, **extractor.example_hints(features))


def test_it_emits_valid_frame_graphs(extractor):
    graph, state = extract(extractor, maps(2, 3))
    validate(graph)
    assert graph.num_graphs == 6
    layout = layout_of(graph)
    assert (layout.clips, layout.frames, layout.height, layout.width) == (2, 3, 7, 9)
    assert graph.x.shape[1] == extractor.out_channels
    assert graph.box.min() >= 0
    assert graph.box.max() <= 1
    assert state.clock == 3
    sums = graph.kernel.sum((1, 2))
    torch.testing.assert_close(sums, (graph.mass > 0).to(sums))
    torch.testing.assert_close(graph.pos, (graph.box[:, :2] + graph.box[:, 2:]) / 2)


def test_single_graphs_round_trip(extractor):
    graph, _ = extract(extractor, maps(2, 3))
    back = Batch.from_data_list(graph.to_data_list())
    for name, value in graph.to_dict().items():
        if name != "layout":
            assert torch.equal(value, back[name]), name


@pytest.mark.parametrize("map_size", [(5, 5), (14, 10), (33, 32)])
def test_it_takes_any_map(extractor, map_size):
    graph, _ = extract(extractor, maps(1, 1, height=map_size[0], width=map_size[1]))
    assert graph.kernel.shape[1:] == map_size
    assert graph.x.isfinite().all()


def test_clips_do_not_touch_each_other(extractor):
    both = maps(2, 3)
    graph, _ = extract(extractor, both)
    hints = extractor.example_hints(both)
    other = both.clone()
    other[1] = 5 * torch.randn_like(other[1])
    changed, _ = extractor(other, **hints)
    first = to_dense(graph.x, graph)[0]
    torch.testing.assert_close(to_dense(changed.x, changed)[0], first)


def test_pieces_equal_the_whole(extractor):
    features = maps(2, 5)
    hints = extractor.example_hints(features)
    whole, end = extractor(features, **hints)
    if not extractor.causal:
        with pytest.raises(InputError, match="state: expected None"):
            extractor(features[:, :1], end, **hints)
        return
    state, pieces = None, []
    for t in range(5):
        now = {name: value[:, t : t + 1] for name, value in hints.items()}
        piece, state = extractor(features[:, t : t + 1], state, **now)
        pieces.append(piece)
    assert state.clock == end.clock == 5
    for name in ("x", "kernel", "box"):
        joined = torch.cat([to_dense(piece[name], piece) for piece in pieces], dim=1)
        torch.testing.assert_close(joined, to_dense(whole[name], whole), atol=1e-10, rtol=0)
    assert set(torch.cat([piece.time for piece in pieces]).tolist()) == set(range(5))


def test_gradients_reach_the_maps_and_every_parameter(extractor):
    if "alpha" in dict(extractor.named_parameters()):
        torch.nn.init.constant_(extractor.alpha, 0.3)  # the gate is closed at the start
    features = maps(2, 3).requires_grad_()
    graph, _ = extract(extractor, features)
    weight = torch.randn_like(graph.x)
    (weight * graph.x).sum().backward()
    assert features.grad.abs().sum() > 0
    for name, parameter in extractor.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_are_those_of_finite_differences(extractor):
    if "alpha" in dict(extractor.named_parameters()):
        torch.nn.init.constant_(extractor.alpha, 0.3)
    features = maps(1, 2, height=4, width=3).requires_grad_()
    hints = extractor.example_hints(features)
    names = [name for name, _ in extractor.named_parameters()]
    parameters = [parameter for _, parameter in extractor.named_parameters()]

    def graphs(features, *values):
        given = dict(zip(names, values, strict=True))
        graph, _ = torch.func.functional_call(extractor, given, (features,), hints)
        return graph.x, graph.kernel, graph.mass, graph.box, graph.pos

    # A small step, so that it hardly ever crosses the kink of a ReLU.
    assert torch.autograd.gradcheck(graphs, (features, *parameters), eps=1e-7, fast_mode=True)


def test_wrong_features_are_refused(extractor):
    for wrong, message in [
        (
            torch.zeros(2, 3, 9, 7, 9),
            r"features: expected \[B, T, 8, H, W\], got \[2, 3, 9, 7, 9\]",
        ),
        (torch.zeros(3, 8, 7, 9), r"features: expected \[B, T, 8, H, W\]"),
        (torch.zeros(2, 0, 8, 7, 9), "features: expected no size of 0"),
        (torch.zeros(2, 3, 8, 7, 9, dtype=torch.long), "features: expected a floating-point"),
    ]:
        with pytest.raises(InputError, match=message):
            extractor(wrong)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_give_finite_graphs(extractor, dtype):
    features = maps(1, 2).to(dtype)
    hints = extractor.example_hints(maps(1, 2))
    graph, _ = extractor.to(dtype)(features, **hints)
    assert graph.x.dtype == dtype
    assert graph.x.isfinite().all()
    assert graph.kernel.isfinite().all()
    assert presence(graph) is None or presence(graph).any()


@pytest.mark.parametrize("name", ["x", "time", "ptr", "size", "class_index", "my_batch"])
def test_fields_of_an_extractor_may_not_collide(name):
    class Extra(NodeExtractor):
        def regions(self, features, state=None):
            b, t, _, h, w = features.shape
            box = features.new_tensor([0.0, 0, 1, 1]).expand(b, t, 1, 4)
            extra = {name: features.new_zeros(b, t, 1)}
            return Regions(features.new_ones(b, t, 1, h, w), box, extra=extra), None

    with pytest.raises(InputError, match="extra: expected fields with names of their own"):
        Extra(8)(maps(1, 1))
