"""Checkpoints whose inner state is another's, or nobody's: told before anything is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.cli import main

Config = Callable[..., str]

LAST = "runs/small/checkpoints/last.ckpt"
EPOCHS, BATCHES = "loops/fit_loop/epoch_progress", "loops/fit_loop/epoch_loop.batch_progress"
SCORES = "callbacks/_Best"
RANDOM = "callbacks/RandomState/processes"
CHANGES: dict[str, tuple[str, object]] = {
    "no callbacks": ("callbacks", None),
    "callbacks that are a number": ("callbacks", 3),
    "callbacks by number": ("callbacks", {1: 2}),
    "no loops": ("loops", {}),
    "a loop that is a number": ("loops/fit_loop", 3),
    "an empty loop": ("loops/fit_loop", {}),
    "loaders that are a number": ("loops/fit_loop/state_dict", 7),
    "no progress": (EPOCHS, {}),
    "progress of text": (f"{EPOCHS}/current/completed", "one"),
    "progress of a tensor": (f"{EPOCHS}/current/processed", torch.zeros(3)),
    "progress of a fraction": (f"{BATCHES}/current/ready", 0.5),
    "progress of nothing": (f"{BATCHES}/total/ready", None),
    "progress below 0": (f"{EPOCHS}/current/completed", -7),
    "progress without end": (f"{EPOCHS}/current/completed", 10**40),
    "progress out of order": (f"{EPOCHS}/current/started", 0),
    "progress beyond the run": (f"{EPOCHS}/current/processed", 10**6),
    "a method that is a number": (f"{EPOCHS}/current/reset", 5),
    "a flag that is text": (f"{BATCHES}/is_last_batch", "no"),
    "no optimisers": ("optimizer_states", []),
    "two optimisers": ("optimizer_states", lambda states: states * 2),
    "an optimiser that is none": ("optimizer_states", [None]),
    "an empty optimiser": ("optimizer_states", [{}]),
    "moments of text": ("optimizer_states/0/state/0/exp_avg", "text"),
    "moments of another shape": ("optimizer_states/0/state/0/exp_avg", torch.zeros(2, 3, 4)),
    "moments of another parameter": ("optimizer_states/0/state/0/exp_avg_sq", torch.zeros(7)),
    "no moments": ("optimizer_states/0/state/0", {"step": torch.tensor(3.0)}),
    "steps of text": ("optimizer_states/0/state/0/step", "text"),
    "a rate of text": ("optimizer_states/0/param_groups/0/lr", "fast"),
    "betas that are a number": ("optimizer_states/0/param_groups/0/betas", 3),
    "no schedule": ("lr_schedulers", []),
    "two schedules": ("lr_schedulers", lambda states: states * 2),
    "an empty schedule": ("lr_schedulers", [{}]),
    "a schedule that is a number": ("lr_schedulers", [3]),
    "a schedule of text": ("lr_schedulers/0/last_epoch", "x"),
    "rates of text": ("lr_schedulers/0/base_lrs", ["x"]),
    "no version": ("pytorch-lightning_version", ""),
    "a version that is none": ("pytorch-lightning_version", "strange"),
    "a version of dots": ("pytorch-lightning_version", "..."),
    "a long version": ("pytorch-lightning_version", "9" * 5000),
    "a very old version": ("pytorch-lightning_version", "0.1.0"),
    "random state of text": (RANDOM, "text"),
    "random state of zeros": (RANDOM, [{"cpu": torch.zeros(7)}]),
    "a short random state": (RANDOM, [{"cpu": torch.zeros(7, dtype=torch.uint8)}]),
    "a score of text": (f"{SCORES}/best_model_score", "good"),
    "scores of many": (f"{SCORES}/best_model_score", torch.zeros(3)),
    "a path of none": (f"{SCORES}/best_model_path", 5),
    "clips of another": ("ClipData", 5),
    "clips of text": ("ClipData", {"train": "text"}),
    "a clip beyond": ("ClipData/train/position", 10**30),
    "so far: nothing": ("stgraph_so_far", {}),
    "so far: a list": ("stgraph_so_far", [1, 2]),
    "so far: results": ("stgraph_so_far/processes/0/results", [3]),
    "so far: metrics": (
        "stgraph_so_far/processes/0/metrics",
        {"metrics.train_top1": {"count": 3, "state": {"update": 4}}},
    ),
    "so far: a metric of text": (
        "stgraph_so_far/processes/0/metrics",
        {"metrics.train_top1": {"count": 3, "state": {"mean_value": "text"}}},
    ),
    "so far: seen": ("stgraph_so_far/seen", {"val/top1": torch.zeros(3)}),
    "so far: a row": ("stgraph_so_far/row", {"step": "x", "values": 3}),
    "so far: tables": ("stgraph_so_far/tables", [{"version": "x"}]),
    "how it was trained": ("stgraph_training", {"optimizer": 3}),
    "what was not seen": ("stgraph_unseen", "text"),
}


def changed(content: Any, path: str, value: object) -> None:
    *parts, end = path.split("/")
    for part in parts:  # of a callback's long key the beginning will do
        named = [] if isinstance(content, list) else [k for k in content if k not in range(9)]
        found = [key for key in named if key.startswith(part)]
        content = content[int(part) if part.isdigit() else found[0]]
    place = int(end) if end.isdigit() else end
    content[place] = value(content[place]) if callable(value) else value


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forged") / "last.ckpt"


@pytest.fixture
def begun(config: Config, _kept: Path) -> str:
    """The configuration of a fit that stopped within its second epoch."""
    path = config({"trainer.max_epochs": 3, "trainer.num_sanity_val_steps": 0})
    if not _kept.exists():
        stop = ["--trainer.callbacks+=parts_of_a_user.Crash", "--trainer.callbacks.step=7"]
        with pytest.raises(OSError, match="went down"):
            main(["fit", "--config", path, "--keep_minutes=0", *stop])
        Path(LAST).rename(_kept)
    Path(LAST).parent.mkdir(parents=True, exist_ok=True)
    Path(LAST).write_bytes(_kept.read_bytes())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("case", CHANGES)
def test_a_state_that_does_not_fit_is_told(
    begun: str, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(LAST, weights_only=True)
    changed(content, *CHANGES[case])
    torch.save(content, LAST)
    before = Path(LAST).read_bytes()
    capsys.readouterr()
    assert main(["fit", "--config", begun, "--ckpt_path", "last"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("stgraph fit: error: ")
    assert Path(LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("loops", {}),
        ("loops/test_loop", 3),
        ("loops/test_loop/batch_progress/current/ready", "x"),
        ("callbacks", 3),
        ("callbacks/_Best/best_model_score", "good"),
        ("ClipData", 5),
        ("pytorch-lightning_version", "strange"),
    ],
)
def test_so_are_those_of_a_test(
    begun: str, path: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(LAST, weights_only=True)
    changed(content, path, value)
    torch.save(content, LAST)
    assert main(["test", "--config", begun, "--ckpt_path", "last"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("stgraph test: error: ckpt_path")


def test_an_untouched_state_goes_on(begun: str) -> None:
    assert main(["fit", "--config", begun, "--ckpt_path", "last"]) == 0
