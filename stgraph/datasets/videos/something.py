"""Something-Something, versions 1 and 2, from the files as they are distributed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgraph.checks import InputError, integer
from stgraph.datasets.videos.bad import raise_error
from stgraph.datasets.videos.cuts import ClipRule
from stgraph.datasets.videos.dataset import Annotations, OnError, VideoClips
from stgraph.datasets.videos.entries import LIST_BYTES, Entry, long_enough
from stgraph.reading import read_json, read_text

__all__ = ["SomethingSomething"]

_VIDEOS = (".webm", ".mp4")


class SomethingSomething(VideoClips):
    """Clips of Something-Something; which version it is, the files tell.

    ``labels``
        of version 1 ``…-labels.csv``, a template a line, numbered in the order of the alphabet;
        of version 2 ``…-labels.json``, an object with the number of each template.
    ``split``
        of version 1 ``…-train.csv``, lines of ``id;template``; of version 2 ``…-train.json``, a
        list of objects with ``id`` and ``template``.
    ``videos``
        folders of frames, ``ID/00001.jpg``, or files, ``ID.webm``, of either version.

    Template and label are the same words, in version 2 but for brackets. A split without templates
    is one to test on: its clips have no label. Names of clips are their ids.

    The labels tell of directions, so clips are not mirrored unless the part that cuts them says so
    (:class:`~stgraph.datasets.videos.Flips` knows those that tell of left and right).

    Args:
        videos: the folder of the videos.
        labels: the file of the labels.
        split: the file of the split.
        clips: how clips are cut, see :class:`~stgraph.datasets.videos.VideoClips`.
        annotations: boxes, masks and the like.
        on_error: what happens to a clip that cannot be read, or is not there.
        min_frames: leave out videos with fewer frames, 3 in the official code, which takes a look
            at all of them first; their names are in ``dropped``.

    Raises:
        InputError: when a file is not there, or is not what it should be, with the line or the id.
    """

    def __init__(
        self,
        videos: str | Path,
        labels: str | Path,
        split: str | Path,
        clips: ClipRule | None = None,
        annotations: Annotations | None = None,
        on_error: OnError = raise_error,
        min_frames: int | None = None,
    ) -> None:
        self.videos = Path(videos)
        number = _read_labels(Path(labels))
        ids = _read_split(Path(split), number)
        if not self.videos.is_dir():
            raise InputError("videos", "a folder of videos, or of folders of frames", f"{videos}")
        there = {path.name for path in self.videos.iterdir()}  # asked once, not for each clip
        entries = [
            Entry(_path(self.videos, clip, there), label, clip) for clip, label in ids.items()
        ]
        self.dropped: list[str] = []
        if min_frames is not None:
            kept = long_enough(entries, integer("min_frames", min_frames))
            self.dropped = sorted({e.name for e in entries} - {e.name for e in kept})
            entries = kept
        super().__init__(entries, list(number), clips, annotations, on_error)


def _path(videos: Path, clip: str, there: set[str]) -> Path:
    """Where a clip lies; where none is, the path that it should have."""
    names = [name for name in (clip, *(clip + ending for ending in _VIDEOS)) if name in there]
    return videos / (names[0] if names else clip + _VIDEOS[0])


def _read_labels(path: Path) -> dict[str, int]:
    """Numbers of the labels by their names, in order."""
    if path.suffix.lower() == ".json":
        found = read_json(path, "labels of Something-Something", most=LIST_BYTES)
        if not isinstance(found, Mapping) or not found:
            raise InputError(str(path), "an object with a number for each label", _kind(found))
        numbers = {}
        for name, number in found.items():
            if not (isinstance(number, (str, int)) and str(number).isdecimal()):
                raise InputError(f"{path}, {name!r}", "the number of a label", repr(number)[:80])
            numbers[name] = int(number)
        if sorted(numbers.values()) != list(range(len(numbers))):
            expected = f"each number from 0 to {len(numbers) - 1} once"
            raise InputError(str(path), expected, sorted(numbers.values())[:200])
        return dict(sorted(numbers.items(), key=lambda pair: pair[1]))
    lines = read_text(path, "labels of Something-Something", most=LIST_BYTES).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(str(path), "a label a line, each once", f"{len(names)} lines")
    return {name: number for number, name in enumerate(sorted(names))}


def _read_split(path: Path, number: Mapping[str, int]) -> dict[str, int | None]:
    """Labels by the clips' ids, or None for all."""
    is_json = path.suffix.lower() == ".json"
    found: dict[str, int | None] = {}
    for where, clip, template in _objects(path) if is_json else _lines(path):
        name = None if template is None else template.replace("[", "").replace("]", "").strip()
        if name is not None and name not in number:
            raise InputError(f"{path}, {where}", "a template of the labels' file", repr(template))
        if clip in found:
            raise InputError(f"{path}, {where}", "each id once", repr(clip))
        if not clip or Path(clip).name != clip:
            raise InputError(f"{path}, {where}", "an id", repr(clip)[:80])
        found[clip] = None if name is None else number[name]
    if not found:
        raise InputError(str(path), "at least one clip", "none")
    if None in found.values() and set(found.values()) != {None}:
        bare = next(clip for clip, label in found.items() if label is None)
        raise InputError(str(path), "a template for each clip, or for none", f"none for {bare}")
    return found


def _objects(path: Path) -> list[tuple[str, str, str | None]]:
    items = read_json(path, "a split of Something-Something", most=LIST_BYTES)
    if not isinstance(items, list):
        raise InputError(str(path), "a list of clips", _kind(items))
    found = []
    for place, item in enumerate(items):
        if not isinstance(item, Mapping) or not isinstance(item.get("id"), (str, int)):
            raise InputError(f"{path}, clip {place}", "an object with an id", repr(item)[:80])
        template = item.get("template")
        if template is not None and not isinstance(template, str):
            raise InputError(f"{path}, clip {place}, template", "text", repr(template)[:80])
        found.append((f"id {item['id']}", str(item["id"]), template))
    return found


def _lines(path: Path) -> list[tuple[str, str, str | None]]:
    text = read_text(path, "a split of Something-Something", most=LIST_BYTES)
    found: list[tuple[str, str, str | None]] = []
    for place, row in enumerate(csv.reader(text.splitlines(), delimiter=";"), 1):
        if row and len(row) > 2:
            raise InputError(f"{path}, line {place}", "id;template", ";".join(row)[:80])
        if row:
            found.append((f"line {place}", row[0].strip(), row[1].strip() if row[1:] else None))
    return found


def _kind(value: Any) -> str:
    return f"an empty {type(value).__name__}" if value in ({}, []) else type(value).__name__
