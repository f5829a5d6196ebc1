"""The compact form of annotations: columns of numbers, in memory or mapped from files.

A box takes 32 bytes here, about a tenth of what it takes as JSON and a fiftieth of what it takes as
Python's objects. Rows are sorted by video and frame, so what is known of a frame is found by
bisection, and workers share the memory of one table.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError

__all__ = ["KINDS", "MOST_BOXES", "Columns", "Table", "TableWriter"]

Columns = dict[str, NDArray[Any]]
MOST_BOXES = 4096
"""Of a frame: as many as it may have nodes."""
KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "names": ("u1", ()),
    "start": ("i8", ()),  # of a video's rows [videos + 1]
    "frame": ("i4", ()),
    "box": ("f4", (4,)),
    "track": ("i4", ()),
    "category": ("i4", ()),
    "score": ("f4", ()),
    "seen_start": ("i8", ()),  # of a video's frames that were looked at [videos + 1]
    "seen": ("i4", ()),
    "mask_size": ("i4", (2,)),  # height and width of a row's mask
    "run_start": ("i8", ()),  # where its runs begin, and how many there are
    "run_count": ("i4", ()),
    "runs": ("i4", ()),
}
_ROWS = ("frame", "box", "track", "category", "score")
_MASK_ROWS = ("mask_size", "run_start", "run_count")
_NEEDED = ("names", "start", *_ROWS)
_TOGETHER = (("seen_start", "seen"), (*_MASK_ROWS, "runs"))


class Table:
    """What is known of the frames of videos, a row a box.

    Args:
        columns: ``names`` (bytes, the names of the videos, each with a line feed behind it);
            ``start [videos + 1]``, where each video's rows begin; ``frame``, ``track``,
            ``category`` and ``score`` ``[rows]``, ``box [rows, 4]`` (x1, y1, x2, y2); and, where
            not all frames were looked at, ``seen_start [videos + 1]`` and ``seen``, those that
            were, in order. Of masks ``mask_size [rows, 2]`` and, in ``runs``, the lengths of their
            runs (see :func:`~stgraph.datasets.videos.annotations.runs_of_rle`), ``run_count
            [rows]`` of them from ``run_start [rows]`` on. That the rows of a video are in order of
            their frames, and that runs lie within ``runs``, is not looked at.
        pixels: whether boxes are in pixels of the frame; in 0..1 of it otherwise.
        source: where they come from, for messages.

    Raises:
        InputError: when the columns do not belong together.
    """

    def __init__(self, columns: Columns, pixels: bool, source: str) -> None:
        if missing := [name for name in _NEEDED if name not in columns]:
            raise InputError(source, "columns of annotations", f"none of {missing}")
        if unknown := [name for name in columns if name not in KINDS]:
            raise InputError(source, f"columns among {list(KINDS)}", unknown)
        for group in _TOGETHER:
            if 0 < len(there := [name for name in group if name in columns]) < len(group):
                raise InputError(source, f"all or none of {list(group)}", there)
        self.columns = columns
        self.pixels = pixels
        self.source = source
        for name, column in columns.items():
            kind, inner = KINDS[name]
            if column.dtype != np.dtype(kind) or column.shape[1:] != inner or column.ndim < 1:
                came = f"{list(column.shape)} of {column.dtype}"
                raise InputError(source, f"{name} of type {kind}", came)
        rows = {name: len(columns[name]) for name in (*_ROWS, *_MASK_ROWS) if name in columns}
        if len(set(rows.values())) > 1:
            raise InputError(source, "columns of one length", rows)
        self._check_starts("start", rows["frame"])
        if "seen" in columns:
            self._check_starts("seen_start", len(columns["seen"]))

    def _check_starts(self, name: str, rows: int) -> None:
        start = self.columns[name]
        rising = len(start) == len(self.names) + 1 and start[0] == 0 and start[-1] == rows
        if not rising or bool((np.diff(start) < 0).any()):
            raise InputError(self.source, f"{name} that rises from 0 to {rows}", "others")

    @cached_property
    def names(self) -> dict[str, int]:
        """Videos by name, with their numbers."""
        try:
            text = bytes(self.columns["names"]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(self.source, "names in UTF-8", "others") from error
        return {name: number for number, name in enumerate(text.split("\n")[:-1])}

    def __len__(self) -> int:
        return len(self.columns["frame"])

    @property
    def nbytes(self) -> int:
        """Memory of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    def video(self, name: str) -> int | None:
        """The number of a video, by its name or by that without the ending of a file."""
        return self.names.get(name, self.names.get(_stem(name)))

    def find(
        self, name: str, frames: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """The rows of some frames of a video.

        Args:
            name: of the video.
            frames: numbers of frames ``[T]``, in any order, also more than once.

        Returns:
            Row numbers and the place of the frame of each, 0..T−1 ``[R]``, sorted by place; and
            which frames were looked at ``[T]``.
        """
        video = self.video(name)
        if video is None:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing, np.zeros(len(frames), dtype=np.bool_)
        first, last = self.columns["start"][video : video + 2].tolist()
        numbers = self.columns["frame"][first:last]
        low = np.searchsorted(numbers, frames, "left")
        count = np.searchsorted(numbers, frames, "right") - low
        place = np.repeat(np.arange(len(frames)), count)
        within = np.arange(len(place)) - np.repeat(count.cumsum() - count, count)
        seen = np.ones(len(frames), dtype=np.bool_)
        if "seen" in self.columns:
            one, end = self.columns["seen_start"][video : video + 2].tolist()
            seen = np.isin(frames, self.columns["seen"][one:end])
        return first + low[place] + within, place, seen


def _stem(name: str) -> str:
    """A name without the ending of a file."""
    folder, slash, file = name.rpartition("/")
    stem, dot, _ = file.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else name


class TableWriter:
    """Collects the rows of a :class:`Table`, in any order.

    Args:
        source: where they come from, for messages.
        pixels: whether boxes are in pixels; in 0..1 of the frame otherwise.
        most_runs: of all masks together, which a few words of a file may stand for.
    """

    def __init__(self, source: str, pixels: bool = True, most_runs: int = 1 << 31) -> None:
        self.source, self.pixels, self.most_runs = source, pixels, most_runs
        self._videos: dict[str, int] = {}
        self._tracks: list[dict[Hashable, int]] = []
        self._video, self._frame = array("i"), array("i")
        self._track, self._category = array("i"), array("i")
        self._box, self._score = array("f"), array("f")
        self._seen: tuple[array[int], array[int]] | None = None
        self._mask_size, self._run_start = array("i"), array("q")
        self._run_count, self._runs = array("i"), array("i")

    def video(self, name: str) -> int:
        """The number of a video, which is new or known.

        Raises:
            ValueError: for a name of more than one line, which no file has.
        """
        number = self._videos.setdefault(name, len(self._videos))
        if number == len(self._tracks):
            if "\n" in name:
                raise ValueError(f"a name of one line expected, got {name!r}")
            self._tracks.append({})
        return number

    def __contains__(self, name: str) -> bool:
        return name in self._videos

    def look(self, video: int, frame: int) -> None:
        """Note that a frame was looked at, be there boxes or not; without any, all frames were."""
        if self._seen is None:
            self._seen = array("i"), array("i")
        self._seen[0].append(video)
        self._seen[1].append(frame)

    def add(
        self,
        video: int,
        frame: int,
        box: Sequence[float],
        identity: Hashable,
        category: int = 1,
        score: float = 1.0,
    ) -> None:
        """Add a box.

        Args:
            video: what :meth:`video` returned.
            frame: number of the frame, from 0.
            box: (x1, y1, x2, y2).
            identity: what the tracker or annotator calls it; the same in two frames of a video is
                the same thing.
            category: its class, from 1.
            score: how sure the detector was.
        """
        tracks = self._tracks[video]
        self._video.append(video)
        self._frame.append(frame)
        self._track.append(tracks.setdefault(identity, len(tracks)))
        self._category.append(category)
        self._box.extend(box)
        self._score.append(score)

    def mask(self, height: int, width: int, runs: Sequence[int]) -> None:
        """Say of what size the newest row's mask is, and of which runs; of all rows or none.

        Raises:
            ValueError: when masks have more runs than they may.
        """
        if len(self._runs) + len(runs) > self.most_runs:
            raise ValueError(f"masks of at most {self.most_runs} runs expected, got more")
        self._mask_size.extend((height, width))
        self._run_start.append(len(self._runs))
        self._run_count.append(len(runs))
        self._runs.extend(runs)

    def table(self) -> Table:
        """Put the rows in order.

        Raises:
            InputError: when a box is no box (not finite, or with its right side before its left
                one), or a thing stands twice in a frame.
        """
        video, rows = (
            _column(self._video, "i4"),
            {
                "frame": _column(self._frame, "i4"),
                "box": _column(self._box, "f4").reshape(-1, 4),
                "track": _column(self._track, "i4"),
                "category": _column(self._category, "i4"),
                "score": _column(self._score, "f4"),
            },
        )
        if self._run_count:
            rows["mask_size"] = _column(self._mask_size, "i4").reshape(-1, 2)
            rows["run_start"] = _column(self._run_start, "i8")
            rows["run_count"] = _column(self._run_count, "i4")
        key = _key(video, rows["frame"])
        if bool((key[1:] < key[:-1]).any()):
            order = key.argsort(kind="stable")
            video, key = video[order], key[order]
            rows = {name: column[order] for name, column in rows.items()}
        names = list(self._videos)
        self._check(video, rows, names)
        self._check_once(key, video, rows, names)
        columns: Columns = {
            "names": np.frombuffer("".join(f"{name}\n" for name in names).encode(), np.uint8),
            "start": _starts(video, len(names)),
            **rows,
        }
        if self._run_count:
            columns["runs"] = _column(self._runs, "i4")
        if self._seen is not None:
            videos, frames = (_column(part, "i4") for part in self._seen)
            looked = np.unique(_key(videos, frames))
            columns["seen_start"] = _starts(looked >> 32, len(names))
            columns["seen"] = (looked & 0xFFFFFFFF).astype(np.int32)
        return Table(columns, self.pixels, self.source)

    def _check(self, video: NDArray[Any], rows: Columns, names: list[str]) -> None:
        box = rows["box"]
        right = np.isfinite(box).all(1) & (box[:, :2] <= box[:, 2:]).all(1)
        right &= np.isfinite(rows["score"])
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            came = f"{box[row].tolist()}, score {float(rows['score'][row]):g}"
            raise InputError(
                self._where(names, video[row], rows["frame"][row]),
                "boxes of finite numbers with x1 ≤ x2 and y1 ≤ y2",
                came,
            )

    def _check_once(
        self, key: NDArray[Any], video: NDArray[Any], rows: Columns, names: list[str]
    ) -> None:
        """A thing stands once in a frame; of the few rows of one each looks at those behind."""
        for step in range(1, len(key)):
            same = key[step:] == key[:-step]
            if not same.any():
                return
            if step == MOST_BOXES:
                row = int(np.flatnonzero(same)[0])
                where = self._where(names, video[row], rows["frame"][row])
                raise InputError(where, f"at most {MOST_BOXES} boxes a frame", "more")
            twice = same & (rows["track"][step:] == rows["track"][:-step])
            if twice.any():
                row = int(np.flatnonzero(twice)[0])
                known = {code: name for name, code in self._tracks[video[row]].items()}
                where = self._where(names, video[row], rows["frame"][row])
                raise InputError(where, "a track once a frame", f"{known[rows['track'][row]]!r}")

    def _where(self, names: list[str], video: int, frame: int) -> str:
        return f"{self.source}: video {names[video]!r}, frame {frame}"


def _column(values: array[Any], kind: str) -> NDArray[Any]:
    """A column of the same memory; an empty array has none."""
    return np.frombuffer(values, kind) if len(values) else np.empty(0, kind)


def _key(video: NDArray[Any], frame: NDArray[Any]) -> NDArray[np.int64]:
    key: NDArray[np.int64] = (video.astype(np.int64) << 32) | frame
    return key


def _starts(video: NDArray[Any], videos: int) -> NDArray[np.int64]:
    """Where each video's rows begin, of rows sorted by video."""
    starts: NDArray[np.int64] = np.searchsorted(video, np.arange(videos + 1)).astype(np.int64)
    return starts
