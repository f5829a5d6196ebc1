"""Run-length encoded masks, as COCO has them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgraph.datasets.videos.annotations.values import field, whole_number
from stgraph.datasets.videos.reading import MOST_PIXELS

__all__ = ["mask_of_runs", "runs_of_rle"]


def runs_of_rle(segmentation: Any) -> tuple[int, int, array[int]]:
    """Height, width and runs of a run-length encoded mask.

    Runs are lengths of stretches of 0 and 1 in turns, beginning with 0 (which may be of no length),
    down the columns, one column after another. ``counts`` are the runs, or a text of them: of the
    first three each, of the others the differences to the run before the last, in digits of base
    32, the lowest first. A digit is a character from ``0`` on; 32 more means that more follow, and
    16 in the last one that the number is negative (two's complement).

    Args:
        segmentation: ``{"size": [H, W], "counts": list or text}``.

    Raises:
        ValueError: when it is another thing, or the runs do not fill the mask.

    Examples:
        >>> runs_of_rle({"size": [2, 3], "counts": [1, 2, 3]})
        (2, 3, array('i', [1, 2, 3]))
        >>> runs_of_rle({"size": [2, 3], "counts": "123"})
        (2, 3, array('i', [1, 2, 3]))
    """
    if isinstance(segmentation, list):
        expected = "a run-length encoded mask {size, counts} expected"
        raise ValueError(f"segmentation: {expected}, got polygons or another list")
    size = field(segmentation, "size")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"size: [height, width] expected, got {str(size)[:80]}")
    height, width = (whole_number(side, "size", 1, 1 << 16) for side in size)
    if height * width > MOST_PIXELS:
        raise ValueError(f"size: at most {MOST_PIXELS} pixels expected, got {height} × {width}")
    counts = field(segmentation, "counts")
    runs = array("i")
    if isinstance(counts, str):
        runs = _decoded(counts, height * width)
    elif isinstance(counts, list):
        runs = array("i", [whole_number(run, "counts", most=MOST_PIXELS) for run in counts])
    else:
        raise ValueError(f"counts: a list or a text expected, got {type(counts).__name__}")
    if sum(runs) != height * width:
        raise ValueError(f"counts: {height * width} pixels in all expected, got {sum(runs)}")
    return height, width, runs


def _decoded(text: str, most: int) -> array[int]:
    runs = array("i")
    value, shift = 0, 0
    for place, character in enumerate(text):
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 30:
            raise ValueError(f"counts: COCO's text of runs expected, got {text[place:][:20]!r}")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if not 0 <= value <= most:
            raise ValueError(f"counts: runs from 0 to {most} expected, got {value}")
        runs.append(value)
        value, shift = 0, 0
    if shift:
        raise ValueError("counts: a whole text expected, got one that breaks off")
    return runs


def mask_of_runs(
    height: int, width: int, runs: Sequence[int] | NDArray[np.int32]
) -> NDArray[np.uint8]:
    """The mask ``[H, W]`` of 0 and 1 that has these runs: see :func:`runs_of_rle`.

    Raises:
        ValueError: when they do not fill it.

    Examples:
        >>> mask_of_runs(2, 3, [1, 2, 3])
        array([[0, 1, 0],
               [1, 0, 0]], dtype=uint8)
    """
    counts = np.asarray(runs, dtype=np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"runs of {height * width} pixels expected")
    values = (np.arange(len(counts)) % 2).astype(np.uint8)
    return np.repeat(values, counts).reshape(width, height).T
