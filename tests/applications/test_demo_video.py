"""The demonstration on files of videos: what it describes can be run, and what it ends with."""

from __future__ import annotations

import json
from pathlib import Path

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


@pytest.mark.parametrize("name", ["epochs", "unseen"])
def test_wrong_numbers_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        demo_video.run(str(tmp_path), **{name: 0})


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
