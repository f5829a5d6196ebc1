"""A run that is stopped anywhere and resumed is the run that was left alone, in all it leaves."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.cli import main

Config = Callable[..., str]

# Stops after a step, between two batches of a validation, or without being asked.
STOPS = '''
import os
import signal

from lightning.pytorch import Callback
from torchmetrics import MeanMetric

from parts_of_a_user import Tiny
from stgraph.training import ClassificationModule, Schedule


class Stop(Callback):
    """A signal while a step is made, or after some batches of validations, in all processes."""

    def __init__(self, step: int = -1, validated: int = -1, number: int = 15):
        self.step, self.validated, self.number = step, validated, number
        self.seen = 0

    def on_before_optimizer_step(self, trainer, *_):
        if trainer.global_step + 1 == self.step:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer, *_):
        self.seen += 1
        if self.seen == self.validated:
            os.kill(os.getpid(), self.number)


class Crash(Callback):
    """An error before a step, or in the validations' batch of this number."""

    def __init__(self, step: int = -1, validated: int = -1):
        self.step, self.validated, self.seen = step, validated, 0

    def on_before_optimizer_step(self, trainer, *_):
        if trainer.global_step == self.step:
            raise OSError("the machine went down")

    def on_validation_batch_start(self, trainer, *_):
        self.seen += 1
        if self.seen == self.validated:
            raise OSError("the machine went down")


class Logs(Callback):
    """Logs sums, means and extremes of its own over the epoch."""

    def on_train_batch_end(self, trainer, module, outputs, *_):
        loss = outputs["loss"]
        for name in ("mean", "max", "min", "sum"):
            module.log(f"train/loss_{name}", loss, on_step=False, on_epoch=True, reduce_fx=name)
        module.log("train/both", loss, on_step=True, on_epoch=True)
'''


@pytest.fixture
def whole(config: Config, tmp_path: Path) -> Config:
    """A configuration of 12 steps in 3 epochs, with dropout, and a run of it left alone."""
    (tmp_path / "stops_of_a_user.py").write_text(STOPS, encoding="utf-8")

    def write(changes: dict[str, Any]) -> str:
        model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
        noise = {"class_path": "parts_of_a_user.Noise", "init_args": {"clips": 30}}
        few = {"class_path": "parts_of_a_user.Noise", "init_args": {"clips": 16, "seed": 1}}
        path = config(
            {
                "model.model": model,
                "data.train": noise,
                "data.val": few,
                "trainer.max_epochs": 3,
                "trainer.callbacks": [{"class_path": "stops_of_a_user.Logs"}],
                **changes,
            }
        )
        assert main(["fit", "--config", path, "--run", "whole"]) == 0
        return path

    return write


def last(run: str, name: str = "last") -> dict[str, Any]:
    return torch.load(f"runs/{run}/checkpoints/{name}.ckpt", weights_only=True)


def rows(run: str) -> list[dict[str, str]]:
    """All rows of all sessions, without empty cells."""
    tables = sorted(Path("runs", run, "csv").glob("version_*/metrics.csv"))
    found: list[dict[str, str]] = []
    for table in tables:
        with table.open(newline="") as file:
            found += [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    return found


def plain(value: Any) -> Any:
    """Of a checkpoint: tensors as lists, without what tells where and in which session it was."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        other = {"dirpath", "best_model_path", "kth_best_model_path", "best_k_models", "tables"}
        other |= {"last_model_path"}
        return {name: plain(part) for name, part in value.items() if name not in other}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def check_same_as_whole(run: str) -> None:
    assert rows(run) == rows("whole")
    for name in ("last", "best"):
        if Path(f"runs/whole/checkpoints/{name}.ckpt").exists():
            mine, whole = last(run, name), last("whole", name)
            parts = ["state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"]
            for part in [*parts, "callbacks", "ClipData"]:
                assert plain(mine[part]) == plain(whole[part]), (name, part)


PLATEAU = "stgraph.training.Plateau"
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.3}}
EMA = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
EARLY = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {
        "monitor": "train/top1",
        "mode": "max",
        "patience": 9,
        "check_on_train_epoch_end": True,
    },
}
LOGS = {"class_path": "stops_of_a_user.Logs"}


def plateau(monitor: str) -> dict[str, Any]:
    options = {"patience": 0, "monitor": monitor, "gamma": 0.5}
    return {
        "model.schedule": {"class_path": PLATEAU, "init_args": options},
        "model.optimizer": SGD,
    }


CASES = {
    "validated": {},
    "not validated": {"data.val": None},
    "within epochs": {"trainer.val_check_interval": 2},
    "every second epoch": {"trainer.check_val_every_n_epoch": 2},
    "train plateau": plateau("train/top1"),
    "val plateau": {**plateau("val/loss"), "trainer.val_check_interval": 2},
    "rare plateau": {**plateau("val/loss"), "trainer.check_val_every_n_epoch": 2},
    "accumulated": {"trainer.accumulate_grad_batches": 2},
    "averaged": {"trainer.callbacks": [LOGS, EMA, EARLY], "trainer.val_check_interval": 2},
    "rare rows": {"trainer.log_every_n_steps": 3, "trainer.val_check_interval": 2},
    "no rows": {"trainer.log_every_n_steps": 0, "trainer.val_check_interval": 2},
    "some batches": {"trainer.limit_train_batches": 3},
    "milestones": {
        "model.schedule": {
            "class_path": "stgraph.training.EpochMilestones",
            "init_args": {"at": [1, 2]},
        },
    },
}


ALL = {"within epochs"}  # the others: within an epoch and at its end


def stopped_and_resumed(path: str, options: list[str], status: int, capsys: Any) -> int:
    """Stop a run in its first session, let the second go to the end; return where it stopped."""
    stop = ["--trainer.callbacks+=stops_of_a_user.Stop"]
    stop += [f"--trainer.callbacks.{option}" for option in options]
    assert main(["fit", "--config", path, *stop]) == status
    step = int(last("small")["global_step"])
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    capsys.readouterr()
    return step


def clear() -> None:
    Path("runs/small").rename(Path("runs") / f"done_{len(list(Path('runs').iterdir()))}")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_stopped_at_any_step(whole: Config, capsys: pytest.CaptureFixture[str], case: str) -> None:
    path = whole(CASES[case])
    steps = int(last("whole")["global_step"])
    for step in range(1, steps) if case in ALL else (3, 4):
        assert stopped_and_resumed(path, [f"step={step}"], 143, capsys) == step
        check_same_as_whole("small")
        clear()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["averaged", "val plateau"])
def test_stopped_within_any_validation(
    whole: Config, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    path = whole({**CASES[case], "trainer.num_sanity_val_steps": 0})
    for batch in (2, 4):
        stopped_and_resumed(path, [f"validated={batch}", "number=2"], 130, capsys)
        check_same_as_whole("small")
        clear()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["averaged", "not validated"])
@pytest.mark.parametrize("minutes", [0, 5])
def test_crashed_anywhere(whole: Config, case: str, minutes: int) -> None:
    path = whole({**CASES[case], "trainer.num_sanity_val_steps": 0})
    places = [f"step={step}" for step in (2, 7)]
    places += ["validated=3"] if "not" not in case else []
    for place in places:
        stop = ["--trainer.callbacks+=stops_of_a_user.Crash", f"--trainer.callbacks.{place}"]
        with pytest.raises(OSError, match="went down"):
            main(["fit", "--config", path, "--keep_minutes", str(minutes), *stop])
        resume = Path("runs/small/checkpoints/last.ckpt").exists()
        if resume:
            assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
            check_same_as_whole("small")
        clear()


@pytest.mark.slow
def test_stopped_at_every_second_step_again_and_again(whole: Config) -> None:
    path = whole({**plateau("train/top1"), "trainer.val_check_interval": 2})
    resume: list[str] = []
    for step in (2, 4, 5, 9):
        stop = ["--trainer.callbacks+=stops_of_a_user.Stop", f"--trainer.callbacks.step={step}"]
        assert main(["fit", "--config", path, *stop, *resume]) == 143
        assert last("small")["global_step"] == step
        resume = ["--ckpt_path", "last"]
    assert main(["fit", "--config", path, *resume]) == 0
    check_same_as_whole("small")


def test_the_first_step_alone_tells_whether_a_state_fits(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def first(path: object, step: Callable[..., Any], closure: Callable[[], Any]) -> Any:
        asked.append(path)
        return step(closure)

    monkeypatch.setattr("stgraph.training.module.first_step", first)
    path = config()
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    assert not asked
    made = last("small")["global_step"]
    more = ["--trainer.max_epochs=2", "--ckpt_path", "last"]
    assert main(["fit", "--config", path, *more]) == 0
    assert last("small")["global_step"] >= made + 2
    assert len(asked) == 1


@pytest.mark.slow
def test_from_the_best_on(whole: Config) -> None:
    """What came after it is not lost, and not in the table twice."""
    path = whole({"trainer.val_check_interval": 2, "trainer.max_epochs": 2})
    assert main(["fit", "--config", path]) == 0
    best = last("small", "best")["global_step"]
    assert main(["fit", "--config", path, "--ckpt_path", "best"]) == 0
    assert rows("small") == rows("whole")
    if best < 8:
        with Path("runs/small/csv/version_0/repeated.csv").open(newline="") as file:
            assert list(csv.DictReader(file))


def test_from_another_runs_checkpoint_on(config: Config) -> None:
    """It has a table of its own, from its own first step on, and the other keeps its."""
    path = config()
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    before, made = rows("small"), last("small")["global_step"]
    more = ["--run", "other", "--trainer.max_epochs=2"]
    checkpoint = "runs/small/checkpoints/last.ckpt"
    assert main(["fit", "--config", path, *more, "--ckpt_path", checkpoint]) == 0
    assert last("other")["global_step"] > made
    steps = [int(row["step"]) for row in rows("other")]
    assert steps
    assert min(steps) >= made
    assert rows("small") == before
