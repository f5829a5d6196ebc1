"""What a look through a video file tells, kept for the next time that it is opened."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameIndex", "IndexCache", "indexed"]

MOST_KEPT = 1 << 25
"""Bytes of what is kept in a process: some 50,000 videos of 48 frames, or a few of a day."""
_SETTLED = 2.0  # seconds: file systems tell times no better, so a younger file may change unseen
_OVERHEAD = 256  # bytes of an entry beside its arrays
Key = tuple[str, int, int, int]


class FrameIndex(NamedTuple):
    """When the frames of a file are shown, and where decoding can begin."""

    length: int
    """How many frames there are."""
    stamps: NDArray[np.int64] | None
    """Time stamps in the order of display ``[length]``; None where not each frame has its own."""
    starts: NDArray[np.int64]
    """Stamps of display and of decoding of each key frame ``[keys, 2]``, rising."""
    base: float
    """Seconds of a unit of time stamps; 0 if not known."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        stamps = 0 if self.stamps is None else self.stamps.nbytes
        return _OVERHEAD + stamps + self.starts.nbytes


class IndexCache:
    """Keeps what was asked for last, up to a number of bytes.

    A file is known by its path, inode, size and time of change; one that has just changed is not
    kept, since it might change again within the same tick of its file system's clock.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self.nbytes = most, 0
        self._kept: OrderedDict[Key, FrameIndex] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, path: Path, make: Callable[[], FrameIndex]) -> FrameIndex:
        """The index of a file, made anew if it is not known.

        Raises:
            OSError: when there is no such file, and whatever ``make`` raises.
        """
        found = path.stat()
        key = (str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        index = make()
        if time.time() - found.st_mtime > _SETTLED and index.nbytes <= self.most:
            self._keep(key, index)
        return index

    def _keep(self, key: Key, index: FrameIndex) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = index
                self.nbytes += index.nbytes
            while self.nbytes > self.most:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes


indexed = IndexCache()
"""That of this process, of which each worker of a loader is one."""
