"""Boxes that a data set's own file names beside each clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from stgraph.checks import InputError, choice, flag, fraction, integer, node_count
from stgraph.datasets.videos.annotations.boxes import MISSING, table_boxes
from stgraph.datasets.videos.annotations.table import Table, TableWriter
from stgraph.datasets.videos.annotations.values import (
    field,
    frame_number,
    identity,
    number,
    whole_number,
)
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.entries import Entry
from stgraph.reading import parse_json, read_json, reason

__all__ = ["ColumnBoxes"]

_EXPECTED = "a list of boxes: [{frame, box, track, …}, …]"


class ColumnBoxes:
    """Boxes in a column of a manifest: JSON in its place, or the path of a JSON file.

    They are a list of records: ``frame``, the number of a frame; ``box`` (x1, y1, x2, y2); and if
    there is such, ``track`` (a number or a text, the same in all frames of a thing; of all boxes or
    of none), ``category`` (from 1) and ``score``. Without tracks the n-th box of each frame is
    track n. An empty list is a video without boxes; an empty place, or none, one that nobody looked
    at.

    Args:
        column: name of the column.
        slots: M, as of :class:`~stgraph.datasets.videos.annotations.Boxes`.
        missing: as of :class:`~stgraph.datasets.videos.annotations.Boxes`.
        visible: as of :class:`~stgraph.datasets.videos.annotations.Boxes`.
        root: folder that paths are relative to.
        pixels: whether boxes are in pixels of the frame; in 0..1 of it otherwise.
        first: number of a video's first frame.

    Raises:
        InputError: on options out of range; for a clip, when its boxes are damaged, with the field.

    Examples:
        >>> import torch
        >>> told = '[{"frame": 3, "box": [0, 0, 8, 4], "track": "ball"}]'
        >>> clip = Entry(Path("a.mp4"), name="a.mp4", columns={"boxes": told})
        >>> view = View((8, 16), 0, 0, (8, 16), (8, 16))
        >>> fields = ColumnBoxes(slots=1)(clip, torch.tensor([2, 3]), (8, 16), view)
        >>> fields["box"].tolist(), fields["present"].tolist()
        ([[[0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.5, 0.5]]], [[False], [True]])
    """

    def __init__(
        self,
        column: str = "boxes",
        slots: int = 10,
        missing: str = "empty",
        visible: float = 0.0,
        root: str | Path = ".",
        pixels: bool = True,
        first: int = 0,
    ) -> None:
        self.column = column
        self.slots = node_count("slots", slots)
        self.missing = choice("missing", missing, MISSING)
        self.visible = fraction("visible", visible)
        self.root = Path(root)
        self.pixels = flag("pixels", pixels)
        self.first = integer("first", first, 0)

    def __call__(
        self, entry: Entry, frames: Tensor, size: tuple[int, int], view: View
    ) -> dict[str, Tensor]:
        """The boxes of a clip, as :class:`~stgraph.datasets.videos.annotations.Boxes` has them."""
        table = self._table(entry)
        return table_boxes(table, entry, frames, size, view, self.slots, self.missing, self.visible)

    def _table(self, entry: Entry) -> Table:
        told = entry.columns.get(self.column)
        source = f"{self.column} of {entry.name!r}"
        writer = TableWriter(source, self.pixels)
        try:
            if isinstance(told, str) and told.strip():
                told = self._read(told.strip())
            if told is not None and not isinstance(told, str):
                self._add(writer, writer.video(entry.known_as), told)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(source, _EXPECTED, reason(error)) from error
        return writer.table()

    def _read(self, told: str) -> Any:
        if told[0] in "[{":
            return parse_json(told)
        return read_json(self.root / told, _EXPECTED)

    def _add(self, writer: TableWriter, video: int, records: Any) -> None:
        if not isinstance(records, list | np.ndarray):
            raise ValueError(f"a list expected, got {type(records).__name__}")
        times: dict[int, int] = {}
        followed = {isinstance(record, dict) and "track" in record for record in records}
        if len(followed) > 1:
            raise ValueError("track of all boxes expected, or of none")
        for place, record in enumerate(records):
            try:
                frame = frame_number(field(record, "frame"), "frame", self.first)
                box = field(record, "box")
                if not isinstance(box, list | tuple | np.ndarray) or len(box) != 4:
                    raise ValueError(f"box: [x1, y1, x2, y2] expected, got {str(box)[:80]}")
                corners = [number(value, f"box[{side}]") for side, value in enumerate(box)]
                times[frame] = times.get(frame, 0) + 1
                track = identity(record["track"], "track") if "track" in record else times[frame]
                category = whole_number(record.get("category", 1), "category", 1)
                score = number(record.get("score", 1.0), "score")
            except ValueError as error:
                raise ValueError(f"[{place}].{error}") from error
            writer.add(video, frame, corners, track, category, score)
