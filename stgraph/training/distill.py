"""Teachers that show a model with several graphs where its regions should lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch

from stgraph.checks import InputError, fraction, positive
from stgraph.classifiers import Answer
from stgraph.graph import layout_of
from stgraph.precision import precise_type
from stgraph.training.auxiliary import Auxiliary
from stgraph.training.hints import ask
from stgraph.training.runs import model_of_run

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
    part of it: not among its parameters, its checkpoints or its number of weights. The folder of a
    run is read when its model is first asked: a student that is tested, shown or resumed later
    needs its teachers no more. They are told the same hints as the student.

    Args:
        teachers: by the name of a place in the student's ``graphs``: a model that answers with a
            graph at that place, or the folder of a run with such a model, whose best checkpoint is
            taken. One may teach several places, and places may have none.
        share: share of the run's steps in which the teachers are asked, 10 % in the paper.
        weight: w.

    Raises:
        InputError: when a folder is not that of a run, teacher or student has no graph with
            windows at a place, or they have other nodes or maps there.

    Source: DyReG paper, which names neither the loss nor its weight.
    """

    def __init__(
        self,
        teachers: Mapping[str, nn.Module | str | Path],
        share: float = 0.1,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not teachers:
            raise InputError("teachers", "a model by the name of a place", "none")
        for place, teacher in teachers.items():
            if not isinstance(teacher, (nn.Module, str, Path)):
                expected = "an nn.Module or the folder of a run"
                raise InputError(f"teachers[{place!r}]", expected, type(teacher).__name__)
            if isinstance(teacher, nn.Module):
                teacher.eval().requires_grad_(False)
        # A plain dict: modules in it are no parts of this one.
        self.teachers = dict(teachers)
        self.share = fraction("share", share)
        self.weight = positive("weight", weight)

    def forward(self, answer: Answer, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the windows of ``answer.graphs``."""
        graphs: dict[int, Mapping[str, Batch]] = {}  # of each teacher, run once
        losses = []
        for place, teacher in self._ready(batch["video"]).items():
            if id(teacher) not in graphs:
                with torch.no_grad():
                    shown = ask(teacher, batch["video"], batch, self.hints)
                graphs[id(teacher)] = getattr(shown, "graphs", {})
            losses.append(
                _distance(
                    place,
                    _graph("model", getattr(answer, "graphs", {}), place),
                    _graph(f"teachers[{place!r}]", graphs[id(teacher)], place),
                )
            )
        return self.weight * torch.stack(losses).sum()

    def _ready(self, video: Tensor) -> dict[str, nn.Module]:
        """Return the teachers, after those that are folders have been read."""
        read: dict[str, nn.Module] = {}
        for place, teacher in self.teachers.items():
            if isinstance(teacher, nn.Module):
                continue
            if str(teacher) not in read:
                # Its weights, drawn before they are loaded, are no random numbers of the run's.
                with torch.random.fork_rng(devices=[]):
                    made = model_of_run(teacher)
                read[str(teacher)] = made.to(video).eval().requires_grad_(False)
            self.teachers[place] = read[str(teacher)]
        return {place: one for place, one in self.teachers.items() if isinstance(one, nn.Module)}

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> KickStart:
        """Let teachers move along, which ``Module.to`` asks of children only."""
        for teacher in self.teachers.values():
            if isinstance(teacher, nn.Module):
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
    dtype = precise_type(student.window.dtype)
    one, two = student.window.to(dtype), teacher.window.to(dtype)
    # Numbers: a tensor of sizes would be copied to the device.
    parts = [
        F.mse_loss(one[:, axis::2] / cells, two[:, axis::2] / cells)
        for axis, cells in enumerate((own.height, own.width))
    ]
    return (parts[0] + parts[1]) / 2
