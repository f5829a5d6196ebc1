"""Masks of clips, cut and resized as the clip's pixels are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stgraph.checks import InputError, choice, integer, node_count, shape
from stgraph.datasets.videos.annotations.boxes import MISSING, boxes_in_view, check_looked_at
from stgraph.datasets.videos.annotations.slots import in_slots
from stgraph.datasets.videos.annotations.table import Columns
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.entries import Entry
from stgraph.kernels import area_weights

__all__ = ["Looked", "Mask", "Masks"]

Looked = NDArray[np.bool_]
"""Which frames of a clip were looked at ``[T]``."""
_TALLER = 1.1
"""How much taller a frame may be than its mask, for its width: sizes are rounded, not turned."""


class Mask(NamedTuple):
    """A mask of a thing in a frame of a clip."""

    size: tuple[int, int]
    """Height and width."""
    draw: Callable[[], NDArray[np.uint8]]
    """Makes the mask, ``[H, W]`` of 0 and 1; called when it is needed."""
    place: int
    """Which frame of the clip, from 0."""
    track: int
    """Which thing."""
    category: int
    """Its class, from 1."""
    score: float
    """How sure the segmenter was."""


class Masks(ABC):
    """Masks of a clip's frames, in M slots: a part of a data set of videos.

    ``masks(entry, frames, size, view)`` returns what
    :class:`~stgraph.datasets.videos.annotations.Boxes` does, with boxes that just enclose what is
    seen of each mask, and

    ========  =====================  =========================================================
    ``mask``  float32 [T, M, h, w]   the share of each pixel that is covered, in 0..1
    ========  =====================  =========================================================

    A subclass says in :meth:`find` which masks there are.

    Args:
        slots: M.
        size: height and width (h, w) of the masks that come out; the view's by default. As large as
            the feature maps is enough for :class:`~stgraph.nodes.MaskNodes`, and takes less memory.
        missing: as of :class:`~stgraph.datasets.videos.annotations.Boxes`.

    Raises:
        InputError: on options out of range, and on masks of another shape than the frames.
    """

    source: str = "masks"
    """Where the masks come from, for messages."""

    def __init__(
        self, slots: int = 10, size: Sequence[int] | None = None, missing: str = "empty"
    ) -> None:
        self.slots = node_count("slots", slots)
        self.size = None if size is None else tuple(integer("size", side) for side in size)
        if self.size is not None and len(self.size) != 2:
            raise InputError("size", "(height, width)", size)
        self.missing = choice("missing", missing, MISSING)

    @abstractmethod
    def find(self, entry: Entry, frames: NDArray[np.int64]) -> tuple[list[Mask], Looked]:
        """The masks of some frames of a video, in the order of frames, and which were looked at."""

    def __call__(
        self, entry: Entry, frames: Tensor, size: tuple[int, int], view: View
    ) -> dict[str, Tensor]:
        """The masks of a clip; arguments as of the call of
        :class:`~stgraph.datasets.videos.annotations.Boxes`.
        """
        shape("frames", frames, "T")
        numbers = frames.numpy().astype(np.int64)
        found, seen = self.find(entry, numbers)
        check_looked_at(self.missing, self.source, entry, numbers, seen)
        for mask in found:
            taller = (mask.size[0] * size[1]) / (mask.size[1] * size[0])
            if not 1 / _TALLER < taller < _TALLER:
                expected = f"masks of the shape of frames of {size[0]} × {size[1]}"
                came = f"{mask.size[0]} × {mask.size[1]} of {entry.name!r}"
                raise InputError(self.source, expected, came)
        box = np.array([_seen_box(mask.draw(), view) for mask in found]).reshape(-1, 4)
        inside, _ = boxes_in_view(box, view)
        values: Columns = {
            "box": inside,
            "category": np.array([mask.category for mask in found], dtype=np.int64),
            "score": np.array([mask.score for mask in found], dtype=np.float32),
        }
        fields, cells = in_slots(
            np.asarray((inside[:, 2:] > inside[:, :2]).all(1)),
            np.array([mask.place for mask in found], dtype=np.int64),
            np.array([mask.track for mask in found], dtype=np.int64),
            values,
            len(numbers),
            self.slots,
        )
        height, width = view.size if self.size is None else self.size
        drawn = torch.zeros(len(numbers), self.slots, height, width)
        for row, cell in cells.items():
            drawn[cell] = _in_view(found[row].draw(), view, height, width)
        return {**fields, "mask": drawn, "annotated": torch.from_numpy(seen)}


def _windows(view: View) -> tuple[tuple[float, float], ...]:
    """Where the view begins and ends in the frame, in 0..1: rows, then columns."""
    return tuple(
        (start / whole, (start + cut) / whole)
        for start, cut, whole in zip((view.top, view.left), view.cut, view.scaled, strict=True)
    )


def _ends(mask: NDArray[np.uint8], axis: int) -> tuple[int, int]:
    """The first row or column with something in it, and the one behind the last."""
    found = np.flatnonzero(mask.any(1 - axis))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)


def _seen_box(mask: NDArray[np.uint8], view: View) -> tuple[float, ...]:
    """The box in 0..1 of the frame around the pixels that are in view, be it in part."""
    starts, ends = [], []
    for (low, high), cells in zip(_windows(view), mask.shape, strict=True):
        starts.append(int(np.floor(low * cells + 1e-6)))
        ends.append(int(np.ceil(high * cells - 1e-6)))
    part = mask[starts[0] : ends[0], starts[1] : ends[1]]
    (y1, y2), (x1, x2) = _ends(part, 0), _ends(part, 1)
    height, width = mask.shape
    return (
        (starts[1] + x1) / width,
        (starts[0] + y1) / height,
        (starts[1] + x2) / width,
        (starts[0] + y2) / height,
    )


def _in_view(mask: NDArray[np.uint8], view: View, height: int, width: int) -> Tensor:
    """A mask as a view shows it, resized by area ``[h, w]``."""
    (y1, y2), (x1, x2) = _ends(mask, 0), _ends(mask, 1)  # the rest is 0
    exact = torch.empty(0, dtype=torch.float64)  # so that what is in view weighs something
    rows, columns = (
        area_weights(source, target, low, high, like=exact)
        for source, target, (low, high) in zip(
            mask.shape, (height, width), _windows(view), strict=True
        )
    )
    part = torch.from_numpy(mask[y1:y2, x1:x2].astype(np.float64))
    shown = (rows[:, y1:y2] @ part @ columns[:, x1:x2].T).clamp(0, 1).float()
    return shown.flip(-1) if view.flip else shown
