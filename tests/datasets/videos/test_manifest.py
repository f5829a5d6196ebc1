from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos import CentreClips, Crops, EvenFrames, VideoManifest, stretch

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


def test_parquet_is_read_where_pyarrow_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clips.parquet"
    path.write_bytes(b"PAR1")
    rows = [{"path": "a.mp4", "label": 1, "start": None}]
    made = SimpleNamespace(to_pylist=lambda: rows)
    parquet = SimpleNamespace(read_table=lambda file: made)
    monkeypatch.setitem(sys.modules, "pyarrow", SimpleNamespace(parquet=parquet))
    assert VideoManifest(path).entries[0].label == 1
    parquet.read_table = lambda file: 1 / 0
    with pytest.raises(InputError, match=re.escape(f"{path}: expected a table in Parquet")):
        VideoManifest(path)
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
        ("a.csv", "path,label\na,b\nc,\n", "entries: expected a label for each clip"),
        ("a.csv", "path,start\na,x\n", "line 2, start: expected seconds, 0 or more, got 'x'"),
        ("a.csv", "path,start\na,-1\n", "line 2, start: expected seconds"),
        ("a.csv", "path,start\na,nan\n", "line 2, start: expected seconds"),
        ("a.csv", "path,start,end\na,2,1\n", "line 2, end: expected after start, 2.0, got 1.0"),
        ("a.csv", 'path\n"a', "a.csv: expected a table of clips"),
        ("a.jsonl", '{"path": "a"}\n{', "line 2: expected JSON"),
        ("a.jsonl", "[1]", "line 1: expected an object, got list"),
        ("a.jsonl", '{"path": 1}', "line 1, path: expected the path of a video"),
        ("a.jsonl", '{"path": "a", "label": 1.5}', "line 1, label: expected a name or a whole"),
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
