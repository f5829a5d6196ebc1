"""What happens to a clip whose video cannot be read: the policy is a part of a data set."""

from __future__ import annotations

from typing import NoReturn

from stgraph.checks import InputError
from stgraph.datasets.clips import LeftOutError
from stgraph.datasets.videos.entries import Entry

__all__ = ["raise_error", "skip"]


def raise_error(entry: Entry, error: InputError) -> NoReturn:
    """End the run: a video that cannot be read is an error."""
    raise error


def skip(entry: Entry, error: InputError) -> NoReturn:
    """Leave the clip out of its batch; it is counted and listed, and no other takes its place."""
    raise LeftOutError(entry.name or str(entry.path), error) from error
