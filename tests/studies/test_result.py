"""What is kept of a run, whatever came of it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from stgraph.studies.measuring import Curve, EachClip, pack
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


def trainer_of(loss: float, **changes: Any) -> Any:
    metrics = {"train/loss": torch.tensor(loss)}
    steps = {"estimated_stepping_batches": 4, "global_step": 1}
    return SimpleNamespace(**{"world_size": 1, "callback_metrics": metrics, **steps, **changes})


def test_clips_of_all_processes_count_and_a_batch_without_any_does_not(tmp_path: Path) -> None:
    curve, batch = Curve(tmp_path / "progress"), {"label": torch.zeros(3)}
    told: Any = (None, None)
    curve.on_train_batch_end(trainer_of(1.0, world_size=2), *told, batch, 0)
    curve.on_train_batch_end(trainer_of(9.0, world_size=2), *told, {}, 1)
    assert curve.clips == 6
    assert curve.state_dict()["loss"] == [6.0, 6]


def test_every_second_it_is_written_how_far_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    curve, seen = Curve(tmp_path / "progress"), []
    for step, now in enumerate((100.0, 100.9, 101.0, 101.9, 102.0)):
        seconds[0] = now
        trainer: Any = trainer_of(1.0, global_step=step)
        curve.on_train_batch_end(trainer, None, None, {"label": [0]}, 0)  # type: ignore[arg-type]
        seen.append(curve.progress.read_text() if curve.progress.exists() else None)
    assert seen == [None, None, "0.5000", "0.5000", "1.0000"]


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_of_no_clips_none_is_right() -> None:
    assert EachClip().compute() == {"each_clip": pack([], [])}


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
