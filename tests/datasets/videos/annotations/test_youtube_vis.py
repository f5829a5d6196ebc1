"""Files of YouTube-VIS: a record a thing, with its boxes and masks in all frames."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import (
    CocoMasks,
    NumberedFrames,
    YouTubeVisBoxes,
    YouTubeVisMasks,
)
from stgraph.nodes import BoxNodes, MaskNodes

CLIP = Entry(Path("7"), name="7")
WHOLE = View((6, 9), 0, 0, (6, 9), (6, 9))
SQUARE, RUNS = [[0, 0, 3, 0, 3, 3, 0, 3]], {"size": [6, 9], "counts": [0, 12, 42]}


def content(frames: int = 4) -> dict[str, Any]:
    """Two things in one video; the first goes away and comes back, the second comes late."""
    names = [f"7/{5 * k:05d}.jpg" for k in range(frames)]
    video = {"id": 3, "file_names": names, "width": 9, "height": 6, "length": frames}
    other = {**video, "id": 4, "file_names": ["8/00000.jpg"], "length": 1}
    first = {"id": 70, "video_id": 3, "category_id": 5, "segmentations": [SQUARE, None, RUNS, None]}
    first["bboxes"] = [[0, 0, 3, 3], None, [0, 0, 2, 6], None]
    second = {"id": 71, "video_id": 3, "iscrowd": 0, "segmentations": [None, None, RUNS, SQUARE]}
    second["bboxes"] = [None, None, [0, 0, 2, 6], [0, 0, 3, 3]]
    crowd = {**first, "id": 72, "iscrowd": 1}
    return {"info": {}, "annotations": [first, second, crowd], "videos": [video, other]}


def write(path: Path, told: Any) -> Path:
    path.write_text(json.dumps(told))
    return path


@pytest.mark.parametrize("kind", [YouTubeVisBoxes, YouTubeVisMasks])
def test_things_have_tracks_and_are_absent_where_there_is_null(kind: Any, tmp_path: Path) -> None:
    part = kind(write(tmp_path / "a.json", content()), slots=2)
    fields = part(CLIP, torch.tensor([0, 1, 2, 3, 4]), (6, 9), WHOLE)
    present = [[True, False], [False, False], [True, True], [False, True], [False, False]]
    assert fields["present"].tolist() == present
    assert fields["annotated"].tolist() == [True] * 4 + [False]
    assert fields["category"][2].tolist() == [5, 1]
    corners = fields["box"] * torch.tensor([9, 6, 9, 6])
    torch.testing.assert_close(corners[2], torch.tensor([[0.0, 0, 2, 6]] * 2))
    torch.testing.assert_close(corners[3, 1], torch.tensor([0.0, 0, 3, 3]))
    if kind is YouTubeVisMasks:
        assert fields["mask"][0, 0].sum() == 9
        assert fields["mask"][2].sum((-2, -1)).tolist() == [12, 12]
    nodes, hints = (BoxNodes, {"boxes": "box"}), {"present": "present", "track": "track"}
    if kind is YouTubeVisMasks:
        nodes = (MaskNodes, {"masks": "mask"})
    told = {name: fields[field][None] for name, field in {**hints, **nodes[1]}.items()}
    graph, _ = nodes[0](channels=2)(torch.rand(1, 5, 2, 6, 9), **told)
    assert graph.node_id.tolist() == [0, 0, 1, 1]  # born, away, back
    assert graph.time.tolist() == [0, 2, 2, 3]
    assert not part(Entry(Path("9"), name="9"), torch.arange(2), (6, 9), WHOLE)["annotated"].any()


def test_masks_are_those_of_the_same_things_in_coco(some_view: Any, tmp_path: Path) -> None:
    told, images, found = content(), [], []
    for frame, name in enumerate(told["videos"][0]["file_names"]):
        images.append({"id": frame, "file_name": name, "width": 9, "height": 6})
        for thing in told["annotations"][:2]:
            if thing["segmentations"][frame]:
                one = {"image_id": frame, "segmentation": thing["segmentations"][frame]}
                found.append({**one, "track_id": thing["id"]})
    path = write(tmp_path / "b.json", {"images": images, "annotations": found})
    coco = CocoMasks(path, slots=2, frame_of=NumberedFrames(first=0))
    vis = YouTubeVisMasks(
        write(tmp_path / "a.json", told), slots=2, frame_of=NumberedFrames(first=0)
    )
    chance = random.Random(0)
    for _ in range(10):
        view = some_view(chance, 6, 9)
        one, other = (p(CLIP, torch.arange(0, 20, 5), (6, 9), view) for p in (coco, vis))
        for name in ("box", "present", "track", "mask", "annotated"):
            assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c["annotations"][0].update(video_id=9), r"annotations\[0\]\.video_id: that of"),
        (lambda c: c["annotations"][1].update(id=70), r"annotations\[1\]\.id: a thing once"),
        (lambda c: c["annotations"][0]["segmentations"].pop(), r"\[0\]\.segmentations: 4 expected"),
        (
            lambda c: c["annotations"][0].update(segmentations=None),
            r"segmentations: a list expected",
        ),
        (
            lambda c: c["annotations"][1]["segmentations"].__setitem__(2, [[1, 2, 3, 4, 5]]),
            r"annotations\[1\]\.segmentations\[2\]\.segmentation\[0\]: x and y",
        ),
        (
            lambda c: c["annotations"][1]["segmentations"].__setitem__(2, "x"),
            r"annotations\[1\]\.segmentations\[2\]",
        ),
        (
            lambda c: c["videos"][0].update(file_names=[]),
            r"videos\[0\]\.file_names: a list of names",
        ),
        (lambda c: c["videos"][0].update(file_names=[1]), r"file_names: a list of names"),
        (lambda c: c["videos"][0].update(width=1e30), r"videos\[0\]\.width: a whole number"),
        (
            lambda c: c["videos"][0]["file_names"].__setitem__(1, "8/1.jpg"),
            r"videos\[0\]\.file_names: those of one video",
        ),
        (lambda c: c["videos"][1].update(id=3), r"videos\[1\]\.id: a video once"),
        (
            lambda c: c["videos"][1].update(file_names=["7/0.jpg"]),
            r"videos\[1\]\.file_names: a video once expected, got '7' again",
        ),
        (
            lambda c: c["videos"][0].update(file_names=["0.jpg"] * 4),
            r"file_names\[0\]: video/00000",
        ),
        (lambda c: c.update(annotations=None), "annotations as YouTube-VIS has them"),
        (lambda c: c.pop("videos"), "videos expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "change",
)
def test_what_is_wrong_is_told_with_its_place(change: Any, told: str, tmp_path: Path) -> None:
    damaged = deepcopy(content())
    change(damaged)
    with pytest.raises(InputError, match=rf"a\.json.*{told}"):
        YouTubeVisMasks(write(tmp_path / "a.json", damaged))


@pytest.mark.parametrize("kind", [YouTubeVisBoxes, YouTubeVisMasks])
def test_things_that_are_not_sure_are_left_out(kind: Any, tmp_path: Path) -> None:
    told = content()
    for thing, score in zip(told["annotations"], (0.4, 0.8), strict=False):
        thing["score"] = score
    path, frames = write(tmp_path / "a.json", told), torch.arange(4)
    for least, there in [(None, [1, 0, 2, 1]), (0.4, [1, 0, 2, 1]), (0.5, [0, 0, 1, 1])]:
        fields = kind(path, slots=2, least_score=least)(CLIP, frames, (6, 9), WHOLE)
        assert fields["present"].sum(1).tolist() == there
    strict = kind(path, missing="raise")
    with pytest.raises(InputError, match="expected annotations of frame 4 of"):
        strict(CLIP, torch.tensor([4]), (6, 9), WHOLE)


def test_boxes_of_things_have_to_be_visible(tmp_path: Path) -> None:
    path, left = write(tmp_path / "a.json", content()), View((6, 9), 0, 0, (6, 1), (6, 1))
    for visible, there in [(0.49, 2), (0.51, 0)]:  # half of boxes that are two pixels wide
        part = YouTubeVisBoxes(path, slots=2, visible=visible)
        assert part(CLIP, torch.tensor([2]), (6, 9), left)["present"].sum() == there


@pytest.mark.parametrize("kind", ["coco", "youtube-vis"])
def test_masks_have_the_size_that_is_asked_for(kind: str, tmp_path: Path) -> None:
    told = content()
    make: Any = YouTubeVisMasks
    if kind == "coco":
        make = CocoMasks
        image = {"id": 1, "file_name": "7/00001.jpg", "width": 9, "height": 6}
        things = [
            {"image_id": 1, "segmentation": SQUARE, "track_id": n, "score": n / 2} for n in (1, 2)
        ]
        told = {"images": [image], "annotations": things}
    path = write(tmp_path / "a.json", told)
    mask = make(path, slots=2, size=(12, 18))(CLIP, torch.tensor([0]), (6, 9), WHOLE)["mask"]
    assert mask.shape == (1, 2, 12, 18)
    assert mask[0, 0].sum() == 4 * 9
    if kind == "coco":
        for least, there in [(0.5, 2), (0.75, 1)]:
            part = make(path, slots=2, least_score=least, cache=tmp_path / "a.table")
            assert part(CLIP, torch.tensor([0]), (6, 9), WHOLE)["present"].sum() == there
        with pytest.raises(InputError, match="expected annotations of frame 3 of"):
            make(path, missing="raise")(CLIP, torch.tensor([3]), (6, 9), WHOLE)


def test_a_cache_is_made_anew_for_masks_and_for_names(tmp_path: Path) -> None:
    path, cache = write(tmp_path / "a.json", content()), tmp_path / "a.table"
    frames = np.arange(20)
    for kind, options, seen in (
        (YouTubeVisMasks, {}, [0, 1, 2, 3]),
        (YouTubeVisMasks, {"frame_of": NumberedFrames(first=0)}, [0, 5, 10, 15]),
        (YouTubeVisBoxes, {"frame_of": NumberedFrames(first=0)}, [0, 5, 10, 15]),
    ):
        part = kind(path, cache=cache, **options)
        assert np.flatnonzero(part.table.find("7", frames)[2]).tolist() == seen
