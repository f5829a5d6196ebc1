"""Masks of both kinds of files, through views, against plain code."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import CocoMasks, PngMasks, mask_of_runs, runs_of_rle

WHOLE = View((6, 9), 0, 0, (6, 9), (6, 9))
CLIP = Entry(Path("7.mp4"), name="7.mp4")


def runs_by_plain_code(mask):
    """Stretches of 0 and 1 in turns, pixel by pixel, down the columns."""
    runs, value = [0], 0
    for pixel in mask.T.reshape(-1).tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def text_of(runs):
    """COCO's text of runs, digit by digit."""
    text = ""
    for place, run in enumerate(runs):
        rest = run - (runs[place - 2] if place > 2 else 0)
        while True:
            digit, rest = rest & 31, rest >> 5
            more = rest != (-1 if digit & 16 else 0)
            text += chr(48 + digit + 32 * more)
            if not more:
                break
    return text


def some_masks(chance, count, height, width):
    random_numbers = np.random.default_rng(chance.randrange(1000))
    for _ in range(count):
        mask = (random_numbers.random((height, width)) < chance.random()).astype(np.uint8)
        mask[: chance.randrange(height)] = chance.randrange(2)
        yield mask


def test_runs_are_those_of_the_mask():
    chance = random.Random(0)
    for _ in range(200):
        height, width = chance.randint(1, 60), chance.randint(1, 60)
        for mask in some_masks(chance, 2, height, width):
            runs = runs_by_plain_code(mask)
            for counts in (runs, text_of(runs)):
                found = runs_of_rle({"size": [height, width], "counts": counts})
                assert (*found[:2], list(found[2])) == (height, width, runs)
                np.testing.assert_array_equal(mask_of_runs(*found), mask)


def test_digits_of_the_text_of_runs():
    """100 is 4 + 3·32: a 4 that goes on, and a 3. A last digit of 27 is −5, to be added to 9."""
    assert list(runs_of_rle({"size": [10, 10], "counts": "T3"})[2]) == [100]
    assert list(runs_of_rle({"size": [3, 7], "counts": "197K"})[2]) == [1, 9, 7, 4]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0, 0, 1, 1, 2, 2]], "segmentation: a run-length encoded mask"),
        ({"size": [2, 3]}, "counts expected"),
        ({"size": [2], "counts": [6]}, r"size: \[height, width\] expected"),
        ({"size": [2, 0], "counts": [0]}, "size: a whole number from 1"),
        ({"size": [60000, 60000], "counts": [6]}, "size: at most 67108864 pixels"),
        ({"size": [2, 3], "counts": [5]}, "counts: 6 pixels in all expected, got 5"),
        ({"size": [2, 3], "counts": [7, -1]}, "counts: a whole number from 0"),
        ({"size": [2, 3], "counts": 6}, "counts: a list or a text expected, got int"),
        ({"size": [2, 3], "counts": "~"}, "counts: COCO's text of runs expected"),
        ({"size": [2, 3], "counts": "oooooooooooo"}, "counts: COCO's text of runs expected"),
        ({"size": [2, 3], "counts": "o"}, "counts: a whole text expected"),
        ({"size": [2, 3], "counts": "O"}, "counts: runs from 0 to 6 expected, got -1"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        runs_of_rle(segmentation)


def coco(path: Path, masks, text: bool) -> Path:
    """Masks ``{frame: {track: mask}}`` as an instance segmenter writes them."""
    images, annotations = [], []
    for frame, things in masks.items():
        for track, mask in things.items():
            runs = runs_by_plain_code(mask)
            counts = text_of(runs) if text else runs
            segmentation = {"size": list(mask.shape), "counts": counts}
            found = {"image_id": frame, "track_id": track, "segmentation": segmentation}
            annotations.append({**found, "category_id": 3, "score": 0.5})
        images.append({"id": frame, "file_name": f"7/{frame + 1:05d}.jpg", "width": 9, "height": 6})
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def png(root: Path, masks) -> Path:
    """The same as index images, with a palette."""
    (root / "7").mkdir(parents=True, exist_ok=True)
    for frame, things in masks.items():
        values = np.zeros((6, 9), np.uint8)
        for track, mask in things.items():
            values[mask > 0] = track
        image = Image.fromarray(values)
        image.putpalette([channel for value in range(256) for channel in (value, 7, 255 - value)])
        image.save(root / "7" / f"{frame:05d}.png")
    return root


@pytest.fixture(params=["counts", "text", "png"])
def masks(request, tmp_path):
    """Makes a part of masks ``{frame: {track: mask}}`` that do not overlap."""

    def make(content, **options):
        if request.param == "png":
            return PngMasks(png(tmp_path, content), **options)
        return CocoMasks(coco(tmp_path / "a.json", content, request.param == "text"), **options)

    return make


def drawn(*rectangles):
    mask = np.zeros((6, 9), np.uint8)
    for y1, x1, y2, x2 in rectangles:
        mask[y1:y2, x1:x2] = 1
    return mask


def test_masks_have_slots_and_boxes(masks):
    first, second = drawn((0, 0, 3, 3), (4, 0, 5, 1)), drawn((2, 6, 6, 9))
    part = masks({0: {5: first}, 1: {5: first, 3: second}, 2: {3: second}}, slots=2)
    fields = part(CLIP, torch.tensor([0, 1, 2, 4]), (6, 9), WHOLE)
    assert fields["present"].tolist() == [[True, False], [True, True], [False, True], [False] * 2]
    assert fields["annotated"].tolist() == [True, True, True, False]
    assert fields["track"].tolist() == [[0, 1]] * 4
    torch.testing.assert_close(fields["mask"][1, 0], torch.from_numpy(first).float())
    torch.testing.assert_close(fields["mask"][2, 1], torch.from_numpy(second).float())
    assert not fields["mask"][~fields["present"]].any()
    boxes = fields["box"][1] * torch.tensor([9, 6, 9, 6])
    torch.testing.assert_close(boxes, torch.tensor([[0.0, 0, 3, 5], [6, 2, 9, 6]]))
    strict = masks({0: {5: first}}, missing="raise")
    with pytest.raises(InputError, match=r"annotations of frame 3 of '7\.mp4'"):
        strict(CLIP, torch.tensor([0, 3]), (6, 9), WHOLE)


def test_masks_out_of_view_have_no_slot(masks):
    away, near, empty = drawn((2, 6, 6, 9)), drawn((0, 0, 3, 3)), drawn()
    corner = View(scaled=(6, 9), top=0, left=0, cut=(3, 4), size=(3, 4))
    beside, below = drawn((0, 4, 3, 7)), drawn((3, 0, 6, 4))  # they touch the view from without
    there = dict(enumerate((away, near, empty, beside, below)))
    part = masks({frame: {1: mask} for frame, mask in there.items()}, slots=1)
    fields = part(CLIP, torch.arange(5), (6, 9), corner)
    assert fields["present"].flatten().tolist() == [False, True, False, False, False]
    torch.testing.assert_close(fields["mask"][1, 0], torch.from_numpy(near)[:3, :4].float())


def by_plain_code(mask, view, height, width):
    """The share of each pixel of a view that a mask covers, on a grid of 60 points."""
    fine = []
    for axis in (0, 1):
        side = (height, width)[axis]
        whole = view.scaled[axis]
        start, cut = (view.top, view.left)[axis], view.cut[axis]
        points = side * 60
        at = (start + (np.arange(points) + 0.5) / points * cut) / whole * mask.shape[axis]
        fine.append(at.astype(int))
    seen = mask[fine[0]][:, fine[1]].reshape(height, 60, width, 60).mean((1, 3))
    return seen[:, ::-1].copy() if view.flip else seen


def test_masks_go_through_any_view_as_plain_code_says(masks, some_view):
    chance = random.Random(4)
    content = {frame: {2: mask} for frame, mask in enumerate(some_masks(chance, 12, 6, 9))}
    shown = 0
    for _ in range(6):
        view = some_view(chance, 6, 9)
        size = (chance.randint(1, 7), chance.randint(1, 7))
        fields = masks(content, slots=1, size=size)(CLIP, torch.arange(12), (6, 9), view)
        for frame in range(12):
            expected = by_plain_code(content[frame][2], view, *size)
            came = fields["mask"][frame, 0].numpy()
            np.testing.assert_allclose(came, expected, atol=0.04)  # the grid's own error
            there = bool(fields["present"][frame, 0])
            assert there == bool(came.any())
            shown += there
            if there:  # the box encloses all that is seen, and no more than it has to
                x1, y1, x2, y2 = fields["box"][frame, 0].tolist()
                fine = by_plain_code(content[frame][2], view, 40, 40)
                rows, columns = (np.flatnonzero(fine.any(axis)) for axis in (1, 0))
                if len(rows):
                    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                    np.testing.assert_allclose([x1, y1, x2, y2], np.array(found) / 40, atol=0.051)
    assert shown > 20


def test_masks_of_turned_frames_are_refused(masks):
    part = masks({0: {5: drawn((0, 0, 3, 3))}})
    part(CLIP, torch.tensor([0]), (12, 18), WHOLE)
    with pytest.raises(
        InputError, match="expected masks of the shape of frames of 9 × 6, got 6 × 9 of"
    ):
        part(CLIP, torch.tensor([0]), (9, 6), WHOLE)


def test_values_and_names_of_png_masks(tmp_path):
    root = png(tmp_path, {4: {5: drawn((0, 0, 3, 3)), 255: drawn((4, 4, 6, 6))}})
    assert PngMasks(root)(CLIP, torch.tensor([4]), (6, 9), WHOLE)["present"].sum() == 1
    assert PngMasks(root, void=[])(CLIP, torch.tensor([4]), (6, 9), WHOLE)["present"].sum() == 2
    none = PngMasks(root, void=[0, 5, 255])(CLIP, torch.tensor([4]), (6, 9), WHOLE)
    assert none["present"].sum() == 0
    late = PngMasks(root, first=1)(CLIP, torch.tensor([3, 4]), (6, 9), WHOLE)
    assert late["annotated"].tolist() == [True, False]
    elsewhere = PngMasks(root)(Entry(Path("8"), name="8"), torch.tensor([4]), (6, 9), WHOLE)
    assert not elsewhere["annotated"].any()
    deep = Image.fromarray(np.full((6, 9), 40000, np.uint16))
    deep.save(root / "7/00005.png")
    assert PngMasks(root)(CLIP, torch.tensor([5]), (6, 9), WHOLE)["mask"].sum() == 54
    for first, message in [(5, "one image a frame, from number 5 on")]:
        with pytest.raises(InputError, match=message):
            PngMasks(root, first=first)(CLIP, torch.tensor([5]), (6, 9), WHOLE)
    Image.new("RGB", (9, 6)).save(root / "7/00006.png")
    Image.new("L", (9, 6)).save(root / "7/00007.jpg", format="JPEG")
    (root / "7/00007.jpg").rename(root / "7/00007.png")
    (root / "7/00008.png").write_bytes(b"")
    for frame, message in [(6, r"colours \(RGB\)"), (7, "cannot identify"), (8, "cannot identify")]:
        with pytest.raises(InputError, match=f"0000{frame}.png: .*{message}"):
            PngMasks(root)(CLIP, torch.tensor([frame]), (6, 9), WHOLE)
    with pytest.raises(InputError, match="root: expected a folder"):
        PngMasks(root / "no")
    with pytest.raises(InputError, match=r"size: expected \(height, width\)"):
        PngMasks(root, size=[3])
