"""The demonstration on files of videos: what it describes can be run, and what it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stgraph.applications import demo_video
from stgraph.checks import InputError
from stgraph.datasets import sklearn_digits
from stgraph.datasets.videos.made_something import make_something
from stgraph.runs.command import Command

pytest.importorskip("av")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    digits = sklearn_digits("train"), sklearn_digits("test")
    return make_something(tmp_path_factory.mktemp("made") / "set", *digits, (4, 3, 2))


@pytest.mark.parametrize("nodes", demo_video.MODELS.values())
def test_its_configuration_is_a_run_on_the_files(nodes: str, root: Path, tmp_path: Path) -> None:
    config = demo_video.configuration(root, nodes, epochs=3, seed=0)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    command = Command(["fit", "--config", str(path), "--runs", str(tmp_path)], run=False)
    data, size, frames = command.datamodule, demo_video.SIZE, demo_video.FRAMES
    assert data.train[0]["video"].shape == (frames, 3, size, size)
    whole = data.val[0]
    assert whole["box"].shape == (frames, 2, 4)
    assert whole["present"].any(0).all()
    assert data.test[0]["video"].shape == (6, frames, 3, size, size)
    assert data.test[0]["box"].shape == (6, frames, 2, 4)
    answer = command.model.answer({"video": whole["video"][None]})
    assert answer.logits.shape == (1, 4)
    assert answer.graph.num_graphs == frames


def test_both_models_are_one_but_for_where_regions_are(root: Path) -> None:
    following, still = (
        demo_video.configuration(root, nodes, 3, 0) for nodes in demo_video.MODELS.values()
    )
    told = [one["model"]["model"]["init_args"].pop("nodes") for one in (following, still)]
    assert told[0] != told[1]
    assert following == still


def test_the_best_guess_is_the_share_of_the_most_frequent_label(root: Path) -> None:
    assert demo_video._most_frequent(root) == 1 / 3  # of three videos, no two of one label


@pytest.mark.parametrize(("name", "number"), [("epochs", 0), ("unseen", 0), ("clips", 1)])
def test_wrong_numbers_are_named(name: str, number: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        demo_video.run(str(tmp_path), **{name: number})


def test_it_trains_as_the_small_demonstration_does(root: Path) -> None:
    config = demo_video.configuration(root, "following_regions", 3, 5)
    model, data = config["model"], config["data"]
    expected = {"lr": 0.005, "betas": [0.9, 0.98], "weight_decay": 0.01}
    assert model["optimizer"]["init_args"] == expected
    assert model["schedule"]["init_args"] == {"warmup": 0.1}
    trainer = {"max_epochs": 3, "gradient_clip_val": 1.0, "limit_val_batches": 0}
    assert config["trainer"] == trainer
    assert (data["batch_size"], data["num_workers"]) == (32, 1)
    assert config["seed_everything"] == data["seed"] == 5
    crops = data["train"]["init_args"]["clips"]["init_args"]["crops"]["init_args"]
    assert crops == {"size": 48, "scales": [1.0]}
    assert demo_video.FRAMES == 8


@pytest.mark.parametrize("begun", [False, True])
def test_its_commands_follow_each_other(
    begun: bool,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(demo_video, "make_something", lambda *told: asked.append(told[3:]) or root)
    for model, top1 in (("following", 0.9), ("still", 0.25)):
        folder = tmp_path / model / "checkpoints"
        folder.mkdir(parents=True)
        if begun:
            (folder / "last.ckpt").touch()
        following = top1 > 0.5
        found = {"test/top1": top1, "test/iou": 0.5 if following else None}
        found |= {"test/l2_r": 0.1} if following else {}
        (tmp_path / model / "test.json").write_text(json.dumps(found))
    stages: list[Any] = []
    monkeypatch.setattr(demo_video, "_stage", lambda what, words: stages.append(words) or 20.0)
    path = demo_video.run(str(tmp_path), 3, epochs=2, clips=7, unseen=4, digits="sklearn")
    assert asked == [((7, 4, 4), 3)]
    fits, tests, last = stages
    end = ["--ckpt_path", "last"] if begun else []
    assert [words[0] for words in fits + tests] == ["fit", "fit", "test", "test"]
    assert all(words[7:] == end for words in fits)
    assert all(words[7:] == ["--ckpt_path", "last"] for words in tests)
    extract, show = last
    assert (extract[0], show[0]) == ("extract", "show")
    assert show[show.index("--video") + 1].endswith("/8.webm")  # the first one that is unseen
    results = json.loads(path.read_text())
    assert (results["chance"], results["best_without_motion"]) == (0.25, 1 / 3)
    assert results["seconds"] | {"make": 0} == {
        **{"make": 0, "fit": 20, "test": 20, "extract and show": 20},
    }
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "== making 15 videos"
    rows = [line.split() for line in printed if line[34:35] == " "]
    assert ["right,", "of", "unseen", "videos", "0.900", "0.250"] in rows
    assert ["best", "guess", "without", "motion", "0.333", "0.333"] in rows
    assert not [row for row in rows if row[0] in ("digit", "IoU")]  # one has no such number
    assert f"all of it took {sum(results['seconds'].values()):.0f} s" in printed


@pytest.mark.parametrize(("cores", "share"), [(8, "4"), (3, "1"), (1, "1"), (None, "1")])
def test_commands_share_the_cores(
    cores: int | None, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    class Done:
        returncode = 0

        def __init__(self, words: list[str], env: dict[str, str], **_: Any) -> None:
            given.append(env["OMP_NUM_THREADS"])

        def communicate(self) -> tuple[str, None]:
            return "", None

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(demo_video.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(demo_video.subprocess, "Popen", Done)
    assert demo_video._stage("nothing", [["a"], ["b"]]) < 5
    assert given == [share] * 2
    assert demo_video._stage("nothing", []) < 5


def test_commands_beside_one_that_is_interrupted_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    class Running:
        def __init__(self, words: list[str], **_: Any) -> None:
            self.number = int(words[-1])

        def communicate(self) -> None:
            raise KeyboardInterrupt

        def poll(self) -> int | None:
            return 0 if self.number == 1 else None

        def terminate(self) -> None:
            ended.append(self.number)

        def wait(self) -> None:
            ended.append(-self.number)

    monkeypatch.setattr(demo_video.subprocess, "Popen", Running)
    with pytest.raises(KeyboardInterrupt):
        demo_video._stage("nothing", [["1"], ["2"], ["3"]])
    assert ended == [2, -2, 3, -3]


@pytest.mark.slow
def test_a_command_that_fails_says_why(capfd) -> None:
    with pytest.raises(RuntimeError, match=r"nowhere\.yaml"):
        demo_video._stage("nothing", [["fit", "--config", "nowhere.yaml"]])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_motion_is_found_by_regions_that_follow(tmp_path: Path) -> None:
    path = demo_video.run(str(tmp_path / "demo"), digits="sklearn")
    results = json.loads(path.read_text())
    following, still = (results["test"][model]["test/top1"] for model in demo_video.MODELS)
    assert results["best_without_motion"] == 0.25
    assert following > 0.8
    assert following > still + 0.3
    assert (path.parent / "video.html").stat().st_size > 10_000
    sheet = json.loads((path.parent / "graphs/datasheet.json").read_text())
    assert sheet
    for part in ("make", "fit", "test"):
        assert results["seconds"][part] > 0
    again = demo_video.run(str(tmp_path / "demo"), digits="sklearn")  # nothing is trained again
    assert json.loads(again.read_text())["test"] == results["test"]
