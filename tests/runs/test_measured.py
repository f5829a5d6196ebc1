"""What a run logs of regions and leaves after a test: in one go, resumed, in two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stgraph.cli import main

Config = Callable[..., str]

PARTS = '''
import os
import signal

from lightning.pytorch import Callback
from torch import nn

from stgraph import SpaceTimeGraph
from stgraph.backbones import ConvStack
from stgraph.classifiers import GraphClassifier
from stgraph.edges import FullEdges
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.metrics.running import ClipMetric
from stgraph.nodes import DynamicRegions, SmallGenerator, Windows


def regions() -> GraphClassifier:
    net = SpaceTimeGraph(
        DynamicRegions(8, 4, FullEdges(), SmallGenerator(8, 4), windows=Windows.paper()),
        {"time": TimeLayer(nn.GRU(8, 8)), "space": SpaceLayer(8)},
        ("time", "space"),
    )
    return GraphClassifier(ConvStack(1, 8), net, num_classes=4)


class Stop(Callback):
    """A signal in the middle of the second validation."""

    def __init__(self):
        self.seen = 0

    def on_validation_batch_start(self, trainer, *_):
        self.seen += 1
        if self.seen == 5:
            os.kill(os.getpid(), 15)
'''
NAMES = {"iou_p", "iou_r", "iou", "recall", "l2_p", "l2_r", "displacement", "matched"}


@pytest.fixture
def path(config: Config, tmp_path: Path) -> str:
    (tmp_path / "measured_by_a_user.py").write_text(PARTS, encoding="utf-8")
    digits = {"class_path": "stgraph.datasets.sklearn_digits"}
    few = {"num_digits": 2, "num_classes": 3, "frames": 3, "canvas": 32, "size": 32}
    clips = {"class_path": "stgraph.datasets.SyncMNIST"}

    def some(length: int, seed: int) -> dict[str, Any]:
        return {**clips, "init_args": {**few, "digits": digits, "length": length, "seed": seed}}

    return config(
        {
            "model.model": {"class_path": "measured_by_a_user.regions"},
            "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
            "data.train": some(16, 0),
            "data.val": some(24, 1),
            "data.test": some(24, 2),
            "data.eval_batch_size": 8,
            "trainer.num_sanity_val_steps": 0,
        }
    )


def column(run: str, name: str) -> list[float]:
    found = []
    for table in sorted(Path("runs", run, "csv").glob("version_*/metrics.csv")):
        with table.open() as file:
            found += [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    return found


@pytest.mark.slow
def test_regions_are_measured_in_validation_and_test(path: str) -> None:
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    for name in NAMES:
        assert len(column("whole", f"val/{name}")) == 2, name
    assert not column("whole", "train/iou")
    arguments = ["test", "--config", path, "--run", "whole", "--ckpt_path", "last"]
    assert main(arguments) == 0
    told = json.loads(Path("runs/whole/test.json").read_text())
    assert {f"test/{name}" for name in NAMES} <= set(told)
    assert told["objects"]["iou_r"]["count"] == 24 * 3 * 2
    assert told["objects"]["iou_r"]["value"] == pytest.approx(told["test/iou_r"])
    assert told["classes"]["top1"]["value"] == pytest.approx(told["test/top1"])
    assert told["classes"]["clips"] == sum(map(sum, told["classes"]["confusion"])) == 24
    assert len(told["labels"]) == len(told["classes"]["per_class"]) == 4
    # without the parts nothing is measured
    assert main([*arguments, "--model.metrics", "[]"]) == 0
    told = json.loads(Path("runs/whole/test.json").read_text())
    assert set(told) == {"test/loss", "test/top1", "labels"}


@pytest.mark.slow
def test_stopped_in_a_validation_and_resumed_is_the_run_left_alone(path: str) -> None:
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    stop = ["--trainer.callbacks+=measured_by_a_user.Stop"]
    assert main(["fit", "--config", path, *stop]) == 143
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    for name in NAMES:
        assert column("small", f"val/{name}") == column("whole", f"val/{name}"), name


@pytest.mark.slow
def test_two_processes_measure_what_one_does(path: str) -> None:
    arguments = ["test", "--config", path]
    assert main([*arguments, "--run", "one"]) == 0
    options = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    command = [sys.executable, "-m", "stgraph", *arguments, "--run", "two", *options]
    with subprocess.Popen(command, start_new_session=True) as processes:
        try:
            assert processes.wait(timeout=200) == 0
        finally:
            if processes.poll() is None:
                os.killpg(processes.pid, signal.SIGKILL)
    one, two = (json.loads(Path(f"runs/{run}/test.json").read_text()) for run in ("one", "two"))
    assert two["classes"] == one["classes"]
    assert two["objects"]["frames"] == one["objects"]["frames"]
    for name in NAMES:
        assert two[f"test/{name}"] == pytest.approx(one[f"test/{name}"], rel=1e-5), name


def test_a_schedule_may_wait_for_what_is_measured(path: str) -> None:
    plateau = ["--model.schedule=stgraph.training.Plateau"]
    options = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1"]
    assert (
        main(["fit", "--config", path, *plateau, "--model.schedule.monitor=val/iou", *options]) == 0
    )


def test_metrics_are_parts(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = ["--model.metrics+=stgraph.metrics.running.Objects", "--model.metrics.threshold=0.2"]
    options = ["--trainer.fast_dev_run=1"]
    assert main(["test", "--config", path, *part, *options]) == 0
    assert not Path("runs/small/test.json").exists()
    wrong = ["--model.metrics+=torch.nn.Identity"]
    with pytest.raises(SystemExit, match="2"):
        main(["test", "--config", path, *wrong, *options])
    assert "metrics" in capsys.readouterr().err
