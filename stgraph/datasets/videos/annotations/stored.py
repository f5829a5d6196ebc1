"""A table of annotations as one file, whose columns are mapped into memory.

The file begins with a line of JSON, padded with spaces, that says where each column lies. Mapped
columns are read when they are asked for, and shared by all processes of a machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgraph.checks import InputError
from stgraph.datasets.videos.annotations.table import KINDS, Columns, Table
from stgraph.reading import opened, parse_json, reason, size_of
from stgraph.writing import whole

__all__ = ["kept_table", "open_table", "save_table"]

FORMAT = "stgraph annotations 1"
_HEADER = 1 << 12  # bytes of the first line
_ALIGNED = 64
_EXPECTED = "a table of annotations, of this version"


def save_table(table: Table, path: str | Path, made_of: str = "") -> None:
    """Write a table, to be opened by :func:`open_table`.

    Args:
        table: the table.
        path: where to.
        made_of: what it was made of, in a word; noted in the file.

    Raises:
        OSError: when it cannot be written.
    """
    at, places = _HEADER, {}
    for name, column in table.columns.items():
        places[name] = [at, len(column)]
        at += -(-column.nbytes // _ALIGNED) * _ALIGNED
    header = {"format": FORMAT, "pixels": table.pixels, "of": made_of, "columns": places}
    line = json.dumps(header).encode()
    with whole(path) as part, part.open("wb") as file:
        file.write(line.ljust(_HEADER - 1) + b"\n")
        for name, column in table.columns.items():
            file.seek(places[name][0])
            file.write(np.ascontiguousarray(column).data)
        file.truncate(at)


def open_table(path: str | Path, made_of: str | None = None) -> Table:
    """Map a table from its file.

    Args:
        path: the file.
        made_of: what it has to have been made of; anything if None.

    Raises:
        InputError: when there is no such file, or it is none of a table, or of other files.
    """
    with opened(path, _EXPECTED) as file:
        size = size_of(file)
        header = parse_json(file.read(_HEADER).decode("utf-8"))
        if header["format"] != FORMAT:
            raise ValueError(f"is of format {header['format']!r}")
        if made_of is not None and header["of"] != made_of:
            raise ValueError("was made of other files")
        columns: Columns = {}
        for name, (at, length) in header["columns"].items():
            kind, inner = KINDS[name]
            if not (isinstance(at, int) and isinstance(length, int)) or min(at, length) < 0:
                raise ValueError(f"has no place for {name}")
            stride = np.dtype(kind).itemsize * int(np.prod(inner, dtype=np.int64))
            if at + length * stride > size:
                raise ValueError(f"ends before its {name}")
            if not length:  # which cannot be mapped
                columns[name] = np.empty((0, *inner), kind)
                continue
            columns[name] = np.memmap(path, kind, "r", at, (length, *inner))
        pixels = header["pixels"]
        if not isinstance(pixels, bool):
            raise ValueError("does not tell pixels from shares")
        return MappedTable(columns, pixels, str(path))


class MappedTable(Table):
    """A table in a file; it goes to other processes by its path."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open_table, (self.source,)


def kept_table(
    cache: str | Path | None, files: Sequence[Path], make: Callable[[], Table], rule: str = ""
) -> Table:
    """The table of some files, made once and kept in a file, if there is a place for it.

    Args:
        cache: the file; None makes the table anew each time, in memory.
        files: what it is made of. When their names, sizes or times are others, it is made anew.
        make: makes the table.
        rule: how it is made; by another rule it is made anew.

    Raises:
        InputError: when a file is missing, the cache cannot be written, and whatever ``make``
            raises.
    """
    if cache is None:
        return make()
    about: list[Any] = [rule]
    for file in files:
        with opened(file, "a file of annotations"):
            found = file.stat()
        about.append([str(file.resolve()), found.st_size, found.st_mtime_ns])
    made_of = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    try:
        return open_table(cache, made_of)
    except InputError:  # there is none yet, or of others
        table = make()
    try:
        save_table(table, cache, made_of)
    except OSError as error:
        raise InputError(
            "cache", "a file that can be written", f"{cache} ({reason(error)})"
        ) from error
    return open_table(cache, made_of)
