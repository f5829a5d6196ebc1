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

__all__ = ["FrameIndex", "Identity", "IndexCache", "identity", "indexed"]

MOST_KEPT = 1 << 25
"""Bytes of what is kept in a process: some 50,000 videos of 48 frames, or a few of a day."""
_SETTLED = 2.0  # seconds: file systems tell times no better, so a younger file may change unseen
_OVERHEAD = 256  # bytes of an entry beside its arrays


class Identity(NamedTuple):
    """What tells a file from another one, and from itself after a change."""

    path: str
    inode: int
    size: int
    changed: int
    """When, in nanoseconds."""


def identity(path: Path) -> Identity:
    """That of a file as it is now.

    Raises:
        OSError: when there is no such file.
    """
    found = path.stat()
    return Identity(str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)


class FrameIndex(NamedTuple):
    """When the frames of a file are shown, and where decoding can begin."""

    length: int
    """How many frames there are."""
    stamps: NDArray[np.int64] | None
    """Time stamps in the order of display ``[length]``; None where not each frame has its own."""
    starts: NDArray[np.int64]
    """Stamps of display and of decoding of each key frame ``[keys, 2]``, rising; none where frames
    are found by counting."""
    base: float
    """Seconds of a unit of time stamps; 0 if not known."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        stamps = 0 if self.stamps is None else self.stamps.nbytes
        return _OVERHEAD + stamps + self.starts.nbytes


class IndexCache:
    """Keeps what was asked for last, up to a number of bytes.

    A file that has just changed is not kept, since it might change again within the same tick of
    its file system's clock.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self.nbytes = most, 0
        self._kept: OrderedDict[Identity, FrameIndex] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, file: Identity, make: Callable[[], FrameIndex]) -> FrameIndex:
        """The index of a file, made anew if it is not known; it raises whatever ``make`` does."""
        with self._lock:
            if file in self._kept:
                self._kept.move_to_end(file)
                return self._kept[file]
        index = make()
        if time.time() - 1e-9 * file.changed > _SETTLED and index.nbytes <= self.most:
            self._keep(file, index)
        return index

    def _keep(self, file: Identity, index: FrameIndex) -> None:
        with self._lock:
            if file not in self._kept:
                self._kept[file] = index
                self.nbytes += index.nbytes
            while self.nbytes > self.most:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes


indexed = IndexCache()
"""That of this process, of which each worker of a loader is one."""
