"""What stands in a record of a file of annotations, looked at before it is believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.checks import integer
from stgraph.datasets.videos.reading import MOST_FRAMES

__all__ = ["NumberedFrames", "field", "frame_number", "identity", "number", "whole_number"]

_LARGEST = 2**31 - 1


def field(record: Any, name: str) -> Any:
    """A field of a record.

    Raises:
        ValueError: when it is no record, or has none.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"a record with {name} expected, got {_short(record)}")
    if name not in record:
        raise ValueError(f"{name} expected, got {_short(list(record))}")
    return record[name]


def number(value: Any, name: str) -> float:
    """A finite number.

    Raises:
        ValueError: when it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30:
        return value
    raise ValueError(f"{name}: a number expected, got {_short(value)}")


def whole_number(value: Any, name: str, least: int = 0, most: int = _LARGEST) -> int:
    """A whole number within bounds; 3.0 is one.

    Raises:
        ValueError: when it is none.
    """
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value != int(value)
        or not least <= value <= most
    ):
        expected = f"a whole number from {least} to {most} expected"
        raise ValueError(f"{name}: {expected}, got {_short(value)}")
    return int(value)


def frame_number(value: Any, name: str, first: int) -> int:
    """A frame's number from 0, of one from ``first``."""
    return whole_number(value, name, first, MOST_FRAMES) - first


def identity(value: Any, name: str) -> int | str:
    """What a thing is called: a whole number or a text.

    Raises:
        ValueError: when it is neither.
    """
    if isinstance(value, str) and len(value) <= 200:
        return value
    return whole_number(value, name, -_LARGEST)


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 80 else told[:80] + "…"


@dataclass(frozen=True)
class NumberedFrames:
    """Tells the video and the frame by an image's name: ``video/00012.jpg``, ``video_00012.jpg``.

    The folder is the video's name; without one, what stands before the number.

    Args:
        first: number of the first frame of a video, 1 for FFmpeg's images.

    Examples:
        >>> NumberedFrames()("a/b/00012.jpg"), NumberedFrames(first=0)("clip_7.png")
        (('a/b', 11), ('clip', 7))
    """

    first: int = 1

    def __post_init__(self) -> None:
        integer("first", self.first, 0)

    def __call__(self, name: str) -> tuple[str, int]:
        """Name of the video and number of the frame, from 0.

        Raises:
            ValueError: when the name says no such thing.
        """
        folder, _, file = name.rpartition("/")
        found = re.fullmatch(r"(.*?)[-_. ]?(\d{1,12})\.\w+", file)
        if found is None or not (folder or found[1]):
            raise ValueError(f"a name such as video/00001.jpg expected, got {_short(name)}")
        return folder or found[1], frame_number(int(found[2]), f"number of {name!r}", self.first)
