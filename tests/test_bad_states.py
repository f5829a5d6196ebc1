"""A state of something else is refused, by name, before anything is computed with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_nets import C, maps, net
from torch import Tensor, nn

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.layers import (
    AttentionTime,
    ClipMeanTime,
    HomogeneousLayer,
    MeanTime,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import State
from stgraph.nodes import (
    ConstantRegions,
    DynamicRegions,
    GridNodes,
    NodeExtractor,
    NodeState,
    SlotNodes,
    SmallGenerator,
)

TIMES: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: TimeLayer(nn.GRU(C, C)),
    "gru, two layers": lambda: TimeLayer(nn.GRU(C, C, 2)),
    "lstm": lambda: TimeLayer(nn.LSTM(C, C)),
    "forgetting": lambda: TimeLayer(nn.GRU(C, C), forget_after=1),
    "mean": MeanTime,
    "attention": lambda: AttentionTime(C, 3),
    "homogeneous": lambda: HomogeneousLayer(SpaceLayer(C)),
}
CARRIED: dict[str, Callable[[], NodeExtractor]] = {
    "grid": lambda: GridNodes(C, (1,), FullEdges()),
    "dynamic": lambda: DynamicRegions(C, 1, FullEdges(), SmallGenerator(C, 1)),
    "slots": lambda: SlotNodes(C, 1, FullEdges()),
}


def tensors(state: Any, change: Callable[[Tensor], Any]) -> Any:
    """The state with every tensor changed."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, tuple):
        parts = [tensors(part, change) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


@pytest.mark.parametrize("time", TIMES)
def test_a_state_of_another_batch_size_or_number_of_nodes(time):
    model = net(time=TIMES[time]())
    state = model(maps()).state
    for features in (maps(1, 1), maps(3, 1)):
        with pytest.raises(InputError, match="state: expected"):
            model(features, state)
        with pytest.raises(InputError, match="state: expected"):
            GraphBlock(model)(features, state)
    other = net(GridNodes(C, (3,), FullEdges()), TIMES[time]())
    with pytest.raises(InputError, match="state: expected"):
        other(maps(), state)


@pytest.mark.parametrize("carried", ["dynamic", "slots"])
def test_a_state_of_another_batch_size_of_an_extractor(carried):
    extractor = CARRIED[carried]()
    _, state = extractor(maps())
    with pytest.raises(InputError, match="state: expected"):
        extractor(maps(1, 1), state)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("other", TIMES)
def test_a_state_of_another_time_layer(time, other):
    if time == other:
        return
    state = net(time=TIMES[other]())(maps()).state
    with pytest.raises(InputError, match="state: expected"):
        net(time=TIMES[time]())(maps(), state)


@pytest.mark.parametrize("carried", CARRIED)
@pytest.mark.parametrize("other", CARRIED)
def test_a_state_of_another_extractor(carried, other):
    if carried == other:
        return
    state = net(CARRIED[other]())(maps()).state
    with pytest.raises(InputError, match="state: expected"):
        net(CARRIED[carried]())(maps(), state)


@pytest.mark.parametrize("time", TIMES)
def test_a_state_that_lost_what_the_layers_knew(time):
    model = net(time=TIMES[time]())
    state = model(maps()).state
    for lost in (
        state._replace(layers=(None,) * 3),
        state._replace(layers=(*state.layers[:2], None)),
        state._replace(layers=state.layers[:1]),
        state._replace(layers=()),
        state._replace(layers=(*state.layers, None)),
    ):
        with pytest.raises(InputError, match="state: expected"):
            model(maps(), lost)


@pytest.mark.parametrize("wrong", [None, 3, torch.zeros(2)], ids=["none", "3", "a tensor"])
@pytest.mark.parametrize("field", ["layers", "nodes"])
def test_a_state_of_something_else(field, wrong):
    model = net()
    state = model(maps()).state
    with pytest.raises(InputError, match="state: expected"):
        model(maps(), state._replace(**{field: wrong}))


@pytest.mark.parametrize("carried", ["dynamic", "slots"])
def test_a_state_that_lost_what_the_extractor_knew(carried):
    model = net(CARRIED[carried]())
    state = model(maps()).state
    memory = state.nodes.regions
    for lost in (NodeState(3, None), NodeState(3, "memory"), NodeState(None, memory)):
        with pytest.raises(InputError, match="state: expected"):
            model(maps(), state._replace(nodes=lost))


@pytest.mark.parametrize("wrong", [3, (), (None, None), {}, torch.zeros(2)], ids=repr)
def test_what_is_no_state(wrong):
    model = net()
    for module in (model, GraphBlock(model)):
        with pytest.raises(InputError, match="state: expected a State of"):
            module(maps(), wrong)
    with pytest.raises(InputError, match="state: expected the NodeState of an earlier call"):
        model.nodes(maps(), wrong)


def test_a_state_of_another_schedule():
    model = net()
    other = SpaceTimeGraph(
        GridNodes(C, (2, 1), FullEdges()), {"time": TimeLayer(nn.GRU(C, C))}, ("time",)
    )
    with pytest.raises(InputError, match=r"state: expected a State of \('time', 'space', 'time'\)"):
        model(maps(), other(maps()).state)


@pytest.mark.parametrize("carried", CARRIED)
@pytest.mark.parametrize("time", TIMES)
def test_a_state_of_another_precision_goes_on_in_that_of_the_features(time, carried):
    model = net(CARRIED[carried](), TIMES[time]()).eval()
    state = model(maps()).state
    features = maps(2, 1)
    expected = model(features, state)
    for dtype in (torch.float64, torch.float16):
        other = tensors(state, lambda t, dtype=dtype: t.to(dtype) if t.is_floating_point() else t)
        out = model(features, other)
        assert out.x.dtype == torch.float32
        torch.testing.assert_close(out.x, expected.x, atol=0.02, rtol=0.02)


def test_what_needs_the_whole_clip_takes_no_state():
    late = net(ConstantRegions(C, 2, FullEdges(), SmallGenerator(C, 2)))
    mean = net(time=ClipMeanTime())
    for model, culprit in ((late, "nodes"), (mean, "layers.time")):
        assert not model.causal
        state = model(maps()).state
        assert isinstance(state, State)
        for module in (model, GraphBlock(model)):
            with pytest.raises(
                InputError, match=rf"state: expected None: \['{culprit}'\] need the"
            ):
                module(maps(), state)
