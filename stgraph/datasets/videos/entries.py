"""What a data set of videos says of one clip, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgraph.checks import InputError
from stgraph.datasets.videos.reading import Video, open_video

__all__ = ["LIST_BYTES", "Entry", "long_enough", "stretch"]

LIST_BYTES = 1 << 30
"""Of a file that lists clips; that of Something-Something's training split has 25 million."""


@dataclass(frozen=True)
class Entry:
    """One clip of a data set: where its video lies, and what is known of it.

    Args:
        path: a video file, or a folder of images.
        label: the number of its class; None where it is not known.
        name: what it is called in messages, box files and predictions: its id in the data set
            where there is one, otherwise its path relative to the root.
        start: where in the video the clip begins, in seconds; at the beginning if None.
        end: where it ends, in seconds; at the end if None.
        columns: what else the data set's own file says of it, by name, for annotations.
        video: what its video is called in files of boxes and masks, where it is not ``name``:
            several clips of one video have names of their own.
    """

    path: Path
    label: int | None = None
    name: str = ""
    start: float | None = None
    end: float | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    video: str = ""

    @property
    def known_as(self) -> str:
        """What its video is called in files of boxes and masks."""
        return self.video or self.name

    @property
    def seconds(self) -> str:
        """From where to where it goes, as names tell clips of one video apart: ``"1.5-3.0"``."""
        return f"{self.start or 0:.15g}-{'' if self.end is None else self.end}"


def stretch(video: Video, entry: Entry) -> range:
    """Numbers of the frames of a video that an entry's start and end leave.

    A frame belongs to the clip if it is shown from ``start`` on, and before ``end``.

    Raises:
        InputError: when they leave none, or the video does not say when its frames are shown.
    """
    if entry.start is None and entry.end is None:
        return range(video.length)
    name = f"start and end of {entry.name or entry.path}"
    times = video.times
    if times is None:
        raise InputError(name, "none, for a video without time stamps", _span(entry))
    low, high = (-np.inf if entry.start is None else entry.start), entry.end
    first, last = np.searchsorted(times, [low, np.inf if high is None else high])
    if first >= last:
        raise InputError(name, f"a part of its {times[-1]:.3f} seconds", _span(entry))
    return range(int(first), int(last))


def long_enough(entries: Iterable[Entry], frames: int) -> list[Entry]:
    """The entries whose videos have at least so many frames; each is looked at.

    A video that cannot be read stays: what happens to it is for a data set's policy to say.
    """

    def length(entry: Entry) -> float:
        try:
            return len(stretch(open_video(entry.path), entry))
        except (InputError, OSError):
            return np.inf

    return [entry for entry in entries if length(entry) >= frames]


def _span(entry: Entry) -> str:
    return f"{entry.start} to {entry.end} s"
