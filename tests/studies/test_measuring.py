"""What is noted of a run while it goes on."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stgraph.studies.measuring import Curve, EachClip, pack


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
