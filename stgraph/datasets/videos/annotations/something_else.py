"""The boxes of Something-Else, for the videos of Something-Something v2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stgraph.checks import InputError
from stgraph.datasets.videos.annotations.boxes import Boxes
from stgraph.datasets.videos.annotations.stored import kept_table
from stgraph.datasets.videos.annotations.table import Table, TableWriter
from stgraph.datasets.videos.annotations.values import field, frame_number, number
from stgraph.reading import JsonPieces, opened

__all__ = ["HAND", "OBJECT", "SomethingElseBoxes"]

HAND, OBJECT = 1, 2
_EXPECTED = "boxes as Something-Else has them: {video: [frame, …], …}"


class SomethingElseBoxes(Boxes):
    """Boxes of hands and objects, from the JSON files as they are distributed (Something-Else).

    A file is ``{video: [frame, …], …}``. A frame has a ``name``, such as ``151201/0001.jpg``, which
    says that it is the first one of its video, whatever its place in the list, and ``labels``. A
    label has a ``box2d`` in pixels of the original frame, and a ``standard_category``: ``hand``, or
    the object's number, ``0000``, … That is what makes it the same thing in two frames; where it
    stands again in a frame (a second hand), the second one is a thing of its own, and so on.
    Without ``standard_category`` the ``category`` is taken. The field ``category`` of a clip is 1
    for hands and 2 for objects, as in the official code.

    Files are gone through video by video, so they may be larger than memory. All 180,049 videos are
    gigabytes of JSON that take minutes; give a ``cache`` to read them once.

    Args:
        files: the file, or the four parts.
        slots: M, as of :class:`Boxes`.
        missing: as of :class:`Boxes`.
        visible: as of :class:`Boxes`.
        cache: a file that keeps the boxes in compact form, mapped into memory by all processes. It
            is made, and made anew when ``files`` have changed.

    Raises:
        InputError: when a file is missing or damaged, with the video and the field; when a video
            stands in two parts.
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        slots: int = 10,
        missing: str = "empty",
        visible: float = 0.0,
        cache: str | Path | None = None,
    ) -> None:
        several = [files] if isinstance(files, str | Path) else files
        paths = [Path(file) for file in several]
        if not paths:
            raise InputError("files", "at least one file", "none")
        table = kept_table(cache, paths, lambda: _read(paths))
        super().__init__(table, slots, missing, visible)


def _read(paths: Sequence[Path]) -> Table:
    writer = TableWriter(", ".join(path.name for path in paths))
    for path in paths:
        with opened(path, _EXPECTED) as file:
            pieces = JsonPieces(file)
            for video in pieces.members():
                frames = pieces.value()
                if video in writer:
                    raise InputError(str(path), "a video once in all files", f"{video!r} again")
                try:
                    _add(writer, video, frames)
                except ValueError as error:
                    raise ValueError(f"video {video!r}, {error}") from error
            pieces.end()
    return writer.table()


def _add(writer: TableWriter, video: str, frames: Any) -> None:
    if not isinstance(frames, list):
        raise ValueError(f"a list of frames expected, got {type(frames).__name__}")
    at, known = writer.video(video), set()
    for place, frame in enumerate(frames):
        try:
            now = _frame_of(video, field(frame, "name"))
            if now in known:
                raise ValueError("a frame that stands once expected")
            known.add(now)
            labels = field(frame, "labels")
            if not isinstance(labels, list):
                raise ValueError(f"labels: a list expected, got {type(labels).__name__}")
            writer.look(at, now)
            times: dict[str, int] = {}
            for label in labels:
                _add_label(writer, at, now, label, times)
        except ValueError as error:
            raise ValueError(f"frame {place} of its list: {error}") from error


def _frame_of(video: str, name: Any) -> int:
    folder, _, file = name.rpartition("/") if isinstance(name, str) else ("", "", "")
    stem = file.partition(".")[0]
    if folder != video or not (stem.isascii() and stem.isdigit() and len(stem) < 10):
        raise ValueError(f"name: '{video}/0001.jpg' or so expected, got {str(name)[:80]!r}")
    return frame_number(int(stem), "name", first=1)


def _add_label(writer: TableWriter, at: int, now: int, label: Any, times: dict[str, int]) -> None:
    box = field(label, "box2d")
    x1, y1, x2, y2 = (
        number(field(box, side), f"box2d.{side}") for side in ("x1", "y1", "x2", "y2")
    )
    name = label.get("standard_category", label.get("category"))
    if not isinstance(name, str):
        raise ValueError(f"standard_category: a text expected, got {str(name)[:80]}")
    times[name] = times.get(name, 0) + 1
    category = HAND if name == "hand" else OBJECT
    writer.add(at, now, (x1, y1, x2, y2), (name, times[name]), category)
