"""``stgraph extract`` as a command, and in processes that are killed or work together."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.applications.extract import _configuration, run
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets.graphs import InMemoryGraphs
from stgraph.runs.command import Command


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("raw/*")}


WAITING = """
import os, time
from pathlib import Path
from stgraph.datasets import SyncMNIST


class Waiting(SyncMNIST):
    def batch(self, indices, device="cpu"):
        if int(indices[-1]) >= int(os.environ.get("STOP", 1000)):
            Path(f"waiting_{os.getpid()}").touch()
            time.sleep(600)
        return super().batch(indices, device)
"""


ONE_BY_ONE = """
import torch
from torch.utils.data import Dataset


class Clips(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"video": torch.zeros(2, 1, 8, 8), "label": index % 2}
"""
STAGES = ("train", "val", "test")


@pytest.fixture
def trained(config: Callable[..., str], tmp_path: Path) -> list[str]:
    """The options of an extraction from a run of a small model, and of its data."""
    (tmp_path / "clips_of_a_user.py").write_text(WAITING, encoding="utf-8")
    digits = {"class_path": "stgraph.datasets.sklearn_digits"}
    sizes = {"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32}
    arguments = {"digits": digits, **sizes, "length": 30}
    dataset = {"class_path": "clips_of_a_user.Waiting", "init_args": arguments}
    changes = {f"data.{stage}": dataset for stage in STAGES}
    path = config({**changes, "model.model": {"class_path": "stgraph.recipes.dyreg_small"}})
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    ckpt = "runs/small/checkpoints/last.ckpt"
    return ["--ckpt", ckpt, "--shard_clips=6", "--data.eval_batch_size=4", "--graphs=clips"]


@pytest.mark.slow
def test_the_command(
    trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", *trained, "--out", "graphs/test"]) == 0
    assert "wrote graphs/test: 30 graphs of 30 clips\n" in capsys.readouterr().out
    facts = json.loads(Path("graphs/test/datasheet.json").read_text())
    made = facts["made"]
    assert made["command"].startswith("stgraph extract --ckpt runs/small/checkpoints/last.ckpt")
    assert made["command"].endswith("--graphs clips --shard_clips 6 --data.eval_batch_size=4")
    assert facts["counts"]["shards"] == 5
    assert facts["plan"]["clips"]["batch_size"] == 4
    assert facts["plan"]["configuration"]["data"]["init_args"]["eval_batch_size"] == 4
    assert made["command"] in Path("graphs/test/README.md").read_text()
    again = shlex.split(made["command"])[1:]
    again[again.index("--out") + 1] = "graphs/again"
    assert main(again) == 0
    assert contents(Path("graphs/again")) == contents(Path("graphs/test"))
    assert sorted(path.name for path in Path("graphs/test").iterdir()) == [
        "README.md",
        "datasheet.json",
        "raw",
    ]
    assert main(["extract", *trained, "--ckpt", "runs/small", "--out", "graphs/run"]) == 0
    file = json.loads(Path("graphs/run/datasheet.json").read_text())["made"]["checkpoint"]["file"]
    assert file == "runs/small/checkpoints/best.ckpt"
    for wrong, told in (
        (["--out=graphs/test", "--split=train"], "out: expected split"),
        (["--out=graphs/test", "--data.eval_batch_size=3"], "batch_size 4, "),
        (["--out=other", "--split=predict", "--data.colour=red"], "colour"),
        (["--out=other", "--ckpt=none.ckpt"], "ckpt: expected a checkpoint, got none.ckpt"),
        (["--out=other", "--ckpt=graphs"], "ckpt: expected a checkpoint, got graphs, which has no"),
        (["--out=other", "--config=none.yaml"], "config: expected the configuration"),
        (["--out=config.yaml"], "out: expected a folder that can be written to"),
    ):
        capsys.readouterr()
        try:
            status: object = main(["extract", *trained, *wrong])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr().err.splitlines()[-1]
        assert status == 2
        assert told in said
    assert not Path("other").exists()


@pytest.mark.slow
def test_options_of_an_extraction_reach_the_data_set(trained: list[str]) -> None:
    words = ["--split=train", "--graphs=frames", "--features=processed", "--attention=none"]
    words += ["--kernel=true", "--half=true", "--on_error=skip", "--shard_clips=7"]
    assert main(["extract", *trained, *words, "--out", "graphs/train"]) == 0
    facts = json.loads(Path("graphs/train/datasheet.json").read_text())
    plan, command = facts["plan"], facts["made"]["command"]
    assert (plan["split"], plan["on_error"], plan["shard_clips"]) == ("train", "skip", 7)
    assert plan["wanted"] == {
        **{"graphs": "frames", "features": "processed", "place": None},
        **{"attention": "none", "kernel": True, "half": True},
    }
    for word in ("--split train", "--features processed", "--attention none", "--on_error skip"):
        assert word in command
    graph = InMemoryGraphs("graphs/train")[0]
    for kept in (graph.x, graph.kernel):
        assert torch.equal(kept, kept.half().float())
    assert "edge_attr" not in graph
    with pytest.raises(InputError, match="place: expected one with a graph"):
        run(trained[1], "graphs/other", place="nowhere")


def test_who_loads_the_clips_changes_no_graphs(config: Callable[..., str]) -> None:
    """What describes a data set leaves out who loads its clips, so others may go on with it."""
    Path("clips_one_by_one.py").write_text(ONE_BY_ONE, encoding="utf-8")
    path = config({f"data.{stage}": "clips_one_by_one.Clips" for stage in STAGES})

    def told(*options: str) -> dict[str, Any]:
        return _configuration(Command(["predict", "--config", path, *options], run=False))

    assert told("--data.num_workers=2") == told()
    assert told("--data.eval_batch_size=3") != told()
    assert told("--model.scale=stgraph.training.raw") != told()


def start(trained: list[str], out: str, processes: int, stop: int) -> subprocess.Popen[bytes]:
    options = [f"--trainer.devices={processes}", "--trainer.accelerator=cpu"]
    options += ["--trainer.strategy=ddp"] if processes > 1 else []
    command = [sys.executable, "-m", "stgraph", "extract", *trained, "--out", out, *options]
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, "STOP": str(stop)})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_runs_and_two_processes_end_where_one_run_ends(
    trained: list[str], same: Callable[..., bool]
) -> None:
    """SIGKILL to one process, and to two; then two of them go on to the end."""
    for processes, stop in ((1, 14), (2, 20)):
        with start(trained, "graphs/parts", processes, stop) as running:
            try:
                end = time.monotonic() + 200
                while len(list(Path().glob("waiting_*"))) < 1 and running.poll() is None:
                    assert time.monotonic() < end
                    time.sleep(0.05)
                time.sleep(0.5)
            finally:
                os.killpg(running.pid, signal.SIGKILL)
        assert running.returncode == -signal.SIGKILL
        for path in Path().glob("waiting_*"):
            path.unlink()
        with pytest.raises(InputError, match="completed"):
            InMemoryGraphs("graphs/parts")
    done = len(list(Path("graphs/parts/raw").glob("*.pt")))
    assert 1 <= done < 5
    with start(trained, "graphs/parts", 2, 1000) as running:
        try:
            assert running.wait(timeout=200) == 0
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    assert main(["extract", *trained, "--out", "graphs/whole", "--trainer.accelerator=cpu"]) == 0
    whole = contents(Path("graphs/whole"))
    assert len(whole) == 7  # five shards, and the lists of them and of what was left out
    assert contents(Path("graphs/parts")) == whole
    graphs = InMemoryGraphs("graphs/whole")
    assert graphs.clip.tolist() == list(range(30))
    assert all(map(same, graphs, InMemoryGraphs("graphs/parts")))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_that_torchrun_starts_share_the_shards(trained: list[str]) -> None:
    assert main(["extract", *trained, "--out", "graphs/whole", "--trainer.accelerator=cpu"]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    options = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [*launcher, "-m", "stgraph", "extract", *trained, "--out", "graphs/two", *options]
    with subprocess.Popen(command, start_new_session=True) as running:
        try:
            assert running.wait(timeout=200) == 0
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    assert contents(Path("graphs/two")) == contents(Path("graphs/whole"))
    assert len(InMemoryGraphs("graphs/two")) == 30
