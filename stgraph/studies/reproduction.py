"""The page of what the papers' tables came to, from the files of studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stgraph.reading import read_json
from stgraph.studies.markdown import markdown
from stgraph.studies.plan import LARGEST

__all__ = ["kept", "reproduction"]

_HEAD = """# Reproduction

Made by `python benchmarks/pages.py` from `benchmarks/results/tables/`, where
`stgraph study FILE --collect benchmarks/results/tables` puts what a study has reached, partial or
whole; a test holds it to them. [Studies](studies.md) tells how they are made.
"""
_NONE = "No study has been collected yet.\n"


def reproduction(folder: str | Path) -> str:
    """Return the page, as Markdown, of all files of a folder in the order of their names.

    Raises:
        InputError: when one of them is no file of a study.
    """
    tables = [
        markdown(read_json(path, "what a study has reached", most=LARGEST), level=2)
        for path in sorted(Path(folder).glob("*.json"))
    ]
    return "\n".join([_HEAD, *(tables or [_NONE])])


def kept(summary: dict[str, Any]) -> bytes:
    """Return what a study has reached as the content of a file."""
    return (json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
