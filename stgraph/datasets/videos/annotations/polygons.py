"""Masks of polygons, as COCO has them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgraph.datasets.videos.annotations.values import number
from stgraph.datasets.videos.reading import MOST_PIXELS

__all__ = ["polygons_of", "runs_of_polygons"]

_MOST_CROSSINGS = 1 << 22
"""Of all edges of a mask with the columns of its image: 8,000 columns are crossed 500 times."""


def polygons_of(segmentation: Any) -> list[array[float]]:
    """The polygons of an annotation, each x and y of its corners in turns.

    Args:
        segmentation: ``[[x1, y1, x2, y2, x3, y3, …], …]``, in pixels of the image.

    Raises:
        ValueError: when it is another thing.

    Examples:
        >>> polygons_of([[0, 0, 4, 0, 4, 2.5]])
        [array('d', [0.0, 0.0, 4.0, 0.0, 4.0, 2.5])]
    """
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f"segmentation: a list of polygons expected, got {str(segmentation)[:80]}")
    found = []
    for place, polygon in enumerate(segmentation):
        where = f"segmentation[{place}]"
        if not isinstance(polygon, list):
            raise ValueError(f"{where}: a polygon [x1, y1, …] expected, got {str(polygon)[:80]}")
        if len(polygon) < 6 or len(polygon) % 2:
            expected = "x and y of three corners or more expected"
            raise ValueError(f"{where}: {expected}, got {len(polygon)} numbers")
        found.append(array("d", (number(value, where) for value in polygon)))
    return found


def runs_of_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> array[int]:
    """The runs of a mask whose pixels have their centres in one of some polygons.

    Within a polygon that crosses itself, inside is what an odd number of its edges lies to the left
    of (even-odd); several polygons are parts of one thing, together. What lies outside of the image
    is cut off. Runs are those of :func:`~stgraph.datasets.videos.annotations.runs_of_rle`, found
    from edges, without a raster.

    Args:
        polygons: x and y in turns, in pixels; pixel (i, j) spans [j, j + 1] × [i, i + 1].
        height: of the image.
        width: of the image.

    Raises:
        ValueError: when edges cross more columns than any outline does.

    Examples:
        >>> runs_of_polygons([[1, 0, 3, 0, 3, 2, 1, 2]], 2, 3)
        array('i', [2, 4])
    """
    if height * width > MOST_PIXELS:
        raise ValueError(f"at most {MOST_PIXELS} pixels expected, got {height} × {width}")
    changes, steps = [], []
    for polygon in polygons:
        turns = _crossings(np.asarray(polygon, dtype=np.float64).reshape(-1, 2), height, width)
        changes.append(turns)
        steps.append(np.resize(np.array([1, -1]), len(turns)))  # in and out
    where, first = np.unique(np.concatenate(changes), return_inverse=True)
    depth = np.bincount(first, np.concatenate(steps), minlength=len(where)).cumsum()
    inside = np.concatenate([[False], depth > 0.5])
    turns = where[inside[1:] != inside[:-1]]
    bounds = np.concatenate([[0], turns, [height * width]])
    runs = np.diff(bounds)
    return array("i", (runs if runs[-1] or len(runs) == 1 else runs[:-1]).tolist())


def _crossings(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Numbers of the pixels where one goes into a polygon, and out of it, down the columns."""
    x0, y0 = corners.T
    x1, y1 = np.roll(corners, -1, axis=0).T
    # An edge crosses the columns whose middles lie between its ends.
    low, high = np.ceil(np.sort([x0, x1], axis=0) - 0.5).clip(0, width).astype(np.int64)
    count = high - low
    if (total := int(count.sum())) > _MOST_CROSSINGS:
        raise ValueError(f"at most {_MOST_CROSSINGS} crossings of columns expected, got {total}")
    edge = np.repeat(np.arange(len(corners)), count)
    column = low[edge] + np.arange(total) - np.repeat(count.cumsum() - count, count)
    along = column + 0.5 - x0[edge]
    y = y0[edge] + along * (y1 - y0)[edge] / (x1 - x0)[edge]
    row = np.ceil(y - 0.5).clip(0, height).astype(np.int64)  # the first one below the edge
    place: NDArray[np.int64] = np.sort(column * height + row)  # in each column an even number
    return place
