"""The table of what a run logs, which a kill does not tear."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from stgraph.writing import append_whole, write_whole

__all__ = ["Place", "RowLogger"]

_TABLE, _REPEATED = "metrics.csv", "repeated.csv"
_VERSION = "version_"


class Place(TypedDict):
    """How far a table was when a checkpoint was written."""

    version: int
    rows: int


class RowLogger(CSVLogger):
    """Lightning's table of what is logged, one a session: ``csv/version_0/metrics.csv``, ….

    A row is appended as one piece, and a new heading replaces the file as a whole. What a session
    logged after the checkpoint from which the next one goes on is moved to ``repeated.csv`` beside,
    since the next one logs it again: so the tables of all sessions together are the run's.
    """

    def place(self) -> Place:
        """Return how far the table is, once it is on the disk so far."""
        writer = self.experiment
        writer.save()
        if isinstance(writer, _Writer):  # the first process's
            writer.sync()
            return {"version": int(self.version), "rows": writer.rows}
        return {"version": 0, "rows": 0}

    @rank_zero_only
    def go_on(self, place: Place) -> None:
        """Move what was logged after a place out of the tables of the sessions before."""
        for folder in Path(self.root_dir).glob(f"{_VERSION}*"):
            version = folder.name.removeprefix(_VERSION)
            if version.isdigit() and place["version"] <= int(version) != self.version:
                _cut(folder, place["rows"] if int(version) == place["version"] else 0)

    @property
    def experiment(self) -> Any:
        """What writes; nothing in all processes but the first."""
        if self._experiment is None and getattr(rank_zero_only, "rank", 0) == 0:
            self._experiment = _Writer(self.log_dir)
        return super().experiment


class _Writer(ExperimentWriter):
    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.table = Path(self.metrics_file_path)
        self.rows = 0

    def save(self) -> None:
        """Write what was logged since the last time."""
        if not self.metrics:
            return
        if self._record_new_keys() or not self.table.is_file():
            before = _read(self.table) if self.table.is_file() else []
            write_whole(self.table, _written([*before, *self.metrics], self.metrics_keys, True))
        else:
            rows = _written(self.metrics, self.metrics_keys, False)
            append_whole(self.table, rows)
        self.rows += len(self.metrics)
        self.metrics = []

    def sync(self) -> None:
        """Wait until the rows are on the disk."""
        if self.table.is_file():
            with self.table.open("rb") as file:
                os.fsync(file.fileno())


def _read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _written(rows: Iterable[Mapping[str, Any]], names: Iterable[str], heading: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(names))
    if heading:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _cut(folder: Path, kept: int) -> None:
    """Move the rows after the first ones of a table to the table beside it."""
    table, repeated = folder / _TABLE, folder / _REPEATED
    rows = _read(table) if table.is_file() else []
    if len(rows) > kept:
        moved = [*(_read(repeated) if repeated.is_file() else []), *rows[kept:]]
        names = sorted(set().union(*moved))
        write_whole(repeated, _written(moved, names, True))
        write_whole(table, _written(rows[:kept], rows[0], True))
