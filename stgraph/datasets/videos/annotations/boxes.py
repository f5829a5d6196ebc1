"""Boxes of clips: a table of annotations, seen through a clip's own view."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stgraph.checks import InputError, choice, fraction, node_count, shape
from stgraph.datasets.videos.annotations.slots import in_slots
from stgraph.datasets.videos.annotations.table import Columns, Table
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.entries import Entry

__all__ = ["MISSING", "Boxes", "boxes_in_view", "check_looked_at", "table_boxes"]

MISSING = ("empty", "raise")


class Boxes:
    """What a table says of a clip's frames, in M slots: a part of a data set of videos.

    ``boxes(entry, frames, size, view)`` returns

    ==============  ==================  ==========================================================
    ``box``         float32 [T, M, 4]   (x1, y1, x2, y2) in 0..1 of the view, 0 where there is none
    ``present``     bool [T, M]         where there is a box
    ``track``       int64 [T, M]        m in slot m: a thing has one slot in all frames of a clip
    ``category``    int64 [T, M]        its class, 0 where there is none
    ``score``       float32 [T, M]      how sure the detector was, 0 where there is none
    ``annotated``   bool [T]            whether the frame was looked at, be there boxes or not
    ``left_out``    int64 []            boxes in view for which there was no slot
    ==============  ==================  ==========================================================

    Boxes go through the clip's resize, cut and flip, as its pixels do. What lies outside of the
    view is absent, and when it comes back it has its slot. Slots go by first appearance in the
    clip; where there are more things than slots, those that are seen in the most of its frames have
    one.

    Args:
        table: of boxes, by video and frame. A video is found by its entry's name, or by its own
            where several clips are of it, with or without the ending of a file.
        slots: M.
        missing: what becomes of a frame that nobody looked at: ``"empty"`` has no boxes, and says
            so in ``annotated``; ``"raise"`` is an error that names it.
        visible: the share of a box's area that has to be in view.

    Raises:
        InputError: on options out of range.
    """

    def __init__(
        self, table: Table, slots: int = 10, missing: str = "empty", visible: float = 0.0
    ) -> None:
        self.table = table
        self.slots = node_count("slots", slots)
        self.missing = choice("missing", missing, MISSING)
        self.visible = fraction("visible", visible)

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Names of videos of which nothing is known."""
        return [name for name in names if self.table.video(name) is None]

    def __call__(
        self, entry: Entry, frames: Tensor, size: tuple[int, int], view: View
    ) -> dict[str, Tensor]:
        """The boxes of a clip.

        Args:
            entry: the clip.
            frames: numbers of its frames in the video, from 0 ``[T]``.
            size: height and width of the frames, upright.
            view: which part is seen.

        Raises:
            InputError: for a frame that was not looked at, where ``missing`` is ``"raise"``.
        """
        return table_boxes(
            self.table, entry, frames, size, view, self.slots, self.missing, self.visible
        )


def table_boxes(
    table: Table,
    entry: Entry,
    frames: Tensor,
    size: tuple[int, int],
    view: View,
    slots: int,
    missing: str,
    visible: float,
) -> dict[str, Tensor]:
    """What a table says of a clip's frames: see :class:`Boxes`."""
    shape("frames", frames, "T")
    numbers = frames.numpy().astype(np.int64)
    rows, place, seen = table.find(entry.known_as, numbers)
    check_looked_at(missing, table.source, entry, numbers, seen)
    columns = {name: table.columns[name][rows] for name in ("box", "track", "category", "score")}
    box = columns["box"].astype(np.float64)
    if table.pixels:
        box /= np.array([size[1], size[0], size[1], size[0]])
    inside, share = boxes_in_view(box, view)
    values: Columns = {
        "box": inside,
        "category": columns["category"].astype(np.int64),
        "score": columns["score"],
    }
    shown = (inside[:, 2:] > inside[:, :2]).all(1) & (share >= visible - 1e-6)
    fields, _ = in_slots(shown, place, columns["track"], values, len(numbers), slots)
    return {**fields, "annotated": torch.from_numpy(seen)}


def boxes_in_view(
    box: NDArray[np.float64], view: View
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Boxes in 0..1 of a view, and which share of each is in it.

    In single precision, where what is left of a box on the edge may be nothing.

    Args:
        box: (x1, y1, x2, y2) in 0..1 of the frame ``[R, 4]``; what lies outside is cut off.
        view: the view.

    Returns:
        ``[R, 4]`` and ``[R]``.
    """
    whole = box.clip(0, 1)
    inside = view.boxes(torch.from_numpy(whole)).numpy()
    views = (view.scaled[0] / view.cut[0]) * (view.scaled[1] / view.cut[1])  # that fill a frame
    share = _area(inside) / np.maximum(_area(whole) * views, 1e-300)
    return inside.astype(np.float32), share


def _area(box: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (box[:, 2:] - box[:, :2]).prod(1)
    return area


def check_looked_at(
    missing: str, source: str, entry: Entry, frames: NDArray[np.int64], seen: NDArray[np.bool_]
) -> None:
    """Refuse a clip with frames that nobody looked at, where that is wanted.

    Raises:
        InputError: which names the first of them.
    """
    if missing == "raise" and not seen.all():
        frame = int(frames[~seen][0])
        raise InputError(source, f"annotations of frame {frame} of {entry.name!r}", "none")
