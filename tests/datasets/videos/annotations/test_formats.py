"""Every format of boxes, against boxes that are known."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import (
    CocoBoxes,
    ColumnBoxes,
    MotBoxes,
    NumberedFrames,
    SomethingElseBoxes,
    open_table,
)

WHOLE = View((8, 16), 0, 0, (8, 16), (8, 16))
NOTHING, BALL, HAND = [0, 0, 0, 0], [0, 0, 0.5, 0.5], [0.5, 0.25, 1, 1]


def of(part, name="7", frames=(0, 1, 2), **columns):
    clip = Entry(Path(f"{name}.webm"), name=name, columns=columns)
    return part(clip, torch.tensor(frames), (8, 16), WHOLE)


def check(fields, category=(2, 1)):
    """A ball that is there from the beginning, and a hand that comes with the second frame."""
    assert fields["box"].tolist() == [[BALL, NOTHING], [BALL, HAND], [NOTHING, HAND]]
    assert fields["present"].tolist() == [[True, False], [True, True], [False, True]]
    assert fields["category"][1].tolist() == list(category)
    assert fields["left_out"] == 0


BALL_AND_HAND = {
    1: {"0000": (0, 0, 8, 4)},
    2: {"hand": (8, 2, 16, 8), "0000": (0, 0, 8, 4)},
    3: {"hand": (8, 2, 16, 8)},
}


@pytest.fixture
def files(tmp_path, something_else):
    return [
        something_else(tmp_path / f"part{part}.json", {str(6 + part): frames})
        for part, frames in enumerate([{5: {}}, BALL_AND_HAND, {}, {2: {"hand": (0, 0, 8, 4)}}])
    ]


def test_boxes_of_something_else(files):
    boxes = SomethingElseBoxes(files, slots=2)
    check(of(boxes))
    assert of(boxes, "6", [3, 4, 5])["annotated"].tolist() == [False, True, False]
    assert not of(boxes, "8")["annotated"].any()
    assert of(boxes, "9")["category"].tolist() == [[0, 0], [1, 0], [0, 0]]
    assert boxes.lacking(["6", "7", "10"]) == ["10"]
    check(of(SomethingElseBoxes(str(files[1]), slots=2)))


def test_frames_of_something_else_are_known_by_their_names(files):
    content = json.loads(files[1].read_text())
    content["7"].reverse()
    files[1].write_text(json.dumps(content))
    check(of(SomethingElseBoxes(files, slots=2)))


def test_a_second_hand_is_a_thing_of_its_own(tmp_path, something_else):
    path = something_else(tmp_path / "a.json", {"7": {1: {"hand": (0, 0, 8, 4)}}})
    content = json.loads(path.read_text())
    labels = content["7"][0]["labels"]
    second = {**labels[0], "box2d": {"x1": 8, "y1": 2, "x2": 16, "y2": 8}}
    labels.append(second)
    del labels[0]["standard_category"]  # as in the page that describes the files
    path.write_text(json.dumps(content))
    fields = of(SomethingElseBoxes(path, slots=2), frames=[0])
    assert fields["box"].tolist() == [[BALL, HAND]]
    assert fields["category"].tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.pop("name"), "frame 1 of its list: name expected"),
        (lambda frame: frame.update(name="8/0001.jpg"), r"name: '7/0001.jpg' or so expected"),
        (lambda frame: frame.update(name="7/0000.jpg"), "name: a whole number from 1"),
        (lambda frame: frame.update(name="7/0001.jpg"), "a frame that stands once expected"),
        (lambda frame: frame.update(name=3), "name: '7/0001.jpg' or so expected, got '3'|name:"),
        (lambda frame: frame.update(labels={}), "labels: a list expected, got dict"),
        (lambda frame: frame["labels"].append(3), "a record with box2d expected, got 3"),
        (lambda frame: frame["labels"][0].pop("box2d"), "box2d expected"),
        (lambda frame: frame["labels"][0]["box2d"].pop("y2"), "y2 expected"),
        (lambda frame: frame["labels"][0]["box2d"].update(x1="2"), "box2d.x1: a number expected"),
        (lambda frame: frame["labels"][0]["box2d"].update(x1=True), "box2d.x1: a number expected"),
        (lambda frame: frame["labels"][0]["box2d"].update(x1=99), "x1 ≤ x2"),
        (lambda frame: frame["labels"][0].update(standard_category=1), "standard_category: a text"),
    ],
)
def test_damage_of_something_else_is_told_with_its_field(files, change, message):
    content = json.loads(files[1].read_text())
    change(content["7"][1])
    files[1].write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        SomethingElseBoxes(files)
    assert "part1.json" in str(caught.value)
    assert "'7'" in str(caught.value)


def test_a_video_stands_once_in_all_parts(files):
    with pytest.raises(InputError, match=r"part1\.json: expected a video once in all files"):
        SomethingElseBoxes([*files, files[1]])
    with pytest.raises(InputError, match="files: expected at least one"):
        SomethingElseBoxes([])


def test_boxes_are_kept_in_a_file(files, tmp_path, monkeypatch):
    cache = tmp_path / "boxes.table"
    made = SomethingElseBoxes(files, slots=2, cache=cache)
    check(of(made))
    assert isinstance(made.table.columns["box"], np.memmap)
    before = cache.stat().st_mtime_ns
    again = SomethingElseBoxes(files, slots=2, cache=cache)
    check(of(again))
    assert cache.stat().st_mtime_ns == before
    sent = pickle.dumps(again)
    assert len(sent) < 1000  # the path alone
    check(of(pickle.loads(sent)))
    files[0].write_text("{}")
    assert SomethingElseBoxes(files, cache=cache).lacking(["6", "7"]) == ["6"]
    assert SomethingElseBoxes(files[1], cache=cache).lacking(["7", "9"]) == ["9"]
    with pytest.raises(InputError, match="cache: expected a file that can be written"):
        SomethingElseBoxes(files, cache=files[0] / "no folder")
    cache.write_bytes(b"{}")
    check(of(SomethingElseBoxes(files, slots=2, cache=cache)))
    assert len(open_table(cache)) == 5


def test_a_file_that_was_corrected_is_read_anew_though_its_size_is_the_same(files, tmp_path):
    cache, path = tmp_path / "boxes.table", files[1]
    assert SomethingElseBoxes(path, cache=cache).lacking(["7", "5"]) == ["5"]
    size, then = path.stat().st_size, path.stat().st_mtime_ns
    path.write_text(path.read_text().replace('"7', '"5'))
    os.utime(path, ns=(then, then + 1_000_000_000))
    assert path.stat().st_size == size
    assert SomethingElseBoxes(path, cache=cache).lacking(["7", "5"]) == ["7"]


def coco(tmp_path: Path, tracks: bool = True, **more) -> Path:
    images = [
        {"id": 10 + k, "file_name": f"7/{k:05d}.jpg", "width": 32, "height": 16}
        for k in range(1, 4)
    ]
    boxes = [
        (11, [0, 0, 16, 8], "ball", 2),
        (12, [16, 4, 16, 12], "hand", 1),
        (12, [0, 0, 16, 8], "ball", 2),
        (13, [16, 4, 16, 12], "hand", 1),
    ]
    annotations = [
        {"id": k, "image_id": image, "bbox": box, "category_id": kind, "score": 0.5 + k / 10}
        | ({"track_id": name} if tracks else {})
        for k, (image, box, name, kind) in enumerate(boxes)
    ]
    crowd = {"image_id": 11, "bbox": [0, 0, 32, 16], "iscrowd": 1}
    content = {"info": {}, "annotations": [*annotations, crowd], "images": images, "categories": []}
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content | more))
    return path


def test_boxes_of_coco(tmp_path):
    fields = of(CocoBoxes(coco(tmp_path), slots=2))
    check(fields)  # of frames that are half as large as the images were
    torch.testing.assert_close(fields["score"][1], torch.tensor([0.7, 0.6]))
    assert of(CocoBoxes(tmp_path / "coco.json"), frames=[2, 3])["annotated"].tolist() == [
        True,
        False,
    ]
    sure = of(CocoBoxes(tmp_path / "coco.json", least_score=0.65))
    assert sure["present"].sum(1).tolist() == [0, 1, 1]
    path = coco(tmp_path)
    cached = [CocoBoxes(path, 2, cache=tmp_path / "t", least_score=least) for least in (None, 0.65)]
    assert [int(of(boxes)["present"].sum()) for boxes in cached] == [4, 2]


def test_boxes_of_coco_without_tracks_are_numbered(tmp_path):
    fields = of(CocoBoxes(coco(tmp_path, tracks=False), slots=2))
    assert fields["box"].tolist() == [[BALL, NOTHING], [HAND, BALL], [HAND, NOTHING]]


def test_names_of_frames(tmp_path):
    path = coco(tmp_path)
    path.write_text(path.read_text().replace("7/0000", "7_"))
    check(of(CocoBoxes(path, slots=2)))
    late = CocoBoxes(path, slots=2, frame_of=NumberedFrames(first=0))
    check(of(late, frames=[1, 2, 3]))
    named = CocoBoxes(path, slots=2, frame_of=lambda name: ("clip", 3 - int(name[2])))
    assert of(named, "clip", [0])["box"].tolist() == [[HAND, NOTHING]]
    for name in ("00001.jpg", "7/one.jpg", "7/0000.jpg", "", "7/00001"):
        with pytest.raises(ValueError, match="expected"):
            NumberedFrames()(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"image_id": 12', '"image_id": 99', "annotations: image_id of an image expected, got 99"),
        ('"id": 12, "file', '"id": 11, "file', r"images\[1\]\.id: an image once expected, got 11"),
        ('"width": 32', '"width": 0', r"images\[0\]\.width: a whole number from 1"),
        (
            '"file_name": "7/00002.jpg"',
            '"file_name": 3',
            r"images\[1\]\.file_name: a text expected",
        ),
        ("[16, 4, 16, 12]", "[16, 4, 16]", r"annotations\[1\]\.bbox: \[x, y, width, height\] exp"),
        ("[16, 4, 16, 12]", "[16, 4, -1, 12]", r"annotations\[1\]\.bbox: a width and a height"),
        ("[16, 4, 16, 12]", '[16, 4, "a", 12]', r"annotations\[1\]\.bbox\[2\]: a number expected"),
        (', "track_id": "ball"}', "}", "track_id of all of them expected, or of none"),
        ('"track_id": "ball"', '"track_id": "hand"', "'7', frame 1: expected a track once"),
        ('"track_id": "ball"', '"track_id": []', r"annotations\[0\]\.track_id: a whole number"),
        ('"images"', '"pictures"', "images expected, got"),
        ('"info"', '"images"', r"'\[' expected at character"),
    ],
)
def test_damage_of_coco_is_told_with_its_field(tmp_path, old, new, message):
    path = coco(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 2 if "ball" in old else 1))
    with pytest.raises(InputError, match=message) as caught:
        CocoBoxes(path)
    assert "coco.json" in str(caught.value)


MOT = """\
1,12,0,0,8,4,1,2,0.5
2,3,8,2,8,6,0.75,1,1.0
2,12,0,0,8,4,0.25,2,1.0

3,3,8,2,8,6,1,1,1.0
"""


def test_boxes_of_mot(tmp_path):
    path = tmp_path / "7.txt"
    path.write_text(MOT)
    (tmp_path / "empty.txt").write_text("")
    boxes = MotBoxes(tmp_path, slots=2)
    check(of(boxes))
    assert of(boxes)["score"][1].tolist() == [0.25, 0.75]
    assert of(boxes, frames=[2, 9])["annotated"].tolist() == [True, True]  # none is none
    assert of(boxes, "empty")["annotated"].all()
    assert not of(boxes, "other")["annotated"].any()
    cache = tmp_path / "table"  # is made anew for another score, first frame or corner
    of_score = [MotBoxes(tmp_path, 2, least_score=n, cache=cache) for n in (None, 0.5)]
    assert [int(of(part)["present"].sum()) for part in of_score] == [4, 3]
    of_first = [MotBoxes(tmp_path, 2, first=n, cache=cache) for n in (1, 0)]
    assert [of(part)["present"][0].any() for part in of_first] == [True, False]
    of_corner = [MotBoxes(tmp_path, 2, corner=n, cache=cache) for n in (0, 1)]
    assert not torch.equal(*(of(part)["box"] for part in of_corner))
    for least in (0.5, 0.75):  # a box of just this score counts
        assert of(MotBoxes(tmp_path, least_score=least))["present"].sum(1).tolist() == [1, 1, 1]
    path.write_text(MOT.replace(",8,2,", ",9,3,").replace(",0,0,", ",1,1,"))
    check(of(MotBoxes(tmp_path, slots=2, corner=1)))
    for more in ("", ",1,3.5,2,0"):  # of trackers: a score, and a place in the world
        short = [",".join(line.split(",")[:6]) + more for line in MOT.splitlines() if line]
        path.write_text("\n".join(short))
        check(of(MotBoxes(tmp_path, slots=2)), category=(1, 1))


def test_places_and_ids_of_mot(tmp_path):
    folder = tmp_path / "train/7/gt"
    folder.mkdir(parents=True)
    (folder / "gt.txt").write_text(MOT)
    (tmp_path / "train/7/det.txt").write_text("no boxes")
    boxes = MotBoxes(tmp_path / "train", slots=2, files="{}/gt/gt.txt", cache=tmp_path / "table")
    check(of(boxes))
    check(of(MotBoxes(tmp_path, slots=2, files="{}/gt/gt.txt"), "train/7"))
    lines = [",".join([line.split(",")[0], "-1", *line.split(",")[2:]]) for line in MOT.split()]
    (folder / "gt.txt").write_text("\n".join(lines))
    found = of(MotBoxes(tmp_path / "train", slots=2, files="{}/gt/gt.txt"))
    assert found["box"].tolist() == [[BALL, NOTHING], [HAND, BALL], [HAND, NOTHING]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,2", "line 2: at least 6 numbers expected, got 3"),
        ("1,1,0,0,a,4", "line 2: numbers expected, got 'a'"),
        ("0,1,0,0,8,4", "line 2: frame: a whole number from 1"),
        ("1.5,1,0,0,8,4", "line 2: frame: a whole number from 1"),
        ("1,1,0,0,-8,4", "line 2: width and height from 0 expected"),
        ("1,1,0,0,nan,4", "line 2: numbers expected, got 'nan'"),
        ("1,-5,0,0,8,4", "line 2: id: a whole number from -1"),
        ("1,1," + "0" * 5000, "line 2: at most 4096 bytes"),
        ("1,1,0,0,8,4\n1,1,0,0,8,4", "video '7', frame 0: expected a track once a frame, got 1"),
    ],
)
def test_damage_of_mot_is_told_with_its_line(tmp_path, line, message):
    (tmp_path / "7.txt").write_text(f"1,9,0,0,8,4\n{line}\n")
    with pytest.raises(InputError, match=message):
        MotBoxes(tmp_path)


def test_folders_without_boxes_are_refused(tmp_path):
    for root, files, message in [
        (tmp_path, "{}.txt", r"root: expected files such as video\.txt"),
        (tmp_path / "no", "{}.txt", "root: expected a folder"),
        (tmp_path, "gt.txt", "files: expected a path with {}"),
        (tmp_path, "{a}/{}.txt", r"root: expected files such as {a}/video\.txt"),
    ]:
        with pytest.raises(InputError, match=message):
            MotBoxes(root, files=files)


COLUMN = [
    {"frame": 0, "box": [0, 0, 8, 4], "track": "ball", "category": 2},
    {"frame": 1, "box": [0, 0, 8, 4], "track": "ball", "category": 2},
    {"frame": 1, "box": [8, 2, 16, 8], "track": 5},
    {"frame": 2, "box": [8, 2, 16, 8], "track": 5, "score": 0.5},
]


def test_boxes_in_a_column(tmp_path):
    boxes = ColumnBoxes(slots=2, root=tmp_path)
    (tmp_path / "own.json").write_text(json.dumps(COLUMN))
    for told in (json.dumps(COLUMN), "own.json", COLUMN):
        check(of(boxes, boxes=told))
    assert of(boxes, boxes=COLUMN)["score"][2].tolist() == [0, 0.5]
    assert of(boxes, boxes="[]")["annotated"].all()
    assert not of(boxes, boxes=" ")["annotated"].any()
    assert not of(boxes)["annotated"].any()
    shares = [
        {**one, "box": [v / s for v, s in zip(one["box"], (16, 8) * 2, strict=True)]}
        for one in COLUMN
    ]
    check(of(ColumnBoxes("other", 2, pixels=False), other=shares))
    late = [{**one, "frame": one["frame"] + 3} for one in COLUMN]
    check(of(ColumnBoxes(slots=2, first=3), boxes=late))
    alone = [{"frame": 0, "box": [0, 0, 8, 4]}, {"frame": 0, "box": [8, 2, 16, 8]}]
    assert of(ColumnBoxes(slots=2), boxes=alone, frames=[0])["box"].tolist() == [[BALL, HAND]]


def test_boxes_in_a_column_are_those_of_the_video_of_a_clip():
    """Which several clips may be of, each with a name of its own."""
    boxes = ColumnBoxes(slots=2)
    for name in ("7@0-1", "7@1-2"):
        clip = Entry(Path("7.webm"), name=name, video="7", columns={"boxes": COLUMN})
        check(boxes(clip, torch.arange(3), (8, 16), WHOLE))


@pytest.mark.parametrize("kind", ["something-else", "coco", "mot", "column"])
def test_every_format_looks_at_what_is_in_view_and_at_what_nobody_annotated(kind, files, tmp_path):
    """Half of the hand is in view; nobody looked at frame 9, nor, in MOT, at another video."""
    (tmp_path / "7.txt").write_text(MOT)
    make = {
        "something-else": lambda **options: SomethingElseBoxes(files, **options),
        "coco": lambda **options: CocoBoxes(coco(tmp_path), **options),
        "mot": lambda **options: MotBoxes(tmp_path, **options),
        "column": ColumnBoxes,
    }[kind]
    left = View((8, 16), 0, 0, (8, 12), (8, 12))
    clip = Entry(Path("7.webm"), name="7", columns={"boxes": COLUMN})
    for visible, there in [(0.45, 2), (0.55, 1)]:
        fields = make(slots=2, visible=visible)(clip, torch.tensor([1]), (8, 16), left)
        assert fields["present"].sum() == there, visible
    other, frame = ("8", 0) if kind == "mot" else ("7", 9)
    clip = Entry(Path(f"{other}.webm"), name=other, columns={"boxes": COLUMN[:1]})
    if kind == "column":
        clip = Entry(Path("8.webm"), name="8")
    unknown = (clip, torch.tensor([frame]), (8, 16), WHOLE)
    assert not make()(*unknown)["annotated"].any()
    with pytest.raises(InputError, match=f"expected annotations of frame {frame} of"):
        make(missing="raise")(*unknown)


@pytest.mark.parametrize("first", [0, 1, 3])
def test_frames_of_mot_are_counted_from_the_first_one(tmp_path, first):
    lines = [line.split(",", 1) for line in MOT.split()]
    moved = [f"{int(frame) - 1 + first},{rest}" for frame, rest in lines]
    (tmp_path / "7.txt").write_text("\n".join(moved))
    check(of(MotBoxes(tmp_path, slots=2, first=first)))
    if first:
        (tmp_path / "7.txt").write_text(f"{first - 1},1,0,0,8,4")
        with pytest.raises(InputError, match=f"frame: a whole number from {first}"):
            MotBoxes(tmp_path, first=first)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("[{", "Expecting property name"),
        ("{}", "a list expected, got dict"),
        ("nowhere.json", "a file that does not exist"),
        ([3], r"\[0\]\.a record with frame expected, got 3"),
        ([{"box": [0, 0, 1, 1]}], r"\[0\]\.frame expected"),
        ([{"frame": -1, "box": [0, 0, 1, 1]}], r"\[0\]\.frame: a whole number from 0"),
        ([{"frame": 0, "box": [0, 0, 1]}], r"\[0\]\.box: \[x1, y1, x2, y2\] expected"),
        ([{"frame": 0, "box": [0, 0, 1, None]}], r"\[0\]\.box\[3\]: a number expected"),
        ([{"frame": 0, "box": [2, 0, 1, 1]}], "x1 ≤ x2"),
        ([COLUMN[0], {"frame": 0, "box": [0, 0, 1, 1]}], "track of all boxes expected, or of none"),
        (7, "a list expected, got int"),
    ],
)
def test_damage_in_a_column_is_told_with_its_field(tmp_path, told, message):
    with pytest.raises(InputError, match=message):
        of(ColumnBoxes(root=tmp_path), boxes=told)
