from __future__ import annotations

import math

import pytest
import torch

from stgraph.checks import InputError
from stgraph.classifiers import Answer
from stgraph.edges import FullEdges
from stgraph.nodes import ClassNodes
from stgraph.training import NodePresence


def answer_of(mass: torch.Tensor) -> Answer:
    """An answer with nodes of these masses ``[B, T, N]``."""
    nodes = ClassNodes(1, mass.size(2), edges=FullEdges())
    graph, _ = nodes(torch.randn(*mass.shape[:2], 1, 4, 4))
    graph.mass = mass.flatten()
    return Answer(torch.zeros(1), None, graph, None)


def test_presence_is_the_cross_entropy_of_logarithmic_masses() -> None:
    mass = torch.rand(2, 3, 4) + 0.1
    loss = NodePresence(4, weight=2.0)
    loss.bias.data = torch.randn(4)
    batch = {"digit_class": torch.tensor([[0, 2], [3, 3]])}
    inside = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1]])[:, None]
    likely = torch.sigmoid(mass.log() + loss.bias)
    expected = -2 * (inside * likely.log() + (1 - inside) * (1 - likely).log()).mean()
    torch.testing.assert_close(loss(answer_of(mass), batch), expected)


def test_padded_frames_are_not_asked() -> None:
    nodes, loss = ClassNodes(2, 3), NodePresence(3)
    features, batch = torch.randn(2, 4, 2, 4, 4), {"digit_class": torch.tensor([[0], [1]])}
    frames = torch.tensor([[True] * 4, [True, True, False, False]])
    padded, _ = nodes(features, frame_mask=frames)
    both = loss(Answer(torch.zeros(1), None, padded, None), batch)
    alone = []
    for clip, length in enumerate((4, 2)):
        graph, _ = nodes(features[clip : clip + 1, :length])
        own = {"digit_class": batch["digit_class"][clip : clip + 1]}
        alone.append(length * loss(Answer(torch.zeros(1), None, graph, None), own))
    torch.testing.assert_close(both, sum(alone) / 6)


def test_it_teaches_places_from_names() -> None:
    """Spots of two kinds; which kinds there are is told, and not where."""
    torch.manual_seed(0)
    kind, place = torch.randint(0, 2, (256,)), torch.randint(1, 7, (256, 2))
    features = 0.1 * torch.randn(256, 1, 3, 8, 8)
    features[torch.arange(256), 0, kind, place[:, 0], place[:, 1]] = 3
    nodes, loss = ClassNodes(3, 2), NodePresence(2)
    optimizer = torch.optim.Adam([*nodes.parameters(), *loss.parameters()], lr=0.1)
    for _ in range(60):
        graph, _ = nodes(features)
        value = loss(Answer(torch.zeros(1), None, graph, None), {"digit_class": kind[:, None]})
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    found = nodes(features)[0].pos.view(256, 2, 2)[torch.arange(256), kind]
    assert (found * 8 - 0.5 - place.flip(1)).abs().max() < 0.5  # of a cell


@pytest.mark.parametrize("classes", [[[4]], [[-1]], [0]])
def test_classes_that_have_no_node_are_refused(classes: list[object]) -> None:
    with pytest.raises(InputError, match="digit_class"):
        NodePresence(4)(answer_of(torch.ones(1, 2, 4)), {"digit_class": torch.tensor(classes)})


def test_what_does_not_fit_is_refused() -> None:
    batch = {"digit_class": torch.tensor([[0]])}
    answer = answer_of(torch.ones(1, 2, 4))
    with pytest.raises(InputError, match="model: expected one with all of 3 nodes"):
        NodePresence(3)(answer, batch)
    with pytest.raises(InputError, match="batch: expected `digit_class`"):
        NodePresence(4)(answer, {})
    with pytest.raises(InputError, match="one that makes graphs"):
        NodePresence(4)(Answer(torch.zeros(1), None, None, None), batch)
    with pytest.raises(InputError, match="weight"):
        NodePresence(4, weight=0.0)
    with pytest.raises(InputError, match="digit_class: expected"):
        NodePresence(4)(answer, {"digit_class": torch.tensor([0])})
    with pytest.raises(InputError, match="digit_class: expected"):
        NodePresence(4)(answer, {"digit_class": torch.tensor([[0], [1]])})


def test_it_begins_where_a_map_of_some_hundred_cells_says_nothing() -> None:
    """Of the mass of 403 cells, each class is as likely as not."""
    answer = answer_of(torch.full((1, 2, 4), math.exp(6)))
    loss = NodePresence(4)(answer, {"digit_class": torch.tensor([[1]])})
    assert loss.item() == pytest.approx(math.log(2))


def test_a_clip_may_have_no_digits() -> None:
    none = {"digit_class": torch.zeros(1, 0, dtype=torch.long)}
    assert NodePresence(4)(answer_of(torch.ones(1, 2, 4)), none).isfinite()
