"""Whatever becomes of a file of annotations, it is read or an error says what is wrong with it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from damage import damaged, little_memory
from PIL import Image

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import (
    Boxes,
    CocoBoxes,
    CocoMasks,
    ColumnBoxes,
    MotBoxes,
    PngMasks,
    SomethingElseBoxes,
    YouTubeVisBoxes,
    YouTubeVisMasks,
    open_table,
)

CASES = 160


@pytest.fixture(autouse=True, scope="module")
def _little_memory() -> Iterator[None]:
    yield from little_memory()


def something_else() -> bytes:
    box = {"x1": 1.5, "y1": 2, "x2": 7.25, "y2": 6}
    labels = [{"box2d": box, "standard_category": name} for name in ("0000", "hand")]
    frames = [{"name": f"7/{k:04d}.jpg", "labels": labels, "nr_instances": 2} for k in (1, 2, 3)]
    return json.dumps({"7": frames, "8": []}).encode()


def coco(**what: Any) -> bytes:
    images = [{"id": k, "file_name": f"7/{k:05d}.jpg", "width": 16, "height": 8} for k in (1, 2, 3)]
    found = [{"image_id": k, "track_id": 4, "score": 0.5, **what} for k in (1, 2)]
    return json.dumps({"images": images, "annotations": found, "categories": []}).encode()


def vis() -> bytes:
    names = [f"7/{k:05d}.jpg" for k in (1, 2, 3)]
    videos = [{"id": 3, "file_names": names, "width": 16, "height": 8}]
    boxes, shapes = [[1.5, 2, 4, 5], None, [0, 0, 16, 8]], [SEGMENTATION, None, POLYGONS]
    thing = {"id": 7, "video_id": 3, "score": 0.5, "bboxes": boxes, "segmentations": shapes}
    return json.dumps({"videos": videos, "annotations": [thing], "categories": []}).encode()


def table(folder: Path) -> bytes:
    path = folder / "some.json"
    path.write_bytes(something_else())
    SomethingElseBoxes(path, cache=folder / "some.table")
    return (folder / "some.table").read_bytes()


def png(folder: Path) -> bytes:
    values = np.zeros((8, 16), np.uint8)
    values[1:4, 2:9], values[5:, 10:] = 1, 2
    Image.fromarray(values).save(folder / "one.png")
    return (folder / "one.png").read_bytes()


class Kind(NamedTuple):
    whole: Callable[[Path], bytes]
    file: str
    part: Callable[[Path], Any]


SEGMENTATION = {"size": [8, 16], "counts": [9, 4, 8, 7, 100]}
POLYGONS = [[1, 1.5, 12, 1, 12.5, 7], [3, 3, 9, 3, 9, 9, 3, 8]]
COLUMN = [{"frame": k, "box": [1.5, 2, 7.25, 6], "track": "a", "score": 0.5} for k in range(3)]
KINDS = {
    "something else": Kind(lambda _: something_else(), "a.json", SomethingElseBoxes),
    "coco": Kind(lambda _: coco(bbox=[1.5, 2, 4, 5]), "a.json", CocoBoxes),
    "rle": Kind(lambda _: coco(segmentation=SEGMENTATION), "a.json", CocoMasks),
    "polygons": Kind(lambda _: coco(segmentation=POLYGONS), "a.json", CocoMasks),
    "vis boxes": Kind(lambda _: vis(), "a.json", YouTubeVisBoxes),
    "vis masks": Kind(lambda _: vis(), "a.json", YouTubeVisMasks),
    "mot": Kind(
        lambda _: b"1,7,1.5,2,4,5,0.5,1,1\n2,7,1.5,2,4,5,0.5,1,1\n" * 1 + b"2,8,0,0,4,5,1,1,1\n",
        "7.txt",
        lambda path: MotBoxes(path.parent),
    ),
    "column": Kind(
        lambda _: json.dumps(COLUMN).encode(), "a.json", lambda path: ColumnBoxes(root=path.parent)
    ),
    "table": Kind(table, "a.table", lambda path: Boxes(open_table(path))),
    "png": Kind(png, "7/00001.png", lambda path: PngMasks(path.parent.parent)),
}


def told(kind: Kind, path: Path) -> str | None:
    """What is said of a file and a clip, if the clip's fields are not read."""
    clip = Entry(Path("7.mp4"), name="7", columns={"boxes": "a.json"})
    try:
        part = kind.part(path)
        fields = part(clip, torch.arange(4), (8, 16), View((8, 16), 0, 4, (8, 8), (8, 8)))
    except InputError as error:
        message = str(error)
        assert len(message) < 2000
        for word in ("MemoryError", "allocate", "RecursionError"):
            assert word not in message, message
        return message
    assert fields["present"].shape == (4, 10)
    assert ((fields["box"] >= 0) & (fields["box"] <= 1)).all()
    assert (fields["box"][..., :2] <= fields["box"][..., 2:]).all()
    return None


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_told(tmp_path: Path, name: str) -> None:
    kind, chance = KINDS[name], random.Random(name)
    whole, path = kind.whole(tmp_path), tmp_path / "files" / kind.file
    path.parent.mkdir(parents=True)
    path.write_bytes(whole)
    assert told(kind, path) is None
    refused = 0
    for _ in range(CASES):
        path.write_bytes(damaged(whole, chance))
        message = told(kind, path)
        refused += message is not None
        if message is not None and name != "column":
            assert path.name in message or str(path.parent) in message, message
    assert refused > CASES // 5


@pytest.mark.parametrize("name", KINDS)
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    path = tmp_path / "files" / kind.file
    path.parent.mkdir(parents=True)
    for other in KINDS:
        alike = (("coco", "rle", "polygons"), ("vis boxes", "vis masks"))
        if name == other or any({name, other} <= set(kinds) for kinds in alike):
            continue
        path.write_bytes(KINDS[other].whole(tmp_path))
        assert told(kind, path), other


@pytest.mark.parametrize("name", [name for name in KINDS if name != "png"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    path = tmp_path / kind.file
    os.mkfifo(path)
    assert told(kind, path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert told(kind, path)


def test_a_forged_header_takes_no_memory(tmp_path: Path) -> None:
    whole = table(tmp_path)
    path = tmp_path / "a.table"
    for old, new in [(b'"track": [', b'"track": [9'), (b", 6]", b", 99999999999]")]:
        assert old in whole
        path.write_bytes(whole.replace(old, new, 1))
        assert told(KINDS["table"], path)
