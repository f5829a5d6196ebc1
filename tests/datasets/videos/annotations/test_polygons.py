"""Polygons become masks by their definition, pixel by pixel, in exact arithmetic."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import (
    CocoMasks,
    mask_of_runs,
    polygons_of,
    runs_of_polygons,
)

CLIP = Entry(Path("7.mp4"), name="7")
WHOLE = View((6, 9), 0, 0, (6, 9), (6, 9))


def by_plain_code(polygons: list[list[Fraction]], height: int, width: int) -> np.ndarray:
    """Whether a ray upwards from each pixel's middle crosses an odd number of edges."""
    mask = np.zeros((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            x, y = column + Fraction(1, 2), row + Fraction(1, 2)
            for polygon in polygons:
                corners = list(zip(polygon[::2], polygon[1::2], strict=True))
                ends = corners[1:] + corners[:1]
                crossed = 0
                for (ax, ay), (bx, by) in zip(corners, ends, strict=True):
                    if (ax <= x) != (bx <= x):
                        crossed += ay + (x - ax) * (by - ay) / (bx - ax) <= y
                mask[row, column] |= crossed % 2
    return mask


@pytest.mark.parametrize("parts", [1, 2, 64], ids=str)
def test_masks_are_those_of_the_definition(parts: int) -> None:
    """Of any corners, also on middles and edges of pixels, outside, and that cross themselves."""
    chance = random.Random(parts)
    for _ in range(60):
        height, width = chance.randint(1, 9), chance.randint(1, 9)
        polygons = [
            [Fraction(chance.randint(-3 * parts, 12 * parts), parts) for _ in range(2 * corners)]
            for corners in (chance.randint(3, 8) for _ in range(chance.randint(1, 3)))
        ]
        told = [[float(value) for value in polygon] for polygon in polygons]
        runs = runs_of_polygons(told, height, width)
        assert all(runs[1:])  # the shortest that there are
        expected = by_plain_code(polygons, height, width)
        np.testing.assert_array_equal(mask_of_runs(height, width, runs), expected)


def test_known_shapes() -> None:
    star = [5, 0, 8, 9, 0, 3, 10, 3, 2, 9]  # drawn in one stroke: its middle is outside
    mask = mask_of_runs(9, 10, runs_of_polygons([star], 9, 10))
    assert mask[4, 5] == 0
    assert mask[2, 5] == mask[3, 3] == 1
    left, right = [0, 0, 6, 0, 6, 9, 0, 9], [4, 0, 10, 0, 10, 9, 4, 9]
    assert list(runs_of_polygons([left, right], 9, 10)) == [0, 90]  # together, not in turns
    assert list(runs_of_polygons([[-9, -9, -5, -9, -5, -5]], 9, 10)) == [90]
    square = [-1e29, -1e29, 1e29, -1e29, 1e29, 1e29, -1e29, 1e29]
    assert list(runs_of_polygons([square], 9, 10)) == [0, 90]


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ([], "segmentation: a list of polygons expected, got []"),
        ("no", "segmentation: a list of polygons expected, got no"),
        ([1, 2, 3, 4, 5, 6], r"segmentation\[0\]: a polygon \[x1, y1, …\] expected, got 1"),
        ([[0, 0, 1, 1]], r"segmentation\[0\]: x and y of three corners or more expected, got 4"),
        ([[0] * 6, [0] * 7], r"segmentation\[1\]: x and y .* got 7 numbers"),
        ([[0, 0, 1, 1, 2, "3"]], r"segmentation\[0\]: a number expected, got '3'"),
        ([[0, 0, 1, 1, 2, None]], r"segmentation\[0\]: a number expected, got None"),
        ([[0, 0, 1, 1, 2, 1e300]], r"segmentation\[0\]: a number expected, got 1e\+300"),
        ([[0, 0, 1, 1, 2, True]], r"segmentation\[0\]: a number expected, got True"),
    ],
    ids=str,
)
def test_what_is_no_polygon_is_refused(segmentation: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("got []", r"got \[\]")):
        polygons_of(segmentation)


def test_an_outline_that_takes_the_machine_is_refused() -> None:
    """Ten thousand edges, each across eight thousand columns."""
    zigzag = [value for k in range(10000) for value in (0 if k % 2 else 8192, k)]
    with pytest.raises(ValueError, match="crossings of columns expected, got 8192"):
        runs_of_polygons([zigzag], 8192, 8192)


def coco(path: Path, *segmentations: Any, **more: Any) -> Path:
    image = {"id": 1, "file_name": "7/00001.jpg", "width": 9, "height": 6}
    found = [{"image_id": 1, "segmentation": one, **more} for one in segmentations]
    path.write_text(json.dumps({"annotations": found, "images": [image]}))  # images last
    return path


def test_coco_files_have_polygons_runs_and_crowds(tmp_path: Path) -> None:
    runs = {"size": [6, 9], "counts": [0, 12, 42]}
    path = coco(tmp_path / "a.json", [[3, 1, 6, 1, 6, 4, 3, 4]], runs)
    fields = CocoMasks(path, slots=2)(CLIP, torch.tensor([0]), (12, 18), WHOLE)
    assert fields["mask"][0, 0].nonzero().tolist() == [[r, c] for r in (1, 2, 3) for c in (3, 4, 5)]
    assert fields["mask"][0, 1].sum() == 12
    torch.testing.assert_close(fields["box"][0, 0], torch.tensor([3 / 9, 1 / 6, 6 / 9, 4 / 6]))
    flipped = View((6, 9), 1, 3, (3, 6), (3, 6), flip=True)
    mirrored = CocoMasks(path, slots=1)(CLIP, torch.tensor([0]), (12, 18), flipped)
    assert mirrored["mask"][0, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 3
    path = coco(tmp_path / "b.json", runs, iscrowd=1)
    assert not CocoMasks(path)(CLIP, torch.tensor([0]), (6, 9), WHOLE)["present"].any()


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    path = coco(tmp_path / "a.json", [[0, 0, 4, 0, 4, 4]], [[0, 0, 4, 0, 4]])
    with pytest.raises(InputError, match=r"a\.json.*annotations\[1\].*segmentation\[0\]: x and y"):
        CocoMasks(path)


@pytest.mark.slow
def test_masks_of_more_runs_than_memory_is_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    zigzag = [value for k in range(256) for value in (0 if k % 2 else 9000, 4 * k)]
    image = {"id": 1, "file_name": "7/00001.jpg", "width": 8192, "height": 1024}
    found = [{"image_id": 1, "segmentation": [zigzag]}] * 12
    path.write_text(json.dumps({"images": [image], "annotations": found}))
    with pytest.raises(InputError, match="annotations of image 1: masks of at most 16777216 runs"):
        CocoMasks(path)
