from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.classifiers import Answer
from stgraph.graph import Layout, frame_graphs
from stgraph.training import NodeClasses


def answer(mask: torch.Tensor | None = None) -> Answer:
    fields = {"x": torch.randn(2, 3, 4, 8)}
    graph = frame_graphs(fields, Layout(2, 3, 4, 1, 1), mask)
    return Answer(torch.zeros(2, 5), graph.x, graph, None)


def batch() -> dict[str, torch.Tensor]:
    return {"digit_class": torch.tensor([[0, 2], [1, 1]])}


def test_the_best_node_of_every_frame_must_know_each_class():
    part = NodeClasses(8, 3, weight=0.5)
    given = answer()
    logits = part.head(given.graph.x).view(2, 3, 4, 3).amax(2)
    wanted = torch.tensor([[1.0, 0, 1], [0, 1, 0]])[:, None].expand(2, 3, 3)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, wanted)
    torch.testing.assert_close(part(given, batch()), expected)


def test_a_soft_maximum_is_the_mean_of_exponentials_of_the_nodes_that_are_there():
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[1, :, 2:] = False
    part, given = NodeClasses(8, 3, over="softmax"), answer(mask)
    losses = []
    for clip, present in enumerate(([1.0, 0, 1], [0, 1.0, 0])):
        for frame in range(3):
            here = given.graph.x[given.graph.batch == clip * 3 + frame]
            best = part.head(here).exp().mean(0).log()
            losses.append(F.binary_cross_entropy_with_logits(best, torch.tensor(present)))
    torch.testing.assert_close(part(given, batch()), torch.stack(losses).mean())


@pytest.mark.parametrize("over", ["max", "softmax"])
def test_absent_nodes_and_empty_frames_do_not_count(over):
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[0, 1] = False
    mask[1, :, 2:] = False
    part, given = NodeClasses(8, 3, over=over), answer(mask)
    losses = []
    for clip, present in enumerate(([1.0, 0, 1], [0, 1.0, 0])):
        for frame in range(3):
            here = given.graph.x[given.graph.batch == clip * 3 + frame]
            if len(here):
                logits = part.head(here)
                best = logits.amax(0) if over == "max" else logits.exp().mean(0).log()
                losses.append(F.binary_cross_entropy_with_logits(best, torch.tensor(present)))
    torch.testing.assert_close(part(given, batch()), torch.stack(losses).mean())


def test_a_model_without_graphs_is_refused():
    with pytest.raises(InputError, match="model: expected one that makes graphs"):
        NodeClasses(8, 3)(Answer(torch.zeros(2, 5), None, None, None), batch())
    with pytest.raises(InputError, match="over: expected"):
        NodeClasses(8, 3, over="mean")


@pytest.mark.parametrize("over", ["max", "softmax"])
def test_one_node_in_all_counts_whole_and_none_counts_nothing(over):
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    part, told = NodeClasses(8, 3, over=over), batch()
    assert part(answer(mask), told).item() == 0
    mask[0, 1, 2] = True
    given = answer(mask)
    (logits,) = part.head(given.graph.x)
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0, 1]))
    torch.testing.assert_close(part(given, told), expected)
