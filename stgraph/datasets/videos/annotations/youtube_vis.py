"""Boxes and masks of files in the manner of YouTube-VIS: a record a thing, with all its frames."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stgraph.datasets.videos.annotations.boxes import Boxes
from stgraph.datasets.videos.annotations.coco import (
    FrameOf,
    Shape,
    corners_of,
    records_of,
    runs_of,
    shape_of,
    writer_for,
)
from stgraph.datasets.videos.annotations.mask_table import TableMasks
from stgraph.datasets.videos.annotations.stored import kept_table
from stgraph.datasets.videos.annotations.table import Table
from stgraph.datasets.videos.annotations.values import field, number, whole_number
from stgraph.reading import opened

__all__ = ["YouTubeVisBoxes", "YouTubeVisMasks"]

_EXPECTED = "annotations as YouTube-VIS has them: {videos: […], annotations: […]}"
_LARGEST_ID = 1 << 62


class YouTubeVisBoxes(Boxes):
    """Boxes of a JSON file with ``videos`` and ``annotations`` (YouTube-VIS, OVIS, UVO).

    A video has an ``id``, its ``file_names``, one a frame, and ``width`` and ``height``. An
    annotation is a thing: it has an ``id``, which is its track, a ``video_id``, ``bboxes`` (x, y,
    width, height in pixels), one a frame or null where it is not seen, and may have a
    ``category_id`` and a ``score``. Crowds (``iscrowd``) are no things, and left out.

    A video is called as the folder of its files. Its frames are those of ``file_names``, in that
    order, as a folder of just these images has them; where frames between them were extracted too,
    ``frame_of`` tells their numbers by their names. Other frames are not annotated.

    Args:
        file: the file.
        slots: M, as of :class:`Boxes`.
        missing: as of :class:`Boxes`.
        visible: as of :class:`Boxes`.
        frame_of: tells video and frame by a file's name, such as
            :class:`~stgraph.datasets.videos.annotations.NumberedFrames`; otherwise the place in
            the list does.
        least_score: things with a smaller ``score`` are left out.
        cache: as of :class:`~stgraph.datasets.videos.annotations.SomethingElseBoxes`.

    Raises:
        InputError: when the file is missing or damaged, with the record and the field; when a
            video or a thing stands twice, or a thing has more or fewer boxes than its video frames.
    """

    def __init__(
        self,
        file: str | Path,
        slots: int = 10,
        missing: str = "empty",
        visible: float = 0.0,
        frame_of: FrameOf | None = None,
        least_score: float | None = None,
        cache: str | Path | None = None,
    ) -> None:
        table = _table(Path(file), frame_of, least_score, cache, masks=False)
        super().__init__(table, slots, missing, visible)


class YouTubeVisMasks(TableMasks):
    """Masks of a JSON file as :class:`YouTubeVisBoxes` reads it: the ``segmentations`` of things.

    They are one a frame, as :class:`~stgraph.datasets.videos.annotations.CocoMasks` reads them, or
    null where the thing is not seen.

    Args:
        file: the file.
        slots: M, as of :class:`Masks`.
        size: height and width of the masks that come out, as of :class:`Masks`.
        missing: as of :class:`Masks`.
        frame_of: as of :class:`YouTubeVisBoxes`.
        least_score: as of :class:`YouTubeVisBoxes`.
        cache: as of :class:`~stgraph.datasets.videos.annotations.SomethingElseBoxes`.

    Raises:
        InputError: as of :class:`YouTubeVisBoxes`; for polygons and runs that make no mask.
    """

    def __init__(
        self,
        file: str | Path,
        slots: int = 10,
        size: Sequence[int] | None = None,
        missing: str = "empty",
        frame_of: FrameOf | None = None,
        least_score: float | None = None,
        cache: str | Path | None = None,
    ) -> None:
        table = _table(Path(file), frame_of, least_score, cache, masks=True)
        super().__init__(table, slots, size, missing)


def _table(
    path: Path,
    frame_of: FrameOf | None,
    least_score: float | None,
    cache: str | Path | None,
    masks: bool,
) -> Table:
    rule = repr(("videos", frame_of, least_score, masks))
    return kept_table(
        cache, [path], lambda: _Reader(path, frame_of, least_score, masks).table(), rule
    )


class _Video(NamedTuple):
    number: int
    frames: array[int]
    width: int
    height: int


class _Thing(NamedTuple):
    place: int
    key: int
    video: int
    category: int
    score: float
    seen: list[tuple[float, float, float, float] | Shape | None]


class _Reader:
    """Reads a file once; things may stand before the videos that they are in."""

    def __init__(
        self, path: Path, frame_of: FrameOf | None, least: float | None, masks: bool
    ) -> None:
        self.path, self.frame_of, self.least = path, frame_of, least
        self.name = "segmentations" if masks else "bboxes"
        self.read: Callable[[Any], Any] = shape_of if masks else corners_of
        self.masks = masks
        self.writer = writer_for(path)
        self.videos: dict[int, _Video] = {}
        self.things: list[_Thing] = []

    def table(self) -> Table:
        with opened(self.path, _EXPECTED) as file:
            for kind, place, record in records_of(file, "videos", "annotations"):
                try:
                    if kind == "videos":
                        self._video(record)
                    else:
                        self._thing(place, record)
                except ValueError as error:
                    raise ValueError(f"{kind}[{place}].{error}") from error
            known = set()
            for thing in self.things:
                try:
                    if thing.key in known:
                        raise ValueError(f"id: a thing once expected, got {thing.key} again")
                    known.add(thing.key)
                    self._add(thing)
                except ValueError as error:
                    raise ValueError(f"annotations[{thing.place}].{error}") from error
        return self.writer.table()

    def _video(self, record: Any) -> None:
        key = whole_number(field(record, "id"), "id", most=_LARGEST_ID)
        if key in self.videos:
            raise ValueError(f"id: a video once expected, got {key} again")
        files = field(record, "file_names")
        if not (isinstance(files, list) and files and all(isinstance(f, str) for f in files)):
            raise ValueError(f"file_names: a list of names expected, got {str(files)[:80]}")
        width, height = (
            whole_number(field(record, side), side, 1, 1 << 16) for side in ("width", "height")
        )
        placed = [self._frame(place, file) for place, file in enumerate(files)]
        names, frames = {name for name, _ in placed}, array("i", (frame for _, frame in placed))
        if len(names) > 1:
            raise ValueError(f"file_names: those of one video expected, got {sorted(names)[:2]}")
        if len(set(frames)) < len(frames):
            raise ValueError("file_names: a name for each frame expected, got one twice")
        name = names.pop()
        if name in self.writer:
            raise ValueError(f"file_names: a video once expected, got {name!r} again")
        number = self.writer.video(name)
        for frame in frames:
            self.writer.look(number, frame)
        self.videos[key] = _Video(number, frames, width, height)

    def _frame(self, place: int, file: str) -> tuple[str, int]:
        if self.frame_of is not None:
            return self.frame_of(file)
        folder, slash, _ = file.rpartition("/")
        if not slash or not folder:
            raise ValueError(f"file_names[{place}]: video/00000.jpg or so expected, got {file!r}")
        return folder, place

    def _thing(self, place: int, record: Any) -> None:
        key = whole_number(field(record, "id"), "id", most=_LARGEST_ID)
        video = whole_number(field(record, "video_id"), "video_id", most=_LARGEST_ID)
        score = number(record.get("score", 1.0), "score")
        if record.get("iscrowd") or (self.least is not None and score < self.least):
            return
        category = whole_number(record.get("category_id", 1), "category_id")
        told = field(record, self.name)
        if not isinstance(told, list):
            raise ValueError(f"{self.name}: a list expected, got {type(told).__name__}")
        seen: list[Any] = []
        for frame, one in enumerate(told):
            try:
                seen.append(None if one is None else self.read(one))
            except ValueError as error:
                raise ValueError(f"{self.name}[{frame}].{error}") from error
        self.things.append(_Thing(place, key, video, category, score, seen))

    def _add(self, thing: _Thing) -> None:
        if thing.video not in self.videos:
            raise ValueError(f"video_id: that of a video expected, got {thing.video}")
        video = self.videos[thing.video]
        if len(thing.seen) != len(video.frames):
            expected = f"{len(video.frames)} expected, one a frame of its video"
            raise ValueError(f"{self.name}: {expected}, got {len(thing.seen)}")
        for frame, shown in zip(video.frames, thing.seen, strict=True):
            if shown is None:
                continue
            box: Any = (0.0, 0.0, 0.0, 0.0) if self.masks else shown  # the mask tells
            sides = (video.width, video.height) * 2
            corners = [corner / side for corner, side in zip(box, sides, strict=True)]
            self.writer.add(video.number, frame, corners, thing.key, thing.category, thing.score)
            if self.masks:
                self.writer.mask(*runs_of(shown, video.height, video.width))  # type: ignore[arg-type]
