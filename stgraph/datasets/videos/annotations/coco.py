"""Boxes and masks of files in the manner of COCO."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from stgraph.datasets.videos.annotations.boxes import Boxes
from stgraph.datasets.videos.annotations.mask_table import TableMasks
from stgraph.datasets.videos.annotations.polygons import polygons_of, runs_of_polygons
from stgraph.datasets.videos.annotations.rle import runs_of_rle
from stgraph.datasets.videos.annotations.stored import kept_table
from stgraph.datasets.videos.annotations.table import Table, TableWriter
from stgraph.datasets.videos.annotations.values import (
    NumberedFrames,
    field,
    identity,
    number,
    whole_number,
)
from stgraph.reading import JsonPieces, opened, size_of

__all__ = [
    "CocoBoxes",
    "CocoMasks",
    "FrameOf",
    "corners_of",
    "records_of",
    "runs_of",
    "shape_of",
    "writer_for",
]

FrameOf = Callable[[str], tuple[str, int]]
"""``file_name → (video, frame from 0)``; raises ``ValueError`` for a name that says neither."""
_EXPECTED = "annotations as COCO has them: {images: […], annotations: […]}"
_LARGEST_ID = 1 << 62


class CocoBoxes(Boxes):
    """Boxes of a JSON file with ``images`` and ``annotations``, as COCO and its kin have it.

    An image has an ``id``, a ``file_name`` that tells its video and its frame, and ``width`` and
    ``height``. An annotation has an ``image_id``, a ``bbox`` (x, y, width, height) in pixels of
    that image, and may have a ``category_id``, a ``score``, and a ``track_id`` (or ``instance_id``)
    that is the same in all frames of a thing. Where no annotation has one, things are not followed:
    the n-th box of each frame is track n. Images without annotations are frames without boxes;
    frames that have no image are not annotated. Crowds (``iscrowd``) are no things, and left out.

    Since an image says how large it is, boxes fit videos that were resized afterwards.

    Args:
        file: the file.
        slots: M, as of :class:`Boxes`.
        missing: as of :class:`Boxes`.
        visible: as of :class:`Boxes`.
        frame_of: tells video and frame by a ``file_name``. A cache knows it by its ``repr``.
        least_score: annotations with a smaller ``score`` are left out.
        cache: as of :class:`~stgraph.datasets.videos.annotations.SomethingElseBoxes`.

    Raises:
        InputError: when the file is missing or damaged, with the record and the field; when an
            image stands twice, or some annotations have tracks and some have none.
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


class CocoMasks(TableMasks):
    """Masks of a JSON file as :class:`CocoBoxes` reads it: the ``segmentation`` of annotations.

    It is a list of polygons ``[[x1, y1, x2, y2, …], …]`` in pixels of the image, whose mask are the
    pixels with their centres in one of them (even-odd where one crosses itself); or run-length
    encoded, as segmenters write it: ``{"size": [H, W], "counts": …}``, with a list of counts or
    COCO's own text of them.

    Args:
        file: the file.
        slots: M, as of :class:`Masks`.
        size: height and width of the masks that come out, as of :class:`Masks`.
        missing: as of :class:`Masks`.
        frame_of: as of :class:`CocoBoxes`.
        least_score: as of :class:`CocoBoxes`.
        cache: as of :class:`~stgraph.datasets.videos.annotations.SomethingElseBoxes`.

    Raises:
        InputError: as of :class:`CocoBoxes`; for polygons and runs that make no mask.
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


Shape: TypeAlias = "tuple[int, int, array[int]] | list[array[float]]"
"""Height, width and runs of a mask, or polygons, which go by the size of their image."""


def writer_for(path: Path) -> TableWriter:
    """What collects the rows of a file; a few corners of polygons may stand for many runs."""
    with opened(path, _EXPECTED) as file:
        return TableWriter(str(path), pixels=False, most_runs=max(1 << 24, 128 * size_of(file)))


def shape_of(segmentation: Any) -> Shape:
    """What a ``segmentation`` tells; a list is one of polygons.

    Raises:
        ValueError: when it is no mask.
    """
    if isinstance(segmentation, list):
        return polygons_of(segmentation)
    return runs_of_rle(segmentation)


def runs_of(shape: Shape, height: int, width: int) -> tuple[int, int, array[int]]:
    """Height, width and runs of a mask in an image of this size.

    Raises:
        ValueError: for polygons that are none.
    """
    if isinstance(shape, tuple):
        return shape
    return height, width, runs_of_polygons(shape, height, width)


class _Image(NamedTuple):
    video: int
    frame: int
    width: float
    height: float


def _table(
    path: Path,
    frame_of: FrameOf | None,
    least_score: float | None,
    cache: str | Path | None,
    masks: bool,
) -> Table:
    names: FrameOf = NumberedFrames() if frame_of is None else frame_of
    rule = repr((names, least_score, masks))
    return kept_table(cache, [path], lambda: _Reader(path, names, least_score, masks).table(), rule)


def records_of(file: IO[bytes], *lists: str) -> Iterator[tuple[str, int, Any]]:
    """What is in some lists of an object, one by one, with the list and the place in it.

    Raises:
        ValueError: when one of them is missing or stands twice.
    """
    pieces, found = JsonPieces(file), set()
    for name in pieces.members():
        if name in found:
            raise ValueError(f"{name} stands twice")
        found.add(name)
        if name in lists:
            for place, record in enumerate(pieces.elements()):
                yield name, place, record
        else:
            pieces.value()
    pieces.end()
    for name in lists:
        if name not in found:
            raise ValueError(f"{name} expected, got {sorted(found)[:20]}")


class _Reader:
    """Reads a file once; annotations may stand before the images that they belong to."""

    def __init__(self, path: Path, frame_of: FrameOf, least: float | None, masks: bool) -> None:
        self.path, self.frame_of, self.least, self.masks = path, frame_of, least, masks
        self.writer = writer_for(path)
        self.images: dict[int, _Image] = {}
        self.rows = array("q"), array("d"), array("d"), array("i")  # image, box, score, category
        self.tracks: list[Hashable] = []
        self.shapes: list[Shape] = []

    def table(self) -> Table:
        with opened(self.path, _EXPECTED) as file:
            for kind, place, record in records_of(file, "images", "annotations"):
                try:
                    if kind == "images":
                        self._image(record)
                    else:
                        self._annotation(record)
                except ValueError as error:
                    raise ValueError(f"{kind}[{place}].{error}") from error
            self._join()
        return self.writer.table()

    def _image(self, record: Any) -> None:
        key = whole_number(field(record, "id"), "id", most=_LARGEST_ID)
        if key in self.images:
            raise ValueError(f"id: an image once expected, got {key} again")
        name = field(record, "file_name")
        if not isinstance(name, str):
            raise ValueError(f"file_name: a text expected, got {str(name)[:80]}")
        video, frame = self.frame_of(name)
        width, height = (
            whole_number(field(record, side), side, least=1) for side in ("width", "height")
        )
        self.images[key] = _Image(self.writer.video(video), frame, width, height)
        self.writer.look(self.images[key].video, frame)

    def _annotation(self, record: Any) -> None:
        image = whole_number(field(record, "image_id"), "image_id", most=_LARGEST_ID)
        score = number(record.get("score", 1.0), "score")
        if record.get("iscrowd") or (self.least is not None and score < self.least):
            return
        if self.masks:
            self.shapes.append(shape_of(field(record, "segmentation")))
            corners = (0.0, 0.0, 0.0, 0.0)  # the mask tells
        else:
            corners = corners_of(field(record, "bbox"))
        known = [record[name] for name in ("track_id", "instance_id") if name in record]
        self.tracks.append(identity(known[0], "track_id") if known else None)
        images, boxes, scores, categories = self.rows
        images.append(image)
        boxes.extend(corners)
        scores.append(score)
        categories.append(whole_number(record.get("category_id", 1), "category_id"))

    def _join(self) -> None:
        followed = {track is not None for track in self.tracks}
        if len(followed) > 1:
            raise ValueError("annotations: track_id of all of them expected, or of none")
        images, boxes, scores, categories = self.rows
        times: dict[int, int] = {}
        for row, key in enumerate(images):
            if key not in self.images:
                raise ValueError(f"annotations: image_id of an image expected, got {key}")
            video, frame, width, height = self.images[key]
            track = self.tracks[row]
            if track is None:
                track = times[key] = times.get(key, -1) + 1
            x1, y1, x2, y2 = boxes[4 * row : 4 * row + 4]
            corners = (x1 / width, y1 / height, x2 / width, y2 / height)
            self.writer.add(video, frame, corners, track, categories[row], scores[row])
            if not self.masks:
                continue
            try:
                self.writer.mask(*runs_of(self.shapes[row], int(height), int(width)))
            except ValueError as error:
                raise ValueError(f"annotations of image {key}: {error}") from error


def corners_of(box: Any) -> tuple[float, float, float, float]:
    """The corners (x1, y1, x2, y2) of a ``bbox``.

    Raises:
        ValueError: when it is none.
    """
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"bbox: [x, y, width, height] expected, got {str(box)[:80]}")
    x, y, width, height = (number(value, f"bbox[{place}]") for place, value in enumerate(box))
    if width < 0 or height < 0:
        raise ValueError(f"bbox: a width and a height from 0 expected, got {box}")
    return x, y, x + width, y + height
