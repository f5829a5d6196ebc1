"""The datasheet of a graph data set, and the lists of its shards and of what was left out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stgraph.checks import InputError
from stgraph.reading import digest, opened, read_json
from stgraph.writing import write_whole

__all__ = [
    "INDEX",
    "SHEET",
    "SKIPPED",
    "Shard",
    "Sheet",
    "Skipped",
    "read_skipped",
    "write_rows",
    "write_sheet",
]

SHEET, INDEX, SKIPPED = "datasheet.json", "raw/index.csv", "raw/skipped.csv"
FORMAT = 1
_EXPECTED = "the datasheet of a graph data set"
_ROW = 1 << 16  # characters of a line of a list


@dataclass(frozen=True)
class Shard:
    """What a list of shards says of one."""

    file: str
    """Name in the folder ``raw``; none where all of its clips were left out."""
    clips: int
    """Clips whose graphs it has."""
    graphs: int
    nodes: int
    edges: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Skipped:
    """A clip that was left out."""

    clip: int
    """Its number in the data set of clips."""
    name: str
    reason: str


@dataclass(frozen=True)
class Sheet:
    """A datasheet, as far as data sets of graphs read it."""

    root: Path
    facts: Mapping[str, Any]
    """All of ``datasheet.json``."""
    shards: tuple[Shard, ...]

    @classmethod
    def read(cls, root: str | Path) -> Sheet:
        """Read the datasheet of a folder and the list of its shards.

        Raises:
            InputError: naming the file, when the folder holds no graph data set or one that is not
                complete, or a file is damaged.
        """
        folder = Path(root).expanduser()
        path = folder / SHEET
        if not path.exists():
            expected = "a graph data set that `stgraph extract` has completed"
            raise InputError("root", expected, f"{folder}, which has no {SHEET}")
        facts = read_json(path, _EXPECTED)
        with opened(path, _EXPECTED):  # which tells what is wrong with it
            _check(facts)
        if digest(folder / INDEX, "a list of shards") != facts["files"][INDEX]:
            raise InputError(
                str(folder / INDEX), f"the list that {path} has the digest of", "another"
            )
        shards = tuple(_read_rows(folder / INDEX, Shard))
        for field in ("clips", "graphs", "nodes", "edges"):
            total = sum(getattr(shard, field) for shard in shards)
            if total != facts["counts"][field]:
                expected = f"{facts['counts'][field]} {field}, as {path} says"
                raise InputError(str(folder / INDEX), expected, total)
        return cls(folder, facts, tuple(shard for shard in shards if shard.file))

    @property
    def frames(self) -> bool:
        """Whether its graphs are frames; whole clips otherwise."""
        return bool(self.facts["graphs"] == "frames")

    @property
    def graphs(self) -> int:
        """Number of graphs."""
        return int(self.facts["counts"]["graphs"])

    @property
    def num_classes(self) -> int:
        """Number of classes of the clips' labels."""
        return int(self.facts["num_classes"])

    @property
    def label_names(self) -> list[str]:
        """The labels in words, where they have any."""
        return list(self.facts["label_names"])

    def path(self, shard: Shard) -> Path:
        """Where the file of a shard lies."""
        return self.root / "raw" / shard.file


def read_skipped(root: Path) -> list[Skipped]:
    """The clips that were left out of a data set, in order.

    Raises:
        InputError: when their list is missing or damaged.
    """
    return list(_read_rows(root / SKIPPED, Skipped))


def write_rows(path: Path, kind: type[Shard] | type[Skipped], rows: Iterable[Any]) -> str:
    """Write a list, whole or not at all, and return its digest."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_whole(path, text.getvalue().encode())
    return digest(path)


def write_sheet(root: Path, facts: Mapping[str, Any]) -> Path:
    """Write the datasheet, whole or not at all."""
    content = {"format": FORMAT, **facts}
    return write_whole(root / SHEET, (json.dumps(content, indent=1) + "\n").encode())


def _read_rows(path: Path, kind: type[Any]) -> list[Any]:
    """Read a list; memory is taken by what the file has."""
    names = {field.name: field.type for field in fields(kind)}
    with opened(path, f"a list of {kind.__name__.lower()} rows") as file:
        found = []
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        for number, row in enumerate(csv.reader(text, strict=True)):
            if number == 0 and row != list(names):
                raise ValueError(f"begins with {row[:8]}, not with {list(names)}")
            if number == 0:
                continue
            if len(row) != len(names) or sum(map(len, row)) > _ROW:
                raise ValueError(f"has another number of columns in row {number}")
            values = {
                name: _whole(value) if names[name] == "int" else value
                for name, value in zip(names, row, strict=True)
            }
            found.append(kind(**values))
        if kind is Shard:
            _check_names(found)
    return found


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"has {text[:40]!r} where a number is")
    return int(text)


def _check_names(shards: list[Shard]) -> None:
    """Check that shards lie in the folder of shards, so that a list leads nowhere else."""
    for shard in shards:
        if shard.file and Path(shard.file).name != shard.file:
            raise ValueError(f"has a shard called {shard.file[:80]!r}")


def _check(facts: Any) -> None:
    """Check what data sets rely on; all else is for people."""
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"is not of format {FORMAT}")
    counts, files, names = facts.get("counts"), facts.get("files"), facts.get("label_names")
    numbers = ("clips", "graphs", "nodes", "edges")
    if not isinstance(counts, dict) or not all(_is_count(counts.get(name)) for name in numbers):
        raise ValueError(f"has no counts of {', '.join(numbers)}")
    if not isinstance(files, dict) or not isinstance(files.get(INDEX), str):
        raise ValueError(f"has no digest of {INDEX}")
    if facts.get("graphs") not in ("frames", "clips"):
        raise ValueError("does not say what its graphs are")
    if not _is_count(facts.get("num_classes")):
        raise ValueError("has no num_classes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("has label_names that are no words")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60
