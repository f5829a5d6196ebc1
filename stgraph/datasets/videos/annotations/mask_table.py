"""Masks that a table holds, as their runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError
from stgraph.datasets.videos.annotations.masks import Looked, Mask, Masks
from stgraph.datasets.videos.annotations.rle import mask_of_runs
from stgraph.datasets.videos.annotations.table import Table
from stgraph.datasets.videos.entries import Entry

__all__ = ["TableMasks"]


class TableMasks(Masks):
    """What a table of masks says of a clip's frames.

    Args:
        table: of masks, by video and frame.
        slots: M, as of :class:`Masks`.
        size: as of :class:`Masks`.
        missing: as of :class:`Masks`.

    Raises:
        InputError: on a table without masks, or options out of range.
    """

    def __init__(
        self,
        table: Table,
        slots: int = 10,
        size: Sequence[int] | None = None,
        missing: str = "empty",
    ) -> None:
        super().__init__(slots, size, missing)
        if len(table) and "runs" not in table.columns:
            raise InputError("table", "one of masks", "one of boxes")
        self.table, self.source = table, table.source

    def find(self, entry: Entry, frames: NDArray[np.int64]) -> tuple[list[Mask], Looked]:
        """The masks of a clip's frames, out of the table."""
        rows, place, seen = self.table.find(entry.known_as, frames)
        return [self._mask(*pair) for pair in zip(rows, place.tolist(), strict=True)], seen

    def _mask(self, row: np.int64, place: int) -> Mask:
        columns = self.table.columns
        height, width = columns["mask_size"][row].tolist()
        start = int(columns["run_start"][row])
        runs = columns["runs"][start : start + int(columns["run_count"][row])]
        numbers = (columns[name][row].item() for name in ("track", "category", "score"))
        return Mask(
            (height, width), partial(_drawn, self.source, height, width, runs), place, *numbers
        )


def _drawn(source: str, height: int, width: int, runs: NDArray[np.int32]) -> NDArray[np.uint8]:
    try:
        return mask_of_runs(height, width, runs)
    except ValueError as error:  # a table that was damaged
        raise InputError(source, "runs that fill a mask", str(error)) from error
