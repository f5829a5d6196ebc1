"""What is carried from piece to piece: small, its own, and loaded without running code."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import stgraph.backbones
import stgraph.nodes
from stgraph import GraphBlock, SpaceTimeGraph, insert
from stgraph.backbones import NonLocalBlock, RecurrentClassifier, TemporalShift
from stgraph.classifiers import CNNClassifier, GraphClassifier, VideoClassifier
from stgraph.edges import FullEdges
from stgraph.layers import AttentionTime, HomogeneousLayer, MeanTime, SpaceLayer, TimeLayer
from stgraph.nodes import DynamicRegions, GridNodes, NodeExtractor
from stgraph.testing import kinds

C = 8


def net(nodes: NodeExtractor) -> SpaceTimeGraph:
    layers = {
        "time": TimeLayer(nn.GRU(C, C), forget_after=2),
        "attend": AttentionTime(C, 4, 2),
        "both": HomogeneousLayer(SpaceLayer(C)),
        "mean": MeanTime(),
        "last": TimeLayer(nn.LSTM(C, C, 2)),
    }
    return SpaceTimeGraph(nodes, layers, (*layers, "time"))


def regions() -> DynamicRegions:
    return DynamicRegions(C, 4, edges=FullEdges(), cell=nn.LSTM(32, 32))


def inserted() -> nn.Module:
    cnn = nn.Sequential(
        nn.Conv2d(3, C, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(C * 100, 5)
    )
    shift = {"1": TemporalShift(2, online=True)}
    return insert(cnn, {"0": GraphBlock(net(regions()))}, shift, input_size=(3, 10, 10))


MAPS, VIDEO = (C, 10, 10), (3, 10, 10)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "network": (lambda: net(GridNodes(C, (2,), edges=FullEdges())), MAPS),
    "block": (lambda: GraphBlock(net(regions())), MAPS),
    "inserted": (inserted, VIDEO),
    "CNNClassifier": (lambda: CNNClassifier(inserted(), 5), VIDEO),
    "GraphClassifier": (
        lambda: GraphClassifier(nn.Conv2d(3, C, 1), net(regions()), 5),
        VIDEO,
    ),
    "RecurrentClassifier": (
        lambda: RecurrentClassifier(nn.Conv2d(3, C, 1), nn.LSTM(C, C), 5),
        VIDEO,
    ),
    "recurrent, batch first": (
        lambda: RecurrentClassifier(nn.Conv2d(3, C, 1), nn.GRU(C, C, 2, batch_first=True), 5),
        VIDEO,
    ),
    "TemporalShift": (lambda: TemporalShift(4, online=True), MAPS),
}
WITHOUT = {NonLocalBlock, TemporalShift, VideoClassifier}
"""Of the folder: what has no state, stands above, or is the base of others."""


def tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for part in state.values():
            yield from tensors(part)
    elif isinstance(state, (tuple, list)):
        for part in state:
            yield from tensors(part)


def test_all_backbones_with_a_state_are_here():
    found = {
        kind
        for kind in kinds(stgraph.backbones, nn.Module)
        if "state" in inspect.signature(kind.forward).parameters
    }
    assert {kind.__name__ for kind in found - WITHOUT} <= set(MODELS)
    assert found >= WITHOUT


@pytest.mark.parametrize("name", MODELS)
def test_a_state_is_small_and_loads_without_running_code(name):
    torch.manual_seed(0)
    make, sizes = MODELS[name]
    model = make().eval()
    lengths, video = set(), torch.randn(2, 33, *sizes)
    with torch.no_grad():
        for frames in (1, 5, 32):
            state = model(video[:, :frames]).state
            for part in tensors(state):
                assert part.untyped_storage().nbytes() == part.nbytes
            file = io.BytesIO()
            torch.save(state, file)
            lengths.add(file.tell())
            file.seek(0)
            back = torch.load(file, weights_only=True)
            torch.testing.assert_close(list(tensors(back)), list(tensors(state)), rtol=0, atol=0)
        assert max(lengths) - min(lengths) < 200
        assert list(tensors(state))
        expected, went_on = model(video[:, 32:], state)[0], model(video[:, 32:], back)[0]
        assert torch.equal(went_on, expected)


@pytest.mark.parametrize("kind", kinds(stgraph.nodes, NodeExtractor), ids=lambda k: k.__name__)
def test_states_of_extractors_load_without_running_code(kind):
    torch.manual_seed(0)
    extractor = kind(4)
    features = torch.randn(2, 3, 4, 7, 9)
    _, state = extractor(features, **extractor.example_hints(features))
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    back = torch.load(file, weights_only=True)
    assert type(back) is type(state)
    assert back.clock == 3
    torch.testing.assert_close(list(tensors(back)), list(tensors(state)), rtol=0, atol=0)
