"""Teachers that show a model with several graphs where its regions should lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch

from stgraph.checks import InputError, fraction, positive
from stgraph.classifiers import Answer
from stgraph.graph import layout_of
from stgraph.training.auxiliary import Auxiliary

__all__ = ["KickStart"]


class KickStart(Auxiliary):
    r"""Supervise a student's regions by those of trained teachers, for the first steps (DyReG).

    With several graphs in a CNN, regions are slow to start. So models with one graph each are
    trained first, and the student's windows follow theirs, on the same frames:

    .. math::
        w \sum_{p} \mathrm{mean} \Bigl( \frac{s_p - s^*_p}{(H, W, H, W)} \Bigr)^2

    over the places p that have a teacher, with windows s = (half-height, half-width, centre row,
    centre column) in cells of an H×W map. After the first ``share`` of the run's steps only the
    labels train the student, and the teachers are not run any more.

    Teachers are frozen and stay in evaluation mode. They move to the student's device, but are no
    part of it: not among its parameters, its checkpoints or its number of weights. A run that is
    resumed makes them anew, from the files that the configuration names.

    Args:
        teachers: by the name of a place in the student's ``graphs``: a model that answers with a
            graph at that place. One model may teach several places, and places may have none.
        share: share of the run's steps in which the teachers are asked, 10 % in the paper.
        weight: w.

    Raises:
        InputError: when teacher or student has no graph with windows at a place, or they have
            other nodes or maps there.

    Source: DyReG paper, which names neither the loss nor its weight.
    """

    def __init__(
        self, teachers: Mapping[str, nn.Module], share: float = 0.1, weight: float = 1.0
    ) -> None:
        super().__init__()
        if not teachers:
            raise InputError("teachers", "a model by the name of a place", "none")
        for place, teacher in teachers.items():
            if not isinstance(teacher, nn.Module):
                raise InputError(f"teachers[{place!r}]", "an nn.Module", type(teacher).__name__)
            teacher.eval().requires_grad_(False)
        # A plain dict: modules in it are no parts of this one.
        self.teachers = dict(teachers)
        self.share = fraction("share", share)
        self.weight = positive("weight", weight)

    def forward(self, answer: Answer, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the windows of ``answer.graphs``."""
        graphs: dict[int, Mapping[str, Batch]] = {}  # of each teacher, run once
        losses = []
        for place, teacher in self.teachers.items():
            if id(teacher) not in graphs:
                with torch.no_grad():
                    graphs[id(teacher)] = teacher(batch["video"]).graphs
            student = _graph("model", answer.graphs, place)
            shown = _graph(f"teachers[{place!r}]", graphs[id(teacher)], place)
            losses.append(_distance(place, student, shown))
        return self.weight * torch.stack(losses).sum()

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> KickStart:
        """Let teachers move along, which ``Module.to`` asks of children only."""
        for teacher in self.teachers.values():
            teacher._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{sorted(self.teachers)}, share={self.share}, weight={self.weight}"


def _graph(name: str, graphs: Mapping[str, Batch], place: str) -> Batch:
    """Return the graph of a place."""
    if place not in graphs:
        raise InputError(name, f"a model with a graph at {place!r}", f"graphs at {sorted(graphs)}")
    if "window" not in graphs[place]:
        expected = f"a graph at {place!r} whose nodes are windows"
        raise InputError(name, expected, f"one with {sorted(graphs[place].keys())}")
    return graphs[place]


def _distance(place: str, student: Batch, teacher: Batch) -> Tensor:
    """Mean squared distance of windows, in shares of the map."""
    own, other = layout_of(student), layout_of(teacher)
    if own != other or student.window.shape != teacher.window.shape:
        raise InputError(f"teachers[{place!r}]", f"the student's {own}", other)
    precise = torch.promote_types(student.window.dtype, torch.float32)
    one, two = student.window.to(precise), teacher.window.to(precise)
    # Numbers: a tensor of sizes would be copied to the device.
    parts = [
        F.mse_loss(one[:, axis::2] / cells, two[:, axis::2] / cells)
        for axis, cells in enumerate((own.height, own.width))
    ]
    return (parts[0] + parts[1]) / 2
