from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from stgraph.applications import predict
from stgraph.applications.answers import Answered, Latency
from stgraph.applications.predict import _device, _latencies, _step, entries_of
from stgraph.applications.trained import trained
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets.videos import (
    CentreClips,
    Crops,
    EvenFrames,
    ProtocolClips,
    Segments,
    VideoFolder,
)
from stgraph.recipes import dyreg_small
from stgraph.training import ClassificationModule

pytest.importorskip("av")
pytest.importorskip("PIL.Image")

DIGITS = {
    "class_path": "stgraph.datasets.SyncMNIST",
    "init_args": {
        "digits": {"class_path": "stgraph.datasets.sklearn_digits"},
        **{"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32, "length": 8},
    },
}
MODEL = {"class_path": "stgraph.recipes.dyreg_small"}


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Path]:
    """A run's folder: a configuration and a checkpoint of weights that nobody has trained."""

    def write(data: Any = None, module: ClassificationModule | None = None, **model: Any) -> Path:
        torch.manual_seed(0)
        folder = tmp_path / "run"
        (folder / "checkpoints").mkdir(parents=True)
        data = {
            "class_path": "stgraph.training.ClipData",
            "init_args": {"test": DIGITS},
            **(data or {}),
        }
        described = {"model": {"model": MODEL, **model}, "data": data}
        (folder / "config.yaml").write_text(yaml.safe_dump(described))
        module = ClassificationModule(dyreg_small()) if module is None else module
        saved = {"state_dict": module.state_dict(), "pytorch-lightning_version": "2.6.0"}
        torch.save(saved, folder / "checkpoints" / "best.ckpt")
        return folder

    return write


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_videos_files_folders_and_lists_are_answered(
    run_of, video_file, frame_folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_of()
    one = video_file(tmp_path / "clips" / "a.mp4")
    video_file(tmp_path / "clips" / "inner" / "b.mkv")
    frame_folder(tmp_path / "images")
    (tmp_path / "list.txt").write_text("# three\nclips/a.mp4\nimages\nclips/none.mp4\n")
    (tmp_path / "clips" / "bad.mp4").write_bytes(b"bad")
    words = [str(tmp_path / name) for name in ("clips", "images", "list.txt")]
    options = ["--video", *words, "--ckpt", str(folder), "--device=cpu"]
    assert main(["predict", *options]) == 1  # two cannot be read
    printed, said = capsys.readouterr()
    rows = {row["video"]: row for row in lines(printed)}
    assert list(rows) == ["a.mp4", "bad.mp4", "inner/b.mkv", "images", "clips/none.mp4"]
    assert "bad.mp4" in rows["bad.mp4"]["error"]
    assert "none.mp4" in rows["clips/none.mp4"]["error"]
    assert "5 of 5 videos, 2 of them bad" in said
    assert "p50" in said
    assert "the model is causal" in said
    answer = rows["a.mp4"]
    made = trained(folder)
    clip = VideoFolder(tmp_path, made.rule, classes=["clips"])[0]["video"]
    with torch.no_grad():
        logits = made.module(made.coloured(clip)[None]).logits[0]
    assert answer["answer"] == int(logits.argmax())
    assert answer["class"] == made.label_names[int(logits.argmax())]
    assert answer["probability"] == pytest.approx(float(logits.softmax(0).max()), abs=6e-7)
    assert answer["frames"] == 4
    assert one.exists()


def test_clips_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
        (tmp_path / folder / "list.csv").write_text("path,end,name\na.mp4,2,clip\n")
    (tmp_path / "y" / "b.mp4").touch()
    words = [f"{tmp_path}/{word}" for word in ("x/a.mp4", "y", "x/list.csv", "y/list.csv")]
    assert [entry.name for entry in entries_of(words)] == [
        f"{tmp_path}/x/a.mp4",
        f"{tmp_path}/y/a.mp4",
        "b.mp4",
        f"{tmp_path}/x/a.mp4@0-2.0",
        f"{tmp_path}/y/a.mp4@0-2.0",
    ]


def test_answers_over_time_are_written_as_a_table(run_of, video_file, tmp_path, capsys) -> None:
    folder, path = run_of(), video_file(tmp_path / "a.mp4", frames=25)
    out = tmp_path / "steps.csv"
    options = ["--steps=true", "--rate=5", f"--out={out}", "--device=cpu"]
    assert main(["predict", "--video", str(path), "--ckpt", str(folder), *options]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [int(row["frames"]) for row in rows] == [1, 2, 3, 4, 5]
    assert all(float(row["milliseconds"]) > 0 for row in rows)
    assert "whole videos, piece by piece" in capsys.readouterr().err


def test_options_of_a_prediction_reach_the_model(run_of, video_file, tmp_path, capsys) -> None:
    """Another configuration, frames and size; several frames at a time."""
    folder, path = run_of(), video_file(tmp_path / "a.mp4", frames=7)
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content["data"]["init_args"]["test"]["init_args"]["frames"] = 3
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(content))
    start = ["predict", "--video", str(path), "--ckpt", str(folder), "--device=cpu"]

    def answers(*options: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main([*start, *options]) == 0
        return lines(capsys.readouterr().out)

    (usual,) = answers()
    (fewer,) = answers("--frames=2")
    (larger,) = answers("--size=64")
    (moved,) = answers("--config", str(tmp_path / "other.yaml"))
    assert [one["frames"] for one in (usual, fewer, larger, moved)] == [4, 2, 4, 3]
    assert len({one["probability"] for one in (usual, fewer, larger, moved)}) == 4
    whole = answers("--rate=0", "--piece=3", "--steps=true")
    assert [one["frames"] for one in whole] == [3, 6, 7]
    (last,) = answers("--rate=0", "--piece=3")
    assert last["frames"] == 7
    assert last["probability"] == pytest.approx(whole[-1]["probability"], abs=2e-6)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_bad_video_among_steps_says_why(kind, run_of, video_file, tmp_path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    video_file(tmp_path / "good.mp4", frames=5)
    out = tmp_path / f"steps.{kind}"
    words = [str(tmp_path / name) for name in ("bad.mp4", "good.mp4")]
    options = ["--steps=true", "--rate=0", f"--out={out}", "--device=cpu"]
    assert main(["predict", "--video", *words, "--ckpt", str(run_of()), *options]) == 1
    text = out.read_text()
    rows = lines(text) if kind == "jsonl" else list(csv.DictReader(text.splitlines()))
    assert "bad.mp4" in rows[0]["error"]
    assert [int(row["frames"]) for row in rows[1:]] == [1, 2, 3, 4, 5]
    assert not any(row.get("error") for row in rows[1:])


@pytest.mark.slow
def test_a_camera_is_answered_line_by_line(run_of, capsys) -> None:
    options = ["--ckpt", str(run_of()), "--device=cpu"]
    camera = "camera:lavfi:testsrc=size=64x48:rate=10:duration=2,realtime"
    assert main(["predict", "--video", camera, *options]) == 0
    printed, said = capsys.readouterr()
    rows = lines(printed)
    assert [row["frames"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["seconds"] == pytest.approx(1.9)
    assert rows[-1]["frames"] + rows[-1]["dropped"] == 20  # each was seen or counted
    assert f"{rows[-1]['dropped']} dropped" in said
    assert main(["predict", "--video", camera, *options, "--seconds=0.5", "--piece=2"]) == 0
    rows = lines(capsys.readouterr().out)
    assert all(row["seconds"] < 0.5 for row in rows)
    assert main(["predict", "--video", camera, *options, "--rate=2"]) == 0
    rows = lines(capsys.readouterr().out)
    assert {row["seconds"] for row in rows} <= {0.0, 0.5, 1.0, 1.5}
    assert rows[-1]["frames"] + rows[-1]["dropped"] == 4


def test_live_answers_replace_what_a_file_held_before(run_of, tmp_path: Path) -> None:
    out = tmp_path / "live.jsonl"
    out.write_text("of an earlier prediction\n")
    camera = "camera:lavfi:testsrc=size=64x48:rate=10:duration=0.2,realtime"
    options = ["--ckpt", str(run_of()), f"--out={out}", "--device=cpu"]
    assert main(["predict", "--video", camera, *options]) == 0
    assert lines(out.read_text())[0]["frames"] == 1
    table = tmp_path / "live.csv"
    options[-2] = f"--out={table}"
    assert main(["predict", "--video", camera, *options]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert rows[0]["frames"] == "1"
    assert {"video", "class", "seconds", "dropped"} <= rows[0].keys()


@pytest.mark.slow
def test_ctrl_c_ends_in_order(run_of, video_file, tmp_path: Path) -> None:
    """What is done is in the file, whole lines of it, and the status is that of shells."""
    folder = run_of()
    path = video_file(tmp_path / "a.mp4", frames=30)
    names = []
    for number in range(3000):
        names.append(f"{number}.mp4")
        (tmp_path / names[-1]).hardlink_to(path)
    (tmp_path / "all.txt").write_text("\n".join(names))
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "stgraph", "predict", "--video", str(tmp_path / "all.txt")]
    command += ["--ckpt", str(folder), "--out", str(out), "--rate=0", "--device=cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not any(part.stat().st_size for part in tmp_path.glob(".*.part")):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = lines(out.read_text())
    assert 0 < len(rows) < 3000
    assert f"{len(rows)} of 3000 videos" in said
    assert "ended by SIGINT" in said
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_bad_video(run_of, video_file, tmp_path: Path) -> None:
    paths = [str(video_file(tmp_path / f"{k}.mp4", frames=5)) for k in range(3)]
    command = [sys.executable, "-m", "stgraph", "predict", "--ckpt", str(run_of())]
    with subprocess.Popen(
        [*command, "--video", *paths], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 141
    assert told.splitlines()[-1] == "stgraph predict: nobody reads its output any more"
    assert "Traceback" not in told


def test_what_cannot_be_written_is_no_bad_video(
    run_of, video_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    path = video_file(tmp_path / "a.mp4", frames=5)

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["predict", "--ckpt", str(run_of()), "--video", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == "stgraph predict: error: No space left on device"
    assert "bad" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "out",
    [
        "answers.csv",
        "live.jsonl",
        pytest.param("page.html", marks=pytest.mark.long),
        "graphs",
        "facts.json",
    ],
)
def test_a_full_disk_is_told_in_a_line_and_leaves_nothing_half_written(
    out: str, run_of, video_file, tmp_path: Path
) -> None:
    """Of each command that writes, in a process whose files may not grow."""
    resource = pytest.importorskip("resource")
    run = ["--ckpt", str(run_of())]
    path = str(video_file(tmp_path / "clips" / "a" / "a.mp4", frames=5))
    camera = "camera:lavfi:testsrc=size=64x48:rate=50:duration=2"
    command = {
        "answers.csv": ["predict", *run, "--video", *[path] * 2, "--rate=0", "--steps=true"],
        "live.jsonl": ["predict", *run, "--video", camera, "--rate=0"],
        "page.html": ["show", *run, "--video", path],
        "graphs": ["extract", *run],
        "facts.json": ["inspect", path],
    }[out]
    most = 200 if out != "live.jsonl" else 50  # the first line: a second one may be dropped
    done = subprocess.run(
        [sys.executable, "-m", "stgraph", *command, "--out", str(tmp_path / "out" / out)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # a .pyc would be cut off, too
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith(f"stgraph {command[0]}: error: ")
    assert last.endswith("File too large")
    assert out in last
    assert "Traceback" not in done.stderr
    left = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert [one.name for one in left] == (["live.jsonl"] if out == "live.jsonl" else [])
    for one in left:  # which is written as it goes
        assert one.read_text().endswith("}\n") or not one.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_the_output_is_told(video_file, tmp_path: Path) -> None:
    path = str(video_file(tmp_path / "a.mp4", frames=5))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stgraph", "inspect", path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.endswith("inspect: error: No space left on device\n")


def test_a_rule_is_known_where_its_videos_are_gone(run_of, video_file, tmp_path: Path) -> None:
    clips = {
        "class_path": "stgraph.datasets.videos.CentreClips",
        "init_args": {
            "sampler": {
                "class_path": "stgraph.datasets.videos.Segments",
                "init_args": {"frames": 3},
            },
            "crops": {
                "class_path": "stgraph.datasets.videos.Crops",
                "init_args": {"size": 40, "side": 48},
            },
        },
    }
    kind = "stgraph.datasets.videos.VideoFolder"
    test = {"class_path": kind, "init_args": {"root": str(tmp_path / "clips"), "clips": clips}}
    data = {"class_path": "stgraph.training.ClipData", "init_args": {"test": test}}
    folder = run_of(data)
    gone = trained(folder)
    assert gone.rule == CentreClips(Segments(3), Crops(1, 40, 48))
    assert gone.label_names == ()
    assert gone.name(7) == "7"
    for name in ("left", "right"):
        video_file(tmp_path / "clips" / name / "a.mp4")
    there = trained(folder)
    assert there.rule == gone.rule
    assert [there.name(label) for label in (0, 1, 2)] == ["left", "right", "2"]
    with pytest.raises(InputError, match="size: expected"):
        trained(folder, size=0)
    changed = trained(folder, frames=5, size=20)
    assert changed.rule == CentreClips(Segments(5), Crops(1, 20, 24))


def test_a_rule_to_train_by_is_known_with_all_its_parts(run_of, tmp_path: Path) -> None:
    """Parts that are dataclasses too, as the command line takes them; and nothing is drawn."""
    name = "stgraph.datasets.videos"
    parts = {
        "sampler": {"class_path": f"{name}.EvenFrames", "init_args": {"frames": 3}},
        "crops": {"class_path": f"{name}.RandomCrops", "init_args": {"size": 28, "side": 32}},
        "flips": {"class_path": f"{name}.Flips", "init_args": {"chance": 0.25}},
        "colours": {"class_path": f"{name}.Brightness", "init_args": {"most": 0.2}},
    }
    clips = {"class_path": f"{name}.TrainClips", "init_args": parts}
    train = {"class_path": f"{name}.VideoFolder", "init_args": {"root": "gone", "clips": clips}}
    made = trained(
        run_of({"class_path": "stgraph.training.ClipData", "init_args": {"train": train}})
    )
    assert made.rule == ProtocolClips(EvenFrames(3), Crops(1, 28, 32))


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [(True, "auto", "cuda"), (False, "auto", "cpu"), (True, "cuda", "cuda"), (True, "cpu", "cpu")],
)
def test_a_gpu_is_taken_if_there_is_one(
    there: bool, name: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert _device(name) == found
    if not there:
        with pytest.raises(InputError, match="device: expected cpu: there is no GPU"):
            _device("cuda")


def test_numbers_of_an_answer_are_rounded() -> None:
    made: Any = SimpleNamespace(name="class {}".format)
    answered = Answered(torch.tensor([0.123456789, 0.876543211]).double(), 4, 1.23456, 0.0123456)
    row = _step(made, "a", answered)
    assert row == {
        **{"video": "a", "answer": 1, "class": "class 1", "probability": 0.876543},
        **{"frames": 4, "seconds": 1.235, "milliseconds": 12.346},
    }
    latency = Latency()
    for seconds in [0.01] * 98 + [0.5] * 2:
        latency.add(seconds)
    told = re.fullmatch(r"latency of 100 answers: p50 (.*) ms, p99 (.*) ms", _latencies(latency))
    assert told is not None
    assert [float(told[k]) for k in (1, 2)] == pytest.approx([10, 500], rel=0.02)


def test_the_pace_of_a_live_video_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Live(nullcontext):  # type: ignore[type-arg]
        source, dropped = "a camera", 3

    seconds = [100.0]

    def answers(*_: Any) -> Iterator[Answered]:
        seconds[0] = 104.0
        yield Answered(torch.tensor([0.5, 0.5]), 12, 1.0, 0.25)

    monkeypatch.setattr(predict, "_warm_up", lambda *_: None)
    monkeypatch.setattr(predict, "answer_frames", answers)
    monkeypatch.setattr(predict.time, "monotonic", lambda: seconds[0])
    made: Any = SimpleNamespace(name=str)
    predict.predict_live(made, Live(), str(tmp_path / "a.jsonl"))  # type: ignore[arg-type]
    assert "12 frames, 3.0 a second, 3 dropped; latency of 1 " in capsys.readouterr().err


def test_without_data_the_frames_must_be_said(run_of) -> None:
    folder = run_of({"init_args": {}})
    with pytest.raises(InputError, match="frames and size"):
        trained(folder)
    with pytest.raises(InputError, match="size"):
        trained(folder, frames=4)
    made = trained(folder, frames=4, size=32)
    assert isinstance(made.rule, ProtocolClips)
    assert made.rule.frames(100, None).shape == (1, 4)
    assert made.channels == 1  # as its first convolution takes


def test_a_model_of_hints_is_refused(run_of) -> None:
    with pytest.raises(InputError, match="told nothing beside the video"):
        trained(run_of(hints={"boxes": "box"}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--video", "camera", "a.mp4"], "one live video, or files"),
        (["--video", "VIDEO", "--piece=2"], "piece: expected 1"),
        (["--video", "VIDEO", "--seconds=2"], "seconds: expected none"),
        (["--video", "VIDEO", "--rate=-1"], "rate: expected"),
        (["--video", "VIDEO", "--out=a.txt"], "suffix of out"),
        (["--video", "VIDEO", "--frames=0"], "frames: expected"),
        (["--video", "camera:lavfi:nothing"], "a lavfi that FFmpeg opens"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_told(
    options, said, run_of, video_file, tmp_path, capsys
) -> None:
    path = str(video_file(tmp_path / "a.mp4"))
    words = [path if word == "VIDEO" else word for word in options]
    assert main(["predict", *words, "--ckpt", str(run_of())]) == 2
    assert said in capsys.readouterr().err


def children(process: int) -> list[str]:
    """What the threads of a process have started."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def reading(process: int, folder: Path) -> bool:
    """Whether a process, or one that it has started, has a video of a folder open."""
    for one in (process, *children(process)):
        try:
            links = [str(link.readlink()) for link in Path(f"/proc/{one}/fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith(str(folder)) for link in links):
            return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["show", "inspect"])
def test_a_signal_ends_a_command_and_all_that_it_started(
    run_of, video_file, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    path, videos = video_file(tmp_path / "a.mp4", frames=300, size=(320, 240)), tmp_path / "videos"
    videos.mkdir()
    for place in range(200):
        (videos / f"{place:03d}.mp4").hardlink_to(path)
    out = tmp_path / "out" / "result"
    options = ["inspect", str(videos), "--processes=2", f"--out={out}"]
    if command == "show":
        options = ["show", "--ckpt", str(run_of()), "--video", str(videos), "--count=200"]
        options += ["--frames=100", f"--out={out}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stgraph", *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + 100
        while not reading(process.pid, videos):
            assert process.poll() is None
            assert time.monotonic() < end
        listed = children(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == f"stgraph {command}: ended by {number.name}"
    assert "Traceback" not in said
    assert not out.parent.exists() or not list(out.parent.iterdir())
    for child in listed:  # none of which waits for anybody
        assert not Path(f"/proc/{child}").exists()
