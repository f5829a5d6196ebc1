"""What a run of a study reached, as one file of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from stgraph.metrics.answers import wilson
from stgraph.studies.file import ANSWERS
from stgraph.studies.measuring import Curve
from stgraph.viz.about import About

__all__ = ["result_of"]

CONFIDENCE = 0.95


def result_of(
    job: Mapping[str, Any],
    *,
    configuration: Mapping[str, Any],
    curve: Curve,
    model: nn.Module,
    figures: Mapping[str, float],
    each_clip: Mapping[str, Any],
    about: About,
    device: str,
    steps: int,
    shown_first: int,
) -> dict[str, Any]:
    """Put together what is kept of a run.

    All that differs from one time to the next stands under ``times``: the rest of it is the same
    whenever the run is done again with the same code on the same machine.

    Args:
        job: which run it is, and how it was started.
        configuration: with every default.
        curve: what was recorded in training.
        model: what was trained.
        figures: what the test logged, ``test/…``.
        each_clip: which clips were answered right.
        about: machine, versions and source code.
        device: what was trained on.
        steps: of the optimiser.
        shown_first: clips that were shown before the training.
    """
    metric = str(job["metric"])
    measured = _known({name.removeprefix("test/"): value for name, value in figures.items()})
    of_answers = ("loss", *ANSWERS)
    commit, _, changes = about.commit.partition(" ")
    return {
        "study": job["study"],
        "row": job["row"],
        "seed": job["seed"],
        "digest": job["digest"],
        "test": {
            "metric": metric,
            **_reached(metric, figures[f"test/{metric}"], int(each_clip["clips"])),
            "weights": job["weights"] if steps else "as built",
            "answers": {name: measured[name] for name in of_answers if name in measured},
            "each_clip": dict(each_clip),
        },
        "objects": {name: value for name, value in measured.items() if name not in of_answers},
        "clips": curve.clips,
        "shown_first": shown_first,
        "steps": steps,
        "curve": [_known(point) for point in curve.points],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "commit": commit,
        "dirty": bool(changes),
        "machine": about.machine,
        "device": device,
        "threads": job["threads"],
        "versions": dict(about.versions),
        "configuration": _as_json(configuration),
        "times": {
            "date": about.date,
            "training": round(curve.total, 1),
            "curve": [round(seconds, 1) for seconds in curve.seconds],
            "sessions": curve.sessions,
        },
    }


def _reached(metric: str, figure: float, clips: int) -> dict[str, Any]:
    """A figure of the test; that of regions, a ratio of means, has no interval over the clips."""
    if metric not in ANSWERS:
        return {"value": figure, "low": None, "high": None, "interval": None}
    right = round(figure * clips)
    low, high = wilson(right, clips, CONFIDENCE)
    value = right / clips if clips else None
    return {"value": value, "low": low, "high": high, "interval": f"Wilson, {CONFIDENCE:.0%}"}


def _known(values: Mapping[str, float]) -> dict[str, float]:
    """Without what is no number: a loss that has diverged, or what no region was there for."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _as_json(value: Any) -> Any:
    """A configuration in which JSON, that has no infinity, writes it as YAML does."""
    if isinstance(value, Mapping):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return value
