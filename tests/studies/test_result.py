"""What is kept of a run, whatever came of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from stgraph.studies.measuring import Curve, pack
from stgraph.studies.result import _as_json, result_of
from stgraph.viz.about import about_here


def test_a_run_that_diverged_has_a_result_too(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "progress")
    curve.points = [{"clips": 5.0, "loss": math.nan, "top1": 0.25}]
    curve.seconds = [1.26]
    curve.load_state_dict({**curve.state_dict(), "total": 12.34})
    named = {"study": "one", "row": "steep", "seed": 0, "digest": "", "threads": 1}
    model = nn.Linear(1, 1)
    model.weight.requires_grad_(False)
    result = result_of(
        {**named, "metric": "top1", "weights": "last"},
        configuration={},
        curve=curve,
        model=model,
        figures={"test/top1": 0.25, "test/loss": math.inf, "test/distance": math.nan},
        each_clip=pack([True, False, False, False], [0, 1, 2, 3]),
        about=about_here("a test"),
        device="CPU",
        steps=1,
        shown_first=0,
    )
    kept = json.loads(json.dumps(result, allow_nan=False))
    assert kept["test"]["answers"] == {"top1": 0.25}
    assert kept["objects"] == {}
    assert kept["parameters"] == 2  # frozen ones, too
    assert kept["curve"] == [{"clips": 5.0, "top1": 0.25}]
    assert (kept["times"]["training"], kept["times"]["curve"]) == (12.3, [1.3])
    assert kept["test"]["interval"] == "Wilson, 95%"


def test_numbers_that_json_has_not_are_written_as_in_yaml() -> None:
    values = {"a": [math.inf, -math.inf, math.nan, 1.5, True, None], "b": {"c": "x"}}
    assert _as_json(values) == {"a": [".inf", "-.inf", ".nan", 1.5, True, None], "b": {"c": "x"}}


@pytest.mark.parametrize("again", [False, True])
def test_a_point_of_the_curve_has_the_loss_since_the_last_one(tmp_path: Path, again: bool) -> None:
    curve = Curve(tmp_path / "progress")
    trainer: Any = SimpleNamespace(
        world_size=1,
        callback_metrics={},
        sanity_checking=False,
        state=SimpleNamespace(fn="fit"),
        estimated_stepping_batches=4,
        global_step=1,
    )
    for losses in ([(1.0, 2), (4.0, 1)], [(8.0, 3)]):
        for loss, clips in losses:
            if again:  # a run that is resumed in between
                curve, before = Curve(tmp_path / "progress"), curve
                curve.load_state_dict(json.loads(json.dumps(before.state_dict())))
            trainer.callback_metrics = {"train/loss": torch.tensor(loss)}
            batch = {"label": torch.zeros(clips)}
            curve.on_train_batch_end(trainer, None, None, batch, 0)  # type: ignore[arg-type]
        trainer.callback_metrics = {"val/top1": torch.tensor(0.5)}
        curve.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert curve.points == [
        {"clips": 3, "loss": 2.0, "top1": 0.5},
        {"clips": 6, "loss": 8.0, "top1": 0.5},
    ]


def test_seconds_of_earlier_sessions_count(tmp_path: Path) -> None:
    curve, again = Curve(tmp_path / "progress"), Curve(tmp_path / "progress")
    assert curve.sessions == curve.clips == 0  # none has begun
    again.load_state_dict({**curve.state_dict(), "total": 100.0, "sessions": 2})
    assert (curve.total, again.total) == (0, 100)
    trainer: Any = SimpleNamespace(world_size=1)
    again.on_fit_start(trainer, None)  # type: ignore[arg-type]
    again.on_fit_end(trainer, None)  # type: ignore[arg-type]
    assert 100 < again.total < 200
    assert again.sessions == 3
