"""Runs in processes of their own: two that train together, and one that is killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stgraph.cli import main
from stgraph.training.callbacks.keep_last import KeepLast
from stgraph.training.callbacks.random_state import RandomState

GRAPH = """
from torch import nn

from stgraph import SpaceTimeGraph
from stgraph.backbones import ConvStack
from stgraph.classifiers import GraphClassifier
from stgraph.edges import FullEdges
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes


def graph() -> GraphClassifier:
    net = SpaceTimeGraph(
        GridNodes(8, (2,), edges=FullEdges()),
        {"time": TimeLayer(nn.GRU(8, 8)), "space": SpaceLayer(8)},
        ("time", "space"),
    )
    return GraphClassifier(ConvStack(1, 8), net, num_classes=4)
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stgraph", *arguments]


def checkpoint(run: str) -> dict[str, Any]:
    return torch.load(Path("runs") / run / "checkpoints" / "last.ckpt", weights_only=True)


def column(run: str, name: str) -> list[float]:
    with (Path("runs") / run / "csv" / "version_0" / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.slow
def test_two_processes_train_as_one(config: Callable[..., str], tmp_path: Path) -> None:
    """Each takes half of every batch; without batch norm that is the same training."""
    (tmp_path / "graph_of_a_user.py").write_text(GRAPH, encoding="utf-8")
    digits = {"class_path": "stgraph.datasets.sklearn_digits"}
    few = {"num_digits": 2, "num_classes": 3, "frames": 2, "canvas": 32, "size": 32}
    clips = {"class_path": "stgraph.datasets.SyncMNIST"}
    path = config(
        {
            "model.model": {"class_path": "graph_of_a_user.graph"},
            "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
            "data.train": {**clips, "init_args": {**few, "digits": digits, "length": 16}},
            "data.val": {**clips, "init_args": {**few, "digits": digits, "length": 8, "seed": 1}},
        }
    )
    assert main(["fit", "--config", path, "--run", "one"]) == 0
    options = ["--data.batch_size=4", "--trainer.strategy=ddp", "--trainer.devices=2"]
    options += ["--trainer.accelerator=cpu", "--trainer.callbacks+=parts_of_a_user.Seen"]
    # With its bar, for which the first process computes metrics of all.
    options += ["--keep_minutes=0", "--trainer.enable_progress_bar=true"]
    arguments = command("fit", "--config", path, "--run", "two", *options)
    with subprocess.Popen(arguments, start_new_session=True) as processes:
        try:
            assert processes.wait(timeout=200) == 0
        finally:
            if processes.poll() is None:  # one waits for the other, which is of the same session
                os.killpg(processes.pid, signal.SIGKILL)

    for name in ("train/loss", "train/top1", "val/loss", "val/top1"):
        assert column("two", name) == pytest.approx(column("one", name), rel=1e-4)
    one, two = checkpoint("one")["state_dict"], checkpoint("two")["state_dict"]
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)

    seen = [Path(f"seen_{rank}.txt").read_text().splitlines() for rank in range(2)]
    for epoch in "01":
        parts = [
            {int(clip) for line in lines if line[0] == epoch for clip in line.split()[1:]}
            for lines in seen
        ]
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == set(range(16))
    assert len(checkpoint("two")["callbacks"]["RandomState"]["processes"]) == 2


def test_each_process_goes_on_from_its_own_random_state() -> None:
    states, drawn = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        states += RandomState().state_dict()["processes"]
        drawn.append(torch.rand(3))
    torch.manual_seed(7)
    drawn.append(torch.rand(3))  # there was no third process, so it draws what it would have
    for rank, expected in enumerate(drawn):
        part: Any = RandomState()
        part.load_state_dict({"processes": states})
        torch.manual_seed(7)
        part.on_train_batch_start(SimpleNamespace(global_rank=rank))
        assert torch.equal(torch.rand(3), expected)


def test_processes_keep_a_checkpoint_together_or_not_at_all(tmp_path: Path) -> None:
    """The first one's clock counts, and is asked at the same steps by all."""
    part: Any = KeepLast(tmp_path / "last.ckpt", minutes=5.0)
    for first in (True, False):
        strategy = SimpleNamespace(broadcast=lambda late, first=first: first)
        found = [
            part._is_due(SimpleNamespace(world_size=2, global_step=step, strategy=strategy))
            for step in range(41)
        ]
        assert [step for step, due in enumerate(found) if due] == ([0, 20, 40] if first else [])


@pytest.mark.slow
def test_a_killed_run_ends_where_the_whole_run_ends(config: Callable[..., str]) -> None:
    """SIGKILL in the middle of an epoch: nothing is tidied up, and half a file may be left."""
    model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
    path = config({"model.model": model})
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    waiting = ["--trainer.callbacks+=parts_of_a_user.Wait", "--trainer.callbacks.step=7"]
    arguments = command("fit", "--config", path, "--keep_minutes", "0", *waiting)
    with subprocess.Popen(arguments) as process:
        try:
            end = time.monotonic() + 120
            while not Path("waiting").exists() and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    kept = checkpoint("small")
    assert kept["global_step"] == 7  # of 5 an epoch
    Path("runs/small/checkpoints/last.part").write_bytes(b"half of a checkpoint")

    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    whole, resumed = checkpoint("whole")["state_dict"], checkpoint("small")["state_dict"]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert not all(torch.equal(kept["state_dict"][name], value) for name, value in whole.items())
    assert not Path("runs/small/checkpoints/last.part").exists()
