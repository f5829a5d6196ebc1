"""Runs on video files: what they leave, and that a killed one goes on as if it had not been."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from stgraph.applications.trained import trained
from stgraph.cli import main
from stgraph.datasets.videos import decoder

av = pytest.importorskip("av")
Config = Callable[..., str]
NAMES = ("train/loss", "val/top1")

MODEL = """
from torch import nn

from parts_of_a_user import Answer


class Small(nn.Module):
    def __init__(self, num_classes: int = 2):
        super().__init__()
        self.num_classes = num_classes
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, num_classes)
        )

    def forward(self, video, state=None):
        return Answer(self.net(video))


class Silent(Small):
    def __init__(self):
        super().__init__(7)
        del self.num_classes
"""
VIDEOS = "stgraph.datasets.videos"
SEGMENTS = {"class_path": f"{VIDEOS}.Segments", "init_args": {"frames": 4}}


def write(path: Path, number: int) -> None:
    """A small film of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(number)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "6"})
        stream.width, stream.height, stream.pix_fmt = 40, 32, "yuv420p"
        for _ in range(9):
            pixels = random.integers(0, 256, (32, 40, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())


def dataset(clips: dict[str, Any], root: str = "clips") -> dict[str, Any]:
    options = {"root": root, "clips": clips, "on_error": f"{VIDEOS}.skip"}
    return {"class_path": f"{VIDEOS}.VideoFolder", "init_args": options}


@pytest.fixture
def films(config: Config, tmp_path: Path) -> Config:
    """A configuration of eleven films in two classes, the fourth of which is damaged."""
    for number in range(11):
        label = ("turn left", "turn right")[number % 2]
        write(tmp_path / "clips" / label / f"{number:02d}.mp4", number)
    (tmp_path / "clips" / "turn right" / "03.mp4").write_bytes(b"no film")
    (tmp_path / "model_of_a_user.py").write_text(MODEL, encoding="utf-8")
    crops = {"class_path": f"{VIDEOS}.MultiScaleCrops", "init_args": {"size": 16}}
    flips = {"class_path": f"{VIDEOS}.Flips"}
    drawn = {"sampler": SEGMENTS, "crops": crops, "flips": flips}
    middle = {"class_path": f"{VIDEOS}.Crops", "init_args": {"size": 16, "side": 18}}
    centre = {"sampler": SEGMENTS, "crops": middle}
    views = {"name": "3x2", "size": 16, "sampler": SEGMENTS}

    def make(**more: Any) -> str:
        parts = {
            "model.model": {"class_path": "model_of_a_user.Small"},
            "data.train": dataset({"class_path": f"{VIDEOS}.TrainClips", "init_args": drawn}),
            "data.val": dataset({"class_path": f"{VIDEOS}.CentreClips", "init_args": centre}),
            "data.test": dataset({"class_path": f"{VIDEOS}.protocol", "init_args": views}),
            "data.batch_size": 3,
            "trainer.num_sanity_val_steps": 0,
        }
        return config({**parts, **more})

    return make


def left_out(run: str) -> list[list[str]]:
    with Path("runs", run, "left_out.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_a_run_leaves_what_decoded_it_and_what_it_left_out(
    films: Config, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = films()
    assert main(["fit", "--config", path]) == 0
    assert "train: 1 clip left out (turn right/03.mp4), see runs/small/left_out" in caplog.text
    assert main(["test", "--config", path, "--ckpt_path", "best"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test: top-1 ")
    assert main(["predict", "--config", path, "--ckpt_path", "best"]) == 0
    noted = json.loads(Path("runs/small/decoder.json").read_text())
    assert noted == {"fit": decoder(), "test": decoder(), "predict": decoder()}
    titles, *rows = left_out("small")
    assert titles == ["stage", "epoch", "number", "clip", "why"]
    stages = [["val", "0"], ["train", "0"], ["val", "1"], ["train", "1"], ["test", ""]]
    assert sorted(row[:2] for row in rows) == sorted([*stages, ["predict", ""]])
    assert {tuple(row[2:4]) for row in rows} == {("7", "turn right/03.mp4")}
    assert all("03.mp4: expected a video that FFmpeg reads" in row[4] for row in rows)
    with Path("runs/small/predictions.csv").open(newline="") as file:
        answered = [int(row["index"]) for row in csv.DictReader(file)]
    assert answered == [n for n in range(11) if n != 7]


def test_a_damaged_film_ends_a_run_that_does_not_skip_it(
    films: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = films()
    assert main(["fit", "--config", path, f"--data.train.on_error={VIDEOS}.raise_error"]) == 2
    assert "03.mp4: expected a video that FFmpeg reads" in capsys.readouterr().err


@pytest.mark.slow
def test_classes_of_model_and_data_are_as_many(
    films: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = films()
    assert main(["fit", "--config", path, "--model.model.num_classes=5"]) == 2
    expected = "num_classes: expected 2, as many as the labels of data.train, got 5"
    assert expected in capsys.readouterr().err
    write(tmp_path / "others" / "stand" / "1.mp4", 0)
    write(tmp_path / "others" / "turn left" / "1.mp4", 0)
    assert main(["fit", "--config", path, "--data.val.root=others"]) == 2
    assert "data.val: expected the labels of data.train" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_fit_on_films_ends_where_the_whole_one_ends(films: Config, workers: int) -> None:
    path = films(**{"trainer.max_epochs": 3})
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    waiting = ["--trainer.callbacks+=parts_of_a_user.Wait", "--trainer.callbacks.step=6"]
    arguments = [sys.executable, "-m", "stgraph", "fit", "--config", path, "--keep_minutes", "0"]
    arguments += [f"--data.num_workers={workers}", *waiting]
    with subprocess.Popen(arguments) as process:
        try:
            end = time.monotonic() + 240
            while not Path("waiting").exists() and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    kept = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 6  # of 4 an epoch
    more = [f"--data.num_workers={workers}", "--ckpt_path", "last"]
    assert main(["fit", "--config", path, *more]) == 0
    whole, resumed = (
        torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "small")
    )
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert sorted(left_out("small")) == sorted(left_out("whole"))


@pytest.mark.slow
def test_a_run_is_the_same_where_frames_are_resized_on_the_device(films: Config) -> None:
    stages = ("train", "val", "test")
    rules = {}
    assert main(["fit", "--config", films(), "--run", "one"]) == 0
    described = yaml.safe_load(Path("config.yaml").read_text())["data"]
    for stage in stages:
        inner = described[stage]["init_args"]["clips"]
        rule = {"class_path": f"{VIDEOS}.OnDevice", "init_args": {"rule": inner}}
        rules[f"data.{stage}"] = dataset(rule)
    path = films(**rules)
    assert main(["fit", "--config", path, "--run", "two"]) == 0
    one, two = (
        torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert main(["test", "--config", path, "--ckpt_path", "runs/two/checkpoints/last.ckpt"]) == 0
    assert trained("runs/two").rule == trained("runs/one").rule


def damaged(root: Path) -> list[str]:
    """Four films of which none can be read, and the options of a run on them."""
    for number in range(4):
        path = root / ("turn left", "turn right")[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no film")
    return [f"--data.{stage}.root={root}" for stage in ("train", "val", "test")]


@pytest.mark.slow
@pytest.mark.parametrize("sanity", [0, 2])
def test_a_run_of_which_no_film_can_be_read_says_so(
    films: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], sanity: int
) -> None:
    path = films(**{"trainer.num_sanity_val_steps": sanity, "trainer.max_epochs": 1})
    assert main(["fit", "--config", path]) == 0
    train, val, test = damaged(tmp_path / "none")
    for command, option in (
        (["fit", "--run", "new"], train),
        (["fit", "--run", "new"], val),
        (["validate", "--ckpt_path", "best"], val),
        (["test", "--ckpt_path", "best"], test),
        (["predict", "--ckpt_path", "best"], test),
    ):
        shutil.rmtree("runs/new", ignore_errors=True)
        stage = "predict" if command[0] == "predict" else option[7:].split(".")[0]
        assert main([command[0], "--config", path, *command[1:], option]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"data.{stage}: expected clips that can be read, got none; 4 left out" in said
        assert re.search(r"left out, turn (left|right)/\d.mp4 since .*FFmpeg reads", said)


def together(*arguments: str, status: int = 0) -> None:
    """Run a command in two processes."""
    options = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [sys.executable, "-m", "stgraph", *arguments, *options]
    with subprocess.Popen(command, start_new_session=True) as running:
        try:
            assert running.wait(timeout=200) == status
        finally:
            if running.poll() is None:  # one waits for the other, which is of the same session
                os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.slow
def test_two_processes_test_each_film_once(films: Config) -> None:
    path = films(**{"data.eval_batch_size": 2})
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    command = ["test", "--config", path, "--ckpt_path", "runs/small/checkpoints/last.ckpt"]
    # Eleven films make six and five; of three, the second process has none that can be read.
    for run, root in (("all", "clips"), ("few", "few")):
        if root == "few":
            few = [("turn left", "00"), ("turn right", "03"), ("turn right", "05")]
            for label, name in few:
                Path(root, label).mkdir(parents=True, exist_ok=True)
                shutil.copy(Path("clips", label, f"{name}.mp4"), Path(root, label))
        options = [*command, f"--data.test.root={root}", "--run"]
        assert main([*options, f"{run}_one"]) == 0
        together(*options, f"{run}_two")
        one, two = (
            json.loads(Path(f"runs/{run}_{number}/test.json").read_text())
            for number in ("one", "two")
        )
        assert two["classes"] == one["classes"]
        assert two["test/top1"] == one["test/top1"]
        assert two["test/loss"] == pytest.approx(one["test/loss"], rel=1e-5)
        assert left_out(f"{run}_two") == left_out(f"{run}_one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "stage"), [pytest.param("fit", "val", marks=pytest.mark.long), ("test", "test")]
)
def test_two_processes_without_a_film_say_so(
    command: str, stage: str, films: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = films(**{"trainer.max_epochs": 1})
    together(command, "--config", path, *damaged(tmp_path / "none"), status=2)
    said = capfd.readouterr().err
    assert f"data.{stage}: expected clips that can be read, got none; 4 left out" in said
    assert "nan" not in said


@pytest.mark.slow
@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.long), 7])
def test_a_process_whose_films_are_all_damaged_makes_its_steps(
    films: Config, tmp_path: Path, classes: int
) -> None:
    """Of two films each process has one, a batch and a validation in each epoch.

    How many classes there are says the model, or none: then only its answers do.
    """
    write(tmp_path / "two" / "turn left" / "0.mp4", 0)
    (tmp_path / "two" / "turn right").mkdir()
    (tmp_path / "two" / "turn right" / "1.mp4").write_bytes(b"no film")
    options = {"data.train.root": "two", "data.val.root": "two"}
    if classes == 7:
        options["model.model"] = "model_of_a_user.Silent"
    together("fit", "--config", films(), *(f"--{name}={value}" for name, value in options.items()))
    with Path("runs/small/csv/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses, tops = ([float(row[name]) for row in rows if row[name]] for name in NAMES)
    assert len(losses) == len(tops) == 2
    assert ("train/top5" in rows[0]) == ("val/top5" in rows[0]) == (classes > 5)
    # The only film that can be read counts whole, not for a half.
    assert all(top in (0, 1) for top in tops)
    assert all(loss > 0.35 for loss in losses[:1])
    stages = [(row[0], row[1], row[3]) for row in left_out("small")[1:]]
    bad = "turn right/1.mp4"
    assert sorted(stages) == [(stage, epoch, bad) for stage in ("train", "val") for epoch in "01"]
