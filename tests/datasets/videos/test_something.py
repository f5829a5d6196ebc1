from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos import CentreClips, Crops, EvenFrames, SomethingSomething

SMALL = CentreClips(EvenFrames(3), Crops(1, 16, 16))
LABELS = ["Pushing something, softly", "Moving something up", "Approaching something"]


@pytest.fixture
def first(frames: Any, tmp_path: Path) -> Path:
    """Version 1, as distributed."""
    (tmp_path / "labels.csv").write_text("\n".join(LABELS) + "\n")
    lines = [f"11;{LABELS[0]}", f"7;{LABELS[1]}", f"100218;{LABELS[0]}"]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "test.csv").write_text("7\n11\n")
    for clip, count in (("11", 2), ("7", 12), ("100218", 5)):
        frames(tmp_path / "videos" / clip, count)
    return tmp_path


@pytest.fixture
def second(frames: Any, tmp_path: Path) -> Path:
    """Version 2, as distributed."""
    numbers = {label: str(number) for number, label in enumerate(LABELS)}
    (tmp_path / "labels.json").write_text(json.dumps(numbers))
    items = [
        {
            "id": clip,
            "label": "moving a pen up",
            "template": label.replace("something", "[something]"),
            "placeholders": ["a pen"],
        }
        for clip, label in (("78687", LABELS[1]), ("42326", LABELS[2]), ("5", LABELS[0]))
    ]
    (tmp_path / "train.json").write_text(json.dumps(items))
    (tmp_path / "test.json").write_text(json.dumps([{"id": "42326"}, {"id": 5}]))
    frames(tmp_path / "videos" / "42326", 4)
    (tmp_path / "videos" / "78687.webm").write_bytes(b"")
    return tmp_path


def test_version_1_numbers_its_labels_by_the_alphabet(first: Path) -> None:
    data = SomethingSomething(
        first / "videos", first / "labels.csv", first / "train.csv", clips=SMALL
    )
    assert data.label_names == sorted(LABELS)
    assert [(e.name, e.label) for e in data.entries] == [("11", 2), ("7", 1), ("100218", 2)]
    assert data[1]["video"].shape == (3, 3, 16, 16)
    assert data.dropped == []


def test_version_2_numbers_them_by_its_file(second: Path) -> None:
    data = SomethingSomething(second / "videos", second / "labels.json", second / "train.json")
    assert data.label_names == LABELS
    found = {entry.name: (entry.path.name, entry.label) for entry in data.entries}
    # one that is not there keeps its place, for the policy to deal with
    assert found == {"78687": ("78687.webm", 1), "42326": ("42326", 2), "5": ("5.webm", 0)}
    numbers = json.loads((second / "labels.json").read_text())
    (second / "labels.json").write_text(json.dumps(dict(reversed(numbers.items()))))
    again = SomethingSomething(second / "videos", second / "labels.json", second / "train.json")
    assert again.label_names == LABELS  # by their numbers, whatever stands first
    assert again.entries == data.entries


@pytest.mark.parametrize("version", ["first", "second"])
def test_a_split_to_test_on_has_no_labels(version: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(version)
    kind = "csv" if version == "first" else "json"
    data = SomethingSomething(
        folder / "videos", folder / f"labels.{kind}", folder / f"test.{kind}", clips=SMALL
    )
    assert len(data.label_names) == 3
    assert "label" not in data[0]
    assert {entry.label for entry in data.entries} == {None}


def test_short_videos_are_dropped_where_that_is_asked_for_alone(first: Path) -> None:
    files = (first / "videos", first / "labels.csv", first / "train.csv")
    data = SomethingSomething(*files, min_frames=3)
    assert [entry.name for entry in data.entries] == ["7", "100218"]
    assert data.dropped == ["11"]
    assert len(SomethingSomething(*files)) == 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("labels.json", "[]", "labels.json: expected an object with a number for each label"),
        ("labels.json", '{"a": "x"}', "labels.json, 'a': expected the number of a label"),
        (
            "labels.json",
            '{"a": "1"}',
            "labels.json: expected each number from 0 to 0 once, got [1]",
        ),
        ("train.json", "{}", "train.json: expected a list of clips, got an empty dict"),
        ("train.json", '[{"label": "a"}]', "train.json, clip 0: expected an object with an id"),
        ("train.json", '[{"id": 5, "template": 3}]', "clip 0, template: expected text, got 3"),
        ("train.json", '[{"id": 5, "template": "x"}]', "id 5: expected a template of the labels"),
        ("train.json", '[{"id": 5}, {"id": "5"}]', "id 5: expected each id once"),
        ("train.json", '[{"id": "../5"}]', "id ../5: expected an id"),
        ("train.json", '[{"id": ".."}]', "id ..: expected an id"),
        ("train.json", "[]", "train.json: expected at least one clip"),
        ("train.json", "[{", "train.json: expected a split of Something-Something"),
    ],
)
def test_what_is_wrong_is_named(file: str, content: str, message: str, second: Path) -> None:
    (second / file).write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        SomethingSomething(second / "videos", second / "labels.json", second / "train.json")


def test_what_is_wrong_in_version_1_is_named(first: Path) -> None:
    files = (first / "videos", first / "labels.csv", first / "train.csv")
    files[2].write_text("7;Moving something up;more\n")
    with pytest.raises(InputError, match="line 1: expected id;template"):
        SomethingSomething(*files)
    files[2].write_text("7;Moving something up\n8\n")
    with pytest.raises(InputError, match="expected a template for each clip, or for none"):
        SomethingSomething(*files)
    with pytest.raises(InputError, match="videos: expected a folder of videos"):
        SomethingSomething(first / "nowhere", first / "labels.csv", first / "test.csv")
    files[1].write_text("a\na\n")
    with pytest.raises(InputError, match="expected a label a line, each once"):
        SomethingSomething(*files)
    files[1].write_text("Moving something up\n")
    files[2].write_text('7;"Moving something up\n8;Moving something up\n')
    with pytest.raises(InputError, match=r"train.csv: expected lines of id;template"):
        SomethingSomething(*files)


def test_files_that_were_saved_on_windows_are_the_same(first: Path, second: Path) -> None:
    for folder, kind in ((first, "csv"), (second, "json")):
        files = (folder / f"labels.{kind}", folder / f"train.{kind}")
        as_it_was = SomethingSomething(folder / "videos", *files)
        for file in files:
            text = file.read_text(encoding="utf-8").replace("\n", "\r\n")
            file.write_bytes(("\ufeff" + text).encode())
        data = SomethingSomething(folder / "videos", *files)
        assert data.entries == as_it_was.entries
        assert data.label_names == as_it_was.label_names
