"""A model on a stream: the same answers as on the whole clip, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch

from stgraph import insert, recipes
from stgraph.backbones import TemporalShift, resnet18, shifted_places
from stgraph.classifiers import CNNClassifier
from stgraph.insertion import Place
from stgraph.model import GraphBlock


def awake(model: torch.nn.Module) -> torch.nn.Module:
    """Graph blocks and region offsets that do something."""
    for module in model.modules():
        if isinstance(module, GraphBlock):
            torch.nn.init.normal_(module.norm.weight)
            if hasattr(module.net.nodes, "alpha"):
                torch.nn.init.normal_(module.net.nodes.alpha)
    return model.eval()


def tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for part in state.values():
            yield from tensors(part)
    elif isinstance(state, (tuple, list)):
        for part in state:
            yield from tensors(part)


@pytest.mark.slow
def test_online_tsm_with_dyreg_frame_by_frame_equals_the_whole_clip():
    torch.manual_seed(0)
    places = ("layer3.4.conv2", "layer4.1.conv2")
    model = awake(recipes.dyreg_tsm_resnet50(5, places, online=True)).double()
    assert model.net.causal
    video = torch.randn(1, 4, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        whole = model(video)
        plain = recipes.tsm_resnet50(5, online=True).eval().double()
        plain.net.load_state_dict(model.net.state_dict(), strict=False)
        assert (plain(video).logits - whole.logits).abs().max() > 1e-3
        state = None
        for t in range(4):
            answer = model(video[:, t : t + 1], state)
            state = answer.state
    torch.testing.assert_close(answer.logits, whole.logits, atol=1e-10, rtol=1e-10)


@pytest.mark.slow
def test_numbers_and_memory_stay_the_same_over_a_thousand_frames(live_tensors):
    torch.manual_seed(0)

    def block(place: Place) -> GraphBlock:
        nodes = recipes.dyreg_regions(8, 4, place.height)
        return recipes.dyreg_block(nodes, place.channels, place.height, rounds=2)

    cnn = resnet18(5, 1, stages=2)
    shift = {tuple(shifted_places(cnn)): TemporalShift(online=True)}
    net = insert(cnn, {"layer2": block}, shift, input_size=(1, 40, 40))
    model = awake(CNNClassifier(net, 5)).double()
    video = torch.rand(1, 1000, 1, 40, 40, dtype=torch.float64)

    state, sizes, counts, expected = None, [], [], {}
    with torch.no_grad():
        expected[99] = model(video[:, :100]).logits
        for first, last in pairwise((0, 10, 300, 500, 1000)):
            answer = model(video[:, first:last], state)
            state, expected[last - 1] = answer.state, answer.logits
        state = None
        for t in range(1000):
            answer = model(video[:, t : t + 1], state)
            state = answer.state
            if t in expected:
                torch.testing.assert_close(answer.logits, expected[t], atol=1e-10, rtol=1e-10)
            if t in (9, 499, 999):
                # the memory behind a tensor, which a view would keep whole
                sizes.append(sum(part.untyped_storage().nbytes() for part in tensors(state)))
                counts.append(live_tensors()[0])
    assert sizes[0] == sizes[1] == sizes[2]
    assert counts[0] == counts[1] == counts[2]
    assert (answer.logits - expected[499]).abs().max() > 1e-6  # it goes on listening
