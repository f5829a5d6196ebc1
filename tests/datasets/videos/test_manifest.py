from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos import (
    CentreClips,
    Crops,
    Entry,
    EvenFrames,
    VideoClips,
    VideoManifest,
    stretch,
)
from stgraph.datasets.videos.annotations import MotBoxes

SMALL = CentreClips(EvenFrames(3), Crops(1, 16, 16))


def table(folder: Path, text: str, name: str = "clips.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_names(frames: Any, tmp_path: Path) -> None:
    frames(tmp_path / "a", 5)
    rows = "path,label,split,boxes\na,wave,train,[1]\nb/c.mp4,bow,val,\nd.mp4,wave,train,\n"
    path = table(tmp_path, rows)
    data = VideoManifest(path, split="train", clips=SMALL)
    assert data.label_names == ["bow", "wave"]
    assert [(entry.name, entry.label) for entry in data.entries] == [("a", 1), ("d.mp4", 1)]
    assert data.entries[0].path == tmp_path / "a"
    assert data.entries[0].columns == {"boxes": "[1]"}
    assert data[0]["video"].shape == (3, 3, 16, 16)
    assert data[0]["label"] == 1
    assert len(VideoManifest(path)) == 3
    there = VideoManifest(path, root=tmp_path / "x", classes=["wave", "sit", "bow"])
    assert there.entries[1].path == tmp_path / "x" / "b" / "c.mp4"
    assert [entry.label for entry in there.entries] == [0, 2, 0]


def test_names_of_classes_that_are_numbers_are_names(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.mp4,2\nb.mp4,0\nc.mp4,1\n")
    data = VideoManifest(path, classes=["2", "1", "0"])
    assert [entry.label for entry in data.entries] == [0, 2, 1]
    data = VideoManifest(path, classes=["wave", "sit", "bow"])  # numbers alone are places
    assert [entry.label for entry in data.entries] == [2, 0, 1]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_numbers(delimiter: str, tmp_path: Path) -> None:
    rows = "\ufeffpath,label\r\na b.mp4,2\r\nc.mp4,0\r\n".replace(",", delimiter)
    data = VideoManifest(table(tmp_path, rows))
    assert data.label_names == ["0", "1", "2"]
    assert [(entry.name, entry.label) for entry in data.entries] == [("a b.mp4", 2), ("c.mp4", 0)]


def test_several_clips_of_one_video(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "start": 1.5, "end": 3}, {"path": "a.mp4", "start": "3"}]
    rows += [{"path": "b.mp4"}, {"path": "c.mp4", "name": "mine", "boxes": [[1, 2]]}]
    text = "\n".join(map(json.dumps, rows)) + "\n\n"
    data = VideoManifest(table(tmp_path, text, "clips.jsonl"))
    found = [(entry.name, entry.start, entry.end) for entry in data.entries]
    assert found == [
        ("a.mp4@1.5-3.0", 1.5, 3.0),
        ("a.mp4@3-", 3.0, None),
        ("b.mp4", None, None),
        ("mine", None, None),
    ]
    assert data.entries[3].columns == {"boxes": [[1, 2]]}
    assert data.entries[0].label is None
    video: Any = SimpleNamespace(length=10, times=[0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5])
    assert list(stretch(video, data.entries[0])) == [3, 4, 5]
    assert list(stretch(video, data.entries[1])) == [6, 7, 8, 9]
    assert list(stretch(video, data.entries[2])) == list(range(10))
    video.times = video.times[:3]
    with pytest.raises(InputError, match=r"start and end of a.mp4@3-: expected a part of its 1.0"):
        stretch(video, data.entries[1])


def test_clips_that_begin_within_a_millisecond_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,start\na.mp4,1234.5671\na.mp4,1234.5672\na.mp4,0.1\n")
    names = [entry.name for entry in VideoManifest(path).entries]
    assert names == ["a.mp4@1234.5671-", "a.mp4@1234.5672-", "a.mp4@0.1-"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a.mp4,x,", "b.mp4,y,", "c.mp4,x,"], r"line 4, name: .*got 'x', as line 2"),
        (["a.mp4,,1", "a.mp4,,2", "a.mp4,,1"], r"line 4, name: .*got 'a.mp4@1-', as line 2"),
        (["a.mp4,,", "a.mp4,,"], r"line 3, name: .*got 'a.mp4@0-', as line 2"),
    ],
    ids=str,
)
def test_a_name_is_that_of_one_clip(rows: list[str], told: str, tmp_path: Path) -> None:
    path = table(tmp_path, "\n".join(["path,name,start", *rows]))
    with pytest.raises(InputError, match=told):
        VideoManifest(path)


def test_a_name_may_stand_in_two_splits(tmp_path: Path) -> None:
    path = table(tmp_path, "path,name\na.mp4,b.mp4\nb.mp4,\n")  # what is given stays
    assert [one.name for one in VideoManifest(path).entries] == ["b.mp4", "b.mp4@0-"]
    path = table(tmp_path, "path,name,split\na.mp4,x,train\nb.mp4,x,val\n")
    assert [VideoManifest(path, split).entries[0].name for split in ("train", "val")] == ["x"] * 2


def test_clips_of_one_video_have_its_boxes(frames: Any, tmp_path: Path) -> None:
    """Their names tell them apart; files of boxes know the video."""
    frames(tmp_path / "a", 6)
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "a.txt").write_text("2,1,0,0,8,8\n")
    boxes = MotBoxes(tmp_path / "boxes", slots=1)
    entries = [Entry(tmp_path / "a", 0, f"a@{k}", video="a") for k in range(2)]
    clips = VideoClips(entries, ["x"], CentreClips(EvenFrames(6), Crops(1, 24, 24)), boxes)
    assert clips[1]["present"].flatten().tolist() == [False, True, *[False] * 4]
    rows = "path,start\nb.mp4,0.5\nb.mp4,1.5\n"
    assert [one.known_as for one in VideoManifest(table(tmp_path, rows)).entries] == ["b.mp4"] * 2


def test_a_table_in_parquet_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "clips.parquet"
    columns = {
        "path": ["a.mp4", "b.mp4", "a.mp4"],
        "label": pyarrow.array(["left", "right", "left"]).dictionary_encode(),
        "start": [0.0, None, 1.5],
        "end": [1.0, None, 2.5],
        "split": ["train", "train", "val"],
    }
    parquet.write_table(pyarrow.table(columns), path)
    first, second = VideoManifest(path, "train").entries
    assert (first.path, first.label, first.start, first.end) == (tmp_path / "a.mp4", 0, 0.0, 1.0)
    assert (second.path, second.label, second.start) == (tmp_path / "b.mp4", 1, None)
    assert VideoManifest(path, "val").entries[0].end == 2.5
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=re.escape(f"{path}: expected a table in Parquet")):
        VideoManifest(path)


def test_without_pyarrow_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clips.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow"):
        VideoManifest(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "path,label\n", "a.csv: expected at least one row"),
        ("a.csv", "path,label\na.mp4\n", "line 2: expected 2 columns, as in the first line"),
        ("a.csv", "path,label\na.mp4,b,c\n", "line 2: expected 2 columns"),
        ("a.csv", "file,label\na.mp4,b\n", "line 2, path: expected the path of a video"),
        ("a.csv", "path,label\na,b\nc,\n", "a.csv, line 3, label: expected one, as"),
        ("a.csv", "path,start\na,x\n", "line 2, start: expected seconds, 0 or more, got 'x'"),
        ("a.csv", "path,start\na,-1\n", "line 2, start: expected seconds"),
        ("a.csv", "path,start\na,nan\n", "line 2, start: expected seconds"),
        ("a.csv", "path,start,end\na,2,1\n", "line 2, end: expected after start, 2.0, got 1.0"),
        ("a.csv", 'path\n"a', "a.csv: expected a table of clips"),
        ("a.jsonl", '{"path": "a"}\n{', "line 2: expected JSON"),
        ("a.jsonl", "[1]", "line 1: expected an object, got list"),
        ("a.jsonl", '{"path": 1}', "line 1, path: expected the path of a video"),
        ("a.jsonl", '{"path": "a", "label": 1.5}', "line 1, label: expected a name or a whole"),
        ("a.csv", "path,label\na,0\nb,-1\nc,10\n", "line 3, label: expected a whole number"),
        ("a.csv", "path,label\na,1.0\nb,10.0\n", "line 2, label: expected a whole number from 0"),
        ("a.csv", "path,label\na,20000000\n", "line 2, label: expected a whole number from 0"),
        ("a.csv", "path,label, label\na,x,y\n", "line 1: expected each title once, got 'label'"),
        ("a.csv", "path,label\na\0b,x\n", "line 2, path: expected the path of a video"),
        ("a.csv", "path,end\na,0\n", "line 2, end: expected after start, 0.0, got 0.0"),
        ("a.txt", "path\na", "path: expected a table of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        VideoManifest(table(tmp_path, text, name))


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,split\na,x,train\n")
    with pytest.raises(
        InputError, match=r"split: expected one of those in .*, \['train'\], got test"
    ):
        VideoManifest(path, split="test")
    with pytest.raises(InputError, match=r"line 2, label: expected one of \['y'\], got 'x'"):
        VideoManifest(path, classes=["y"])
    with pytest.raises(InputError, match="does not exist"):
        VideoManifest(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path, label\na b.mp4, wave\n"),  # spaces around titles
        ("a.csv", "\r\npath,label\r\na b.mp4,wave\r\n"),
        ("a.csv", "label,path\rwave,a b.mp4\r"),
        ("a.jsonl", '\ufeff{"path": "a b.mp4", "label": "wave"}\r\n'),
    ],
)
def test_tables_as_other_programs_write_them(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    data = VideoManifest(path)
    assert [(entry.name, entry.label) for entry in data.entries] == [("a b.mp4", 0)]
    assert data.label_names == ["wave"]


def test_paths_of_other_systems_and_of_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("path,label\nday 1\\ü.mp4,x\na\u2028b\x85.mp4,y\n".encode())
    first, second = VideoManifest(path).entries
    assert first.path == tmp_path / "day 1" / "ü.mp4"
    assert first.name == "day 1/ü.mp4"
    assert (second.name, second.label) == ("a\u2028b\x85.mp4", 1)


def test_a_table_without_labels_has_no_names_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\none.mp4\ntwo.mp4\n")
    table = VideoManifest(tmp_path / "a.csv")
    assert table.label_names == []
    assert [entry.label for entry in table.entries] == [None, None]
