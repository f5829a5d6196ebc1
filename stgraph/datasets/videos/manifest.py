"""Videos that a table lists: CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path, PureWindowsPath
from typing import Any

from stgraph.checks import InputError
from stgraph.datasets.videos.bad import raise_error
from stgraph.datasets.videos.cuts import ClipRule
from stgraph.datasets.videos.dataset import Annotations, OnError, VideoClips
from stgraph.datasets.videos.entries import LIST_BYTES, Entry
from stgraph.reading import opened, parse_json, read_text, reason

__all__ = ["VideoManifest"]

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")  # as tables write them, and some no class has
_MOST_LABELS = 1 << 20
_KNOWN = ("path", "label", "start", "end", "split", "name")
Rows = Iterator[tuple[str, dict[str, Any]]]  # where a row stands in the file, and the row


class VideoManifest(VideoClips):
    """Clips that a table lists, a row each.

    ==========  ====================================================================================
    ``path``    the video: a file, or a folder of images
    ``label``   its class, by name or number; optional, but for all rows or for none
    ``start``   where in the video the clip begins and
    ``end``     ends, in seconds; optional
    ``split``   which split the row belongs to; optional
    ``name``    what the clip is called, no two the same; its path if there is none, with start and
                end where several clips are of one video
    others      are kept in the entries' ``columns``, for annotations
    ==========  ====================================================================================

    Labels that are whole numbers are taken as numbers; −1, or 2.0, is an error. Names are numbered
    in the order of the alphabet, over all splits of the table. Paths may be written as Windows
    writes them.

    Args:
        path: the table: ``.csv`` (comma, semicolon or tab, with a row of titles), ``.jsonl`` or
            ``.parquet`` (needs pyarrow).
        split: the rows of this split; all rows if None.
        clips: how clips are cut, see :class:`~stgraph.datasets.videos.VideoClips`.
        annotations: boxes, masks and the like.
        on_error: what happens to a clip that cannot be read.
        root: where paths that are not absolute begin; at the table's folder if None.
        classes: names of the labels by number, where they are not the table's.

    Raises:
        InputError: when the table is not what it should be, with the row and the column.
    """

    def __init__(
        self,
        path: str | Path,
        split: str | None = None,
        clips: ClipRule | None = None,
        annotations: Annotations | None = None,
        on_error: OnError = raise_error,
        root: str | Path | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.split = split
        rows = [(where, _tidy(row)) for where, row in _read(self.path)]
        if not rows:
            raise InputError(str(path), "at least one row", "none")
        names, numbers = _labels(self.path, rows, classes)
        if split is not None:
            known = {str(row["split"]) for _, row in rows if "split" in row}
            chosen = [n for n, (_, row) in enumerate(rows) if str(row.get("split")) == split]
            if not chosen:
                raise InputError("split", f"one of those in {path}, {sorted(known)[:20]}", split)
            rows, numbers = [rows[n] for n in chosen], [numbers[n] for n in chosen]
        bare = [where for (where, _), number in zip(rows, numbers, strict=True) if number is None]
        if 0 < len(bare) < len(rows):
            raise InputError(f"{path}, {bare[0]}, label", "one, as other rows have", "none")
        folder = self.path.parent if root is None else Path(root)
        entries = [
            _entry(f"{path}, {where}", row, label, folder)
            for (where, row), label in zip(rows, numbers, strict=True)
        ]
        super().__init__(_named(self.path, entries, rows), names, clips, annotations, on_error)


def _read(path: Path) -> Rows:
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise InputError("path", f"a table of {', '.join(_READERS)}", f"{path}")
    return _READERS[ending](path)


def _csv(path: Path) -> Rows:
    text = read_text(path, "a table of clips", most=LIST_BYTES).lstrip("\r\n")
    titles = re.split(r"[\r\n]", text, maxsplit=1)[0]
    delimiter = max(",;\t", key=titles.count)
    with opened(path, "a table of clips"):  # which tells what is wrong with it
        rows = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows.fieldnames = _titles(path, rows.fieldnames or ())
        table = [(f"line {rows.line_num}", row) for row in rows]
    for where, row in table:
        if None in row or None in row.values():
            expected = f"{len(rows.fieldnames or ())} columns, as in the first line"
            raise InputError(f"{path}, {where}", expected, "more" if None in row else "fewer")
    yield from table


def _titles(path: Path, found: Sequence[str]) -> list[str]:
    """The titles of a table's columns, without the spaces around them."""
    titles = [title.strip() for title in found]
    twice = [title for title, count in Counter(titles).items() if count > 1 and title]
    if twice:
        raise InputError(f"{path}, line 1", "each title once", repr(twice[0]))
    return titles


def _json_lines(path: Path) -> Rows:
    text = read_text(path, "a table of clips", most=LIST_BYTES)
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = parse_json(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}", "JSON", reason(error)) from error
            if not isinstance(row, Mapping):
                raise InputError(f"{path}, line {number}", "an object", type(row).__name__)
            yield f"line {number}", dict(row)


def _parquet(path: Path) -> Rows:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        told = "reading Parquet needs pyarrow: pip install pyarrow"
        raise ModuleNotFoundError(told, name="pyarrow") from error
    with opened(path, "a table in Parquet") as file:
        table = parquet.read_table(file).to_pylist()
    yield from ((f"row {number}", row) for number, row in enumerate(table))


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def _tidy(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what is empty."""
    stripped = {n: v.strip() if isinstance(v, str) else v for n, v in row.items()}
    return {name: value for name, value in stripped.items() if value not in (None, "")}


def _labels(
    path: Path, rows: Sequence[tuple[str, dict[str, Any]]], classes: Sequence[str] | None
) -> tuple[list[str], list[int | None]]:
    """The labels' names by number, and each row's number."""
    given = [row.get("label") for _, row in rows]
    for (where, _), label in zip(rows, given, strict=True):
        if isinstance(label, (bool, float, list, dict)):
            raise InputError(f"{path}, {where}, label", "a name or a whole number", label)
    said = [None if label is None else str(label) for label in given]
    known = {label for label in said if label is not None}
    if classes is not None:
        names = list(classes)
        number = {name: place for place, name in enumerate(names)}
        number = {str(place): place for place in range(len(names))} | number
    elif all(map(_NUMBER.fullmatch, known)):
        for (where, _), label in zip(rows, said, strict=True):
            if label is not None and not (label.isdecimal() and int(label) < _MOST_LABELS):
                expected = f"a whole number from 0 to {_MOST_LABELS - 1}, or a name"
                raise InputError(f"{path}, {where}, label", expected, repr(label)[:80])
        names = [str(place) for place in range(max(map(int, known), default=-1) + 1)]
        number = {label: int(label) for label in known}
    else:
        names = sorted(known)
        number = {name: place for place, name in enumerate(names)}
    for (where, _), label in zip(rows, said, strict=True):
        if label is not None and label not in number:
            raise InputError(f"{path}, {where}, label", f"one of {names[:20]}", repr(label))
    return names, [None if label is None else number[label] for label in said]


def _entry(where: str, row: Mapping[str, Any], label: int | None, folder: Path) -> Entry:
    path = row.get("path")
    if not isinstance(path, str):
        raise InputError(f"{where}, path", "the path of a video", repr(path))
    if "\0" in path:
        raise InputError(f"{where}, path", "the path of a video", repr(path)[:80])
    if "\\" in path:  # a table that was made on Windows
        path = PureWindowsPath(path).as_posix()
    start, end = (_seconds(f"{where}, {name}", row.get(name)) for name in ("start", "end"))
    if end is not None and (start or 0) >= end:
        raise InputError(f"{where}, end", f"after start, {start or 0.0}", end)
    name = str(row.get("name", Path(path).as_posix()))
    others = {column: value for column, value in row.items() if column not in _KNOWN}
    return Entry(folder / path, label, name, start, end, others)


def _seconds(where: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool) or not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(where, "seconds, 0 or more", repr(value)[:80])
    return seconds


def _named(
    path: Path, entries: Sequence[Entry], rows: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Entry]:
    """Entries with names of their own, also where several clips are of one video.

    Raises:
        InputError: when two have one name, which lists, graphs and boxes know clips by.
    """
    several = Counter(entry.name for entry in entries)
    named, known = [], dict[str, str]()
    for entry, (where, row) in zip(entries, rows, strict=True):
        if several[entry.name] > 1 and "name" not in row:
            name = f"{entry.name}@{entry.seconds}"
            entry = replace(entry, name=name, video=entry.name)
        if (first := known.setdefault(entry.name, where)) != where:
            told = f"{entry.name!r}, as {first}"
            raise InputError(f"{path}, {where}, name", "another one than rows before", told)
        named.append(entry)
    return named
