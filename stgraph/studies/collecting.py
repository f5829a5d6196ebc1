"""Pages of what studies came to, from the files that they were collected in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stgraph.checks import InputError
from stgraph.reading import read_json
from stgraph.studies.plan import LARGEST
from stgraph.studies.table import markdown

__all__ = ["collected", "kept"]

_NONE = "No study has been collected yet.\n"
_PARTS = {"title", "about", "metric", "rows", "seeds", "missing", "results", "reference"}


def collected(folder: str | Path, head: str) -> str:
    """Return a page, as Markdown: a head, and all files of a folder in the order of their names.

    Args:
        folder: where ``stgraph study --collect`` has put them.
        head: what stands above, with a line's end.

    Raises:
        InputError: when one of them is no file of a study.
    """
    tables = [markdown(_read(path), level=2) for path in sorted(Path(folder).glob("*.json"))]
    return "\n".join([head, *(tables or [_NONE])])


def _read(path: Path) -> dict[str, Any]:
    expected = "what a study has reached"
    found = read_json(path, expected, most=LARGEST)
    if not isinstance(found, dict) or not found.keys() >= _PARTS:
        raise InputError(str(path), expected, "a file of something else")
    return found


def kept(summary: dict[str, Any]) -> bytes:
    """Return what a study has reached as the content of a file."""
    return (json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
