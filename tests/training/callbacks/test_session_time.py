"""A fit that ends within an epoch, for want of time, and goes on there."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stgraph.cli import main
from stgraph.training.callbacks.session_time import SessionTime

ROOT = Path(__file__).resolve().parents[3]
RESULT = ROOT / "benchmarks" / "result.py"


class Clock:
    """Hours pass with each look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 3600
        return self.now


def last(run: str) -> dict:
    return torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)


def slow(config: Callable[..., str], **changes: object) -> str:
    """The dropout draws random numbers; 5 batches an epoch, 2 epochs."""
    model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
    return config({"model.model": model, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("val", [True, False], ids=["validated", "not validated"])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_sessions_of_any_length_together_are_the_whole_run(
    config: Callable[..., str], monkeypatch: pytest.MonkeyPatch, accumulated: int, val: bool
) -> None:
    changes = {} if val else {"data.val": None}
    path = slow(config, **{"trainer.accumulate_grad_batches": accumulated}, **changes)
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    monkeypatch.setattr("lightning.pytorch.callbacks.timer.time", Clock())
    steps = []
    resume: list[str] = []
    while not steps or steps[-1] < last("whole")["global_step"]:
        # a look at the start, and one after each step
        limit = ["--trainer.max_time=00:02:30:00"]
        assert main(["fit", "--config", path, *limit, *resume]) == 0
        steps.append(last("small")["global_step"])
        resume = ["--ckpt_path=last"]
        assert len(steps) < 9
    assert len(steps) >= 2
    assert steps == sorted(set(steps))
    for name, value in last("whole")["state_dict"].items():
        assert torch.equal(value, last("small")["state_dict"][name]), name


@pytest.mark.slow
def test_a_run_that_ends_by_steps_within_an_epoch_goes_on_there(config: Callable[..., str]) -> None:
    constant = {"class_path": "stgraph.training.Constant"}
    path = slow(config, **{"model.schedule": constant, "data.val": None})
    assert main(["fit", "--config", path, "--run", "whole", "--trainer.max_steps=8"]) == 0
    assert main(["fit", "--config", path, "--trainer.max_steps=3"]) == 0
    assert last("small")["global_step"] == 3
    assert main(["fit", "--config", path, "--ckpt_path=last", "--trainer.max_steps=8"]) == 0
    for name, value in last("whole")["state_dict"].items():
        assert torch.equal(value, last("small")["state_dict"][name]), name


def test_only_a_run_at_its_end_has_a_result(
    config: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RESULT.parent)
    spec = importlib.util.spec_from_file_location("result_of_a_run", RESULT)
    result = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(result)
    monkeypatch.setattr(sys, "argv", ["result.py", "--run", "runs/small", "--json", "small.json"])
    path = config()
    with monkeypatch.context() as fast:
        fast.setattr("lightning.pytorch.callbacks.timer.time", Clock())
        assert main(["fit", "--config", path, "--trainer.max_time=00:02:30:00"]) == 0
    with pytest.raises(SystemExit, match="small: 3 steps, and not at its end"):
        result.main()
    assert not Path("small.json").exists()
    assert main(["fit", "--config", path, "--ckpt_path=last"]) == 0
    result.main()
    assert json.loads(Path("small.json").read_text())["steps"] == 10


@pytest.mark.parametrize(("left", "over"), [(1.0, False), (0.0, True), (-1.0, True), (None, False)])
def test_a_session_is_over_when_no_time_is_left(
    left: float | None, over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = SessionTime("00:00:01:00")
    monkeypatch.setattr(time, "time_remaining", lambda: left)
    progress = SimpleNamespace(is_last_batch=True)
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    strategy = SimpleNamespace(broadcast=lambda value: value)
    time.on_train_batch_end(SimpleNamespace(fit_loop=loop, strategy=strategy))
    assert time.over is over
