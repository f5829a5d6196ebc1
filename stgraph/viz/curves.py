"""Learning curves and the table of what the runs reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from stgraph.checks import InputError, choice
from stgraph.viz.colours import RUN_COLOURS
from stgraph.viz.figures import INK, QUIET, new_figure, plain
from stgraph.viz.html import Html, markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OBJECTS", "RunCurve", "accuracy_table", "learning_curve", "minutes", "objects_table"]

_METRICS = {"accuracy": "accuracy", "loss": "training loss"}
OBJECTS = {
    "iou": "IoU with objects",
    "l2_r": "nearest region to an object",
    "displacement": "error of displacement",
    "common": "movement common to all",
}
"""What is drawn of regions: names of :mod:`stgraph.metrics`, and words for them."""
_AGAINST = {"steps": "step", "seconds": "seconds"}


@dataclass(frozen=True)
class RunCurve:
    """What a run recorded while it trained, and what it reached.

    Args:
        name: of the model.
        steps: optimiser steps at which something was recorded, ascending.
        seconds: training time at each of them.
        loss: training loss; nan where it was not measured.
        accuracy: accuracy 0..1 on clips not trained on; nan where it was not measured.
        test_accuracy: final accuracy; by default the last one recorded.
        test_clips: on how many clips, for the standard error of it.
        parameters: number of weights.
        objects: what was measured of the regions at each of the steps, by names among
            :data:`OBJECTS`; nan where it was not measured.

    Raises:
        InputError: when the lists differ in length, an accuracy is outside 0..1, or something else
            was measured.
    """

    name: str
    steps: Sequence[float]
    seconds: Sequence[float]
    loss: Sequence[float]
    accuracy: Sequence[float]
    test_accuracy: float | None = None
    test_clips: int | None = None
    parameters: int | None = None
    objects: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.objects:
            choice("objects", name, OBJECTS)
        for name in ("seconds", *_METRICS, *self.objects):
            if len(self.values(name)) != len(self.steps):
                got = f"{len(self.values(name))} values"
                raise InputError(name, f"{len(self.steps)} values, one a step recorded", got)
        for value in (
            *self.accuracy,
            *([] if self.test_accuracy is None else [self.test_accuracy]),
        ):
            if not (0 <= value <= 1 or math.isnan(value)):
                raise InputError("accuracy", "parts of one, 0..1", value)

    def values(self, name: str) -> Sequence[float]:
        """What was recorded under a name; nan where nothing was."""
        if name in OBJECTS:
            return self.objects.get(name, [math.nan] * len(self.steps))
        recorded: Sequence[float] = getattr(self, name)
        return recorded

    @property
    def final(self) -> float:
        """Final accuracy; nan when there is none."""
        if self.test_accuracy is not None:
            return self.test_accuracy
        measured = [value for value in self.accuracy if not math.isnan(value)]
        return measured[-1] if measured else math.nan

    @property
    def error(self) -> float:
        """Standard error of the final accuracy, from the number of test clips; nan if unknown."""
        if not self.test_clips:
            return math.nan
        return math.sqrt(self.final * (1 - self.final) / self.test_clips)

    @property
    def duration(self) -> float:
        """Seconds of training."""
        return self.seconds[-1] if len(self.seconds) else math.nan


def learning_curve(
    runs: Sequence[RunCurve],
    metric: str = "accuracy",
    against: str = "steps",
    *,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Draw one metric of several runs.

    Args:
        runs: the runs; each keeps its colour from picture to picture, by its place in the list.
        metric: ``"accuracy"``, ``"loss"``, or what is measured of regions (:data:`OBJECTS`).
        against: ``"steps"`` or ``"seconds"``.
        references: named constants to compare with, drawn as dotted lines.

    Returns:
        A figure with one axes.

    Raises:
        InputError: on another metric or axis.
    """
    choice("metric", metric, {**_METRICS, **OBJECTS})
    choice("against", against, _AGAINST)
    figure, (axes,) = new_figure(5.4, 3.5)
    plain(axes, x=_AGAINST[against], y={**_METRICS, **OBJECTS}[metric])
    percent = metric == "accuracy"
    for run, colour in zip(runs, cycle(RUN_COLOURS), strict=False):
        points = [
            (x, y * (100 if percent else 1))
            for x, y in zip(run.values(against), run.values(metric), strict=True)
            if not math.isnan(y)
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, linewidth=2, label=run.name, solid_capstyle="round")
            axes.plot(x[-1], y[-1], "o", color=colour, markersize=5)
    for name, value in (references or {}).items():
        height = value * (100 if percent else 1)
        axes.axhline(height, color=QUIET, linewidth=1.1, linestyle=(0, (1, 2)))
        axes.annotate(
            name,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=QUIET,
        )
    if percent:
        axes.set_ylim(0, 100)
        axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.set_xlim(left=0)
    if runs:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=min(len(runs), 3),
            frameon=False,
            fontsize=8.5,
            labelcolor=INK,
            handlelength=1.4,
            borderaxespad=0.2,
        )
    return figure


def accuracy_table(runs: Sequence[RunCurve], references: Mapping[str, float] | None = None) -> Html:
    """Table of the runs, best first, then of the constants to compare with.

    Args:
        runs: the runs.
        references: named accuracies that need no model, such as chance.

    Returns:
        HTML for :meth:`Report.add`.
    """
    ranked = sorted(runs, key=lambda run: (math.isnan(run.final), -run.final))
    lines = [
        _row("", run.name, run.final, run.error, _count(run.parameters), minutes(run.duration))
        for run in ranked
    ]
    named = sorted((references or {}).items(), key=lambda item: -item[1])
    lines += [_row("quiet", name, value, math.nan, "–", "–") for name, value in named]
    body = "\n".join(lines)
    return Html(
        '<div class="scroll" tabindex="0"><table><thead><tr>'
        '<th scope="col">model</th><th scope="col">accuracy</th>'
        '<th scope="col" class="number">parameters</th><th scope="col" class="number">training</th>'
        f"</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def objects_table(runs: Sequence[RunCurve]) -> Html:
    """Table of what was measured last of each run's regions.

    Args:
        runs: the runs.

    Returns:
        HTML for :meth:`Report.add`.
    """
    heads = "".join(f'<th scope="col" class="number">{markup(OBJECTS[n])}</th>' for n in OBJECTS)
    lines = []
    for run in runs:
        last = [values[-1] if (values := run.values(name)) else math.nan for name in OBJECTS]
        cells = "".join(
            f'<td class="number">{"–" if math.isnan(value) else f"{value:.3f}"}</td>'
            for value in last
        )
        lines.append(f'<tr><th scope="row">{markup(run.name)}</th>{cells}</tr>')
    body = "\n".join(lines)
    return Html(
        '<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">model</th>'
        f"{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _row(tone: str, name: str, value: float, error: float, weights: str, time: str) -> str:
    kind = f' class="{tone}"' if tone else ""
    if math.isnan(value):
        share, amount = 0.0, "–"
    else:
        share = 100 * value
        amount = f"{share:.1f} %" + ("" if math.isnan(error) else f" ± {100 * error:.1f}")
    return (
        f'<tr{kind}><th scope="row">{markup(name)}</th><td class="bar"><div>'
        f'<span class="track" aria-hidden="true"><i style="width:{share:.1f}%"></i></span>'
        f'<span class="amount">{amount}</span></div></td>'
        f'<td class="number">{weights}</td><td class="number">{time}</td></tr>'
    )


def _count(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters:,}".replace(",", "\u202f")


def minutes(seconds: float) -> str:
    """Write a duration.

    Examples:
        >>> minutes(95.4), minutes(12.34), minutes(7322)
        ('1 min 35 s', '12.3 s', '2 h 2 min')
    """
    if math.isnan(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
