"""The made data set has the official layout, and is the same however often it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.datasets import sklearn_digits
from stgraph.datasets.videos import open_video
from stgraph.datasets.videos.made_something import BOXES, VIDEOS, make_something
from stgraph.datasets.videos.moving_digits import TEMPLATES, MovingDigits

pytest.importorskip("av")
COUNTS = (6, 3, 2)
SIZES = {"frames": (4, 6), "height": 40, "width": 48}


def make(root: Path, seed: int = 0) -> Path:
    return make_something(
        root, sklearn_digits("train"), sklearn_digits("test"), COUNTS, seed, **SIZES
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made") / "set")


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_the_layout_is_the_official_one(made: Path) -> None:
    labels = json.loads((made / "labels/labels.json").read_text())
    assert list(labels.values()) == [str(number) for number in range(len(TEMPLATES))]
    assert list(labels) == sorted(labels)
    train = json.loads((made / "labels/train.json").read_text())
    validation = json.loads((made / "labels/validation.json").read_text())
    test = json.loads((made / "labels/test.json").read_text())
    assert (len(train), len(validation), len(test)) == COUNTS
    for item in train + validation:
        assert list(item) == ["id", "label", "template", "placeholders"]
        assert item["template"].replace("[", "").replace("]", "") in labels
        assert all(thing in item["label"] for thing in item["placeholders"])
    assert all(list(item) == ["id"] for item in test)
    answers = (made / "labels/test-answers.csv").read_text().splitlines()
    assert [line.split(";")[0] for line in answers] == [item["id"] for item in test]
    assert all(line.split(";")[1] in labels for line in answers)
    ids = {item["id"] for item in train + validation + test}
    assert {path.name for path in (made / VIDEOS).iterdir()} == {f"{name}.webm" for name in ids}
    assert len(ids) == sum(COUNTS)


def test_boxes_are_those_of_the_frames(made: Path) -> None:
    boxes = json.loads((made / BOXES).read_text())
    assert list(boxes) == [str(number) for number in range(1, 10)]  # none of the test
    scenes = MovingDigits(sklearn_digits("train"), 6, **SIZES)
    for number in range(6):
        name, scene = str(number + 1), scenes[number]
        frames = boxes[name]
        video = open_video(made / VIDEOS / f"{name}.webm")
        assert video.length == len(frames) == len(scene.frames)
        seen = video.read(range(video.length)).permute(0, 2, 3, 1).numpy().astype(float)
        assert abs(seen - scene.frames).mean() < 8  # the codec loses some
        for at, frame in enumerate(frames):
            assert frame["name"] == f"{name}/{at + 1:04d}.jpg"
            assert frame["nr_instances"] == len(frame["labels"]) == 2
            for place, label in enumerate(frame["labels"]):
                assert label["category"] == frame["gt_placeholders"][place]
                assert label["standard_category"] == f"{place:04d}"
                corners = [label["box2d"][side] for side in ("x1", "y1", "x2", "y2")]
                assert corners == scene.box[at, place].tolist()


def test_videos_of_validation_and_test_are_other_ones(made: Path) -> None:
    videos = [(made / VIDEOS / f"{number}.webm").read_bytes() for number in range(1, 12)]
    assert len(set(videos)) == sum(COUNTS)


def test_a_set_that_was_stopped_is_made_on_to_the_same(made: Path, tmp_path: Path) -> None:
    whole = contents(made)
    root = make(tmp_path / "set")
    assert contents(root) == whole
    for lost in ("labels/labels.json", "labels/validation.json", f"{VIDEOS}/3.webm", BOXES):
        (root / lost).unlink()
    kept = (root / VIDEOS / "4.webm").stat().st_mtime_ns
    make(root)
    assert contents(root) == whole
    assert (root / VIDEOS / "4.webm").stat().st_mtime_ns == kept


def test_another_set_is_left_alone(made: Path, tmp_path: Path) -> None:
    before = contents(made)
    with pytest.raises(InputError, match="root"):
        make(made, seed=1)
    assert contents(made) == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="root"):
        make(tmp_path)
