"""What a study is: a YAML file of rows and seeds, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgraph.checks import InputError, choice, integer
from stgraph.reading import read_yaml

__all__ = ["HeldOut", "Row", "Study", "read_study"]

ANSWERS = ("top1", "top5")
"""Metrics of each clip: shares of the clips."""
METRICS = (*ANSWERS, "iou")
WEIGHTS = ("best", "last")
_STUDY = (
    *("title", "about", "base", "set", "seeds", "seeded", "rows"),
    *("metric", "weights", "held_out", "tried", "reference"),
)
_ROW = ("name", "base", "set", "paper", "source", "note")
_HELD_OUT = ("about", "data")
_OF_A_RUN = ("run", "runs", "seed_everything", "ckpt_path")
"""What the study itself says of each run."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        name: in the table; its folder is made of it.
        changes: of the base configuration.
        base: a configuration of its own.
        paper: the published number in per cent.
        source: where that stands.
        note: printed below the table.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    base: Path | None = None
    paper: float | None = None
    source: str = ""
    note: str = ""

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return _slug(self.name)


@dataclass(frozen=True)
class HeldOut:
    """The clips by which no choice is made.

    Args:
        about: what they are, in words.
        data: the data set, in place of each configuration's ``data.test``.
    """

    about: str = "`data.test` of the configuration"
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Study:
    """Rows and seeds, and how they are compared.

    Args:
        path: the file.
        rows: each an ordinary run for each seed.
        seeds: of the runs.
        seeded: dotted names of what takes the seed beside ``seed_everything``.
        base: the configuration that rows change.
        changes: of the base configuration, in all rows.
        title: of the page.
        about: a paragraph or two.
        metric: ``top1`` or ``top5``; or ``iou``, of regions with true boxes (DyReG's score).
        weights: which are tested, ``best`` in validation or ``last``.
        held_out: the clips of the test.
        tried: how many settings were tried before, and on which clips.
        reference: row that the others are compared with; the best one when absent.
    """

    path: Path
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = (0,)
    seeded: tuple[str, ...] = ()
    base: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    about: str = ""
    metric: str = "top1"
    weights: str = "best"
    held_out: HeldOut = HeldOut()
    tried: str = "not said"
    reference: str | None = None

    @property
    def name(self) -> str:
        """Name of its folder and its tables: that of the file."""
        return self.path.stem


def read_study(path: str | Path) -> Study:
    """Read a study's file.

    Raises:
        InputError: when there is no such file, it holds a name that is none of a study's, or a
            value that is none; it says where.
    """
    file = Path(path)
    content = _mapping("study", read_yaml(file, "a study, in YAML", "file"))
    _known("study", content, _STUDY)
    rows = _list("rows", content.get("rows"))
    made = Study(
        path=file,
        rows=tuple(_row(f"rows[{number}]", row, file) for number, row in enumerate(rows)),
        seeds=_seeds(content.get("seeds", [0])),
        seeded=tuple(_text("seeded", name) for name in _list("seeded", content.get("seeded", []))),
        base=_base("base", content.get("base"), file),
        changes=_changes("set", content.get("set")),
        title=_text("title", content.get("title", file.stem)),
        about=_text("about", content.get("about", "")),
        metric=choice("metric", content.get("metric", "top1"), METRICS),
        weights=choice("weights", content.get("weights", "best"), WEIGHTS),
        held_out=_held_out(content.get("held_out", {})),
        tried=_tried(content.get("tried", "not said")),
        reference=content.get("reference"),
    )
    _check(made)
    return made


def _check(study: Study) -> None:
    """Check what rows have to do with each other."""
    if not study.rows:
        raise InputError("rows", "at least one row", "none")
    if not _slug(study.name):
        raise InputError("file", "a name of letters or digits", study.path.name)
    folders: dict[str, str] = {}
    for number, row in enumerate(study.rows):
        if not row.folder:
            raise InputError(f"rows[{number}].name", "letters or digits", repr(row.name))
        if row.folder in folders:
            came = f"{row.name!r} beside {folders[row.folder]!r}"
            raise InputError(f"rows[{number}].name", "a name that no other row has", came)
        folders[row.folder] = row.name
        if study.base is None and row.base is None:
            raise InputError(f"rows[{number}].base", "a configuration, here or of all rows", "none")
    if study.reference is not None:
        choice("reference", study.reference, [row.name for row in study.rows])


def _row(where: str, value: Any, file: Path) -> Row:
    content = _mapping(where, value)
    _known(where, content, _ROW)
    paper = content.get("paper")
    if paper is not None and not (_is_number(paper) and 0 <= paper <= 100):
        raise InputError(f"{where}.paper", "a number in per cent, 0 to 100", repr(paper))
    source = _text(f"{where}.source", content.get("source", ""))
    if (paper is None) != (not source):
        raise InputError(where, "`paper` and `source` (where it stands), or neither", content)
    return Row(
        name=_text(f"{where}.name", content.get("name")),
        changes=_changes(f"{where}.set", content.get("set")),
        base=_base(f"{where}.base", content.get("base"), file),
        paper=None if paper is None else float(paper),
        source=source,
        note=_text(f"{where}.note", content.get("note", "")),
    )


def _held_out(value: Any) -> HeldOut:
    content = {"about": value} if isinstance(value, str) else _mapping("held_out", value)
    _known("held_out", content, _HELD_OUT)
    data = content.get("data")
    return HeldOut(
        _text("held_out.about", content.get("about", HeldOut().about)),
        None if data is None else _mapping("held_out.data", data),
    )


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(range(integer("seeds", value, maximum=1000)))
    seeds = tuple(integer("seeds", seed, 0, 2**32 - 1) for seed in _list("seeds", value))
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError("seeds", "different whole numbers, or how many", value)
    return seeds


def _base(where: str, value: Any, file: Path) -> Path | None:
    return None if value is None else file.parent / _text(where, value)


def _changes(where: str, value: Any) -> dict[str, Any]:
    changes = {} if value is None else _mapping(where, value)
    for name in changes:
        if name.split(".")[0] in _OF_A_RUN:
            raise InputError(where, "no name, seed or checkpoint, which the study gives", name)
    return changes


def _tried(value: Any) -> str:
    return str(value) if _is_number(value) else _text("tried", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InputError(where, "names and values", repr(value))
    return value


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(where, "a list", repr(value))
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or (where.endswith("name") and not value.strip()):
        raise InputError(where, "text", repr(value))
    return value.strip()


def _known(where: str, content: Iterable[str], names: tuple[str, ...]) -> None:
    """Check that nothing stands there that is not understood."""
    for name in content:
        if name not in names:
            raise InputError(where, "names among " + ", ".join(names), repr(name))


def _slug(name: str) -> str:
    """A name of a folder: letters, digits and dashes.

    Examples:
        >>> _slug("Fixed 3×3 grid")
        'fixed-3-3-grid'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
