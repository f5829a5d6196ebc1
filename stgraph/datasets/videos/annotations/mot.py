"""Boxes of text files in the manner of MOTChallenge."""

from __future__ import annotations

import re
from pathlib import Path

from stgraph.checks import InputError, integer
from stgraph.datasets.videos.annotations.boxes import Boxes
from stgraph.datasets.videos.annotations.stored import kept_table
from stgraph.datasets.videos.annotations.table import Table, TableWriter
from stgraph.datasets.videos.annotations.values import frame_number, number, whole_number
from stgraph.reading import opened

__all__ = ["MotBoxes"]

_EXPECTED = "lines of frame,id,x,y,width,height,confidence,…"
_LINE = 4096  # bytes


class MotBoxes(Boxes):
    """Boxes of text files, one a video, as MOTChallenge and most trackers write them.

    A line is ``frame,id,x,y,width,height`` in pixels, and may go on with ``confidence``, and in 8
    or 9 numbers (as in ``gt.txt``) with ``class`` and visibility; of 10, the last three are a place
    in the world, and left alone. Frames begin with ``first``. A frame without a line has no boxes.
    Where an ``id`` is −1, as detectors write it, things are not followed: the n-th such box of a
    frame is track n.

    Args:
        root: folder of the files.
        slots: M, as of :class:`Boxes`.
        missing: as of :class:`Boxes`; videos without a file are what may be missing.
        visible: as of :class:`Boxes`.
        files: where the file of a video is, with ``{}`` for its name: ``"{}.txt"``, or
            ``"{}/gt/gt.txt"`` as in MOTChallenge.
        first: number of a video's first frame.
        corner: coordinates of the upper left corner of the frame: 0, or 1 in MOTChallenge's files.
        least_score: lines with a smaller confidence are left out. In ``gt.txt`` those with 0 are
            what is not to be counted.
        cache: as of :class:`~stgraph.datasets.videos.annotations.SomethingElseBoxes`.

    Raises:
        InputError: when there is no such file, or one is damaged, with its line and field.
    """

    def __init__(
        self,
        root: str | Path,
        slots: int = 10,
        missing: str = "empty",
        visible: float = 0.0,
        files: str = "{}.txt",
        first: int = 1,
        corner: float = 0.0,
        least_score: float | None = None,
        cache: str | Path | None = None,
    ) -> None:
        integer("first", first, 0)
        found = _found(Path(root), files)

        def make() -> Table:
            writer = TableWriter(str(root))
            for name, path in found.items():
                _read(writer, name, path, first, corner, least_score)
            return writer.table()

        rule = repr((files, first, corner, least_score))
        super().__init__(
            kept_table(cache, list(found.values()), make, rule), slots, missing, visible
        )


def _found(root: Path, files: str) -> dict[str, Path]:
    """The files that are there, by the name of their video."""
    before, hole, behind = files.partition("{}")
    if not hole or "{}" in behind:
        raise InputError("files", "a path with {} for the name of the video", files)
    if not root.is_dir():
        raise InputError("root", "a folder of text files", root)
    rule = re.compile(f"{re.escape(before)}(.+){re.escape(behind)}")
    paths = sorted(root.rglob(f"*{Path(files).suffix}"))
    names = ((rule.fullmatch(path.relative_to(root).as_posix()), path) for path in paths)
    found = {match[1]: path for match, path in names if match is not None}
    if not found:
        raise InputError("root", f"files such as {files.replace('{}', 'video')}", f"none in {root}")
    return found


def _read(
    writer: TableWriter, name: str, path: Path, first: int, corner: float, least: float | None
) -> None:
    with opened(path, _EXPECTED) as file:
        video, at = writer.video(name), 0
        alone: dict[int, int] = {}
        while line := file.readline(_LINE):
            at += 1
            if len(line) == _LINE:
                raise ValueError(f"line {at}: at most {_LINE} bytes expected")
            if not line.strip():
                continue
            try:
                values = [_number(text) for text in line.decode("utf-8-sig").split(",")]
                if len(values) < 6:
                    raise ValueError(f"at least 6 numbers expected, got {len(values)}")
                frame = frame_number(values[0], "frame", first)
                track = whole_number(values[1], "id", -1)
                left, top, width, height = values[2:6]
                if width < 0 or height < 0:
                    raise ValueError(f"width and height from 0 expected, got {width:g}, {height:g}")
                score = values[6] if len(values) > 6 else 1.0
                if least is not None and score < least:
                    continue
                category = whole_number(values[7], "class", -1) if len(values) in (8, 9) else 1
            except ValueError as error:
                raise ValueError(f"line {at}: {error}") from error
            left, top = left - corner, top - corner
            if track < 0:
                alone[frame] = alone.get(frame, 0) + 1
            who = ("alone", alone[frame]) if track < 0 else track
            corners = (left, top, left + width, top + height)
            writer.add(video, frame, corners, who, max(category, 1), score)


def _number(text: str) -> float:
    try:
        return number(float(text), "field")
    except ValueError:
        raise ValueError(f"numbers expected, got {text.strip()[:80]!r}") from None
