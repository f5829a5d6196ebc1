"""How digits wander on the canvas, alone or in step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stgraph.datasets.draws import Ints, Words, bounded

__all__ = ["wander"]


def wander(
    start: Ints, word: Words, synchronous: NDArray[np.bool_], limit: Ints, step: int
) -> Ints:
    """Move digits T times and record where each move ends.

    A digit at p may step, on each axis, by a whole number of lo .. hi - 1 (the upper bound is
    excluded), with lo = max(-step, -p) and hi = min(step, limit - p). Synchronous digits share
    one step, drawn from the intersection of their ranges; where that is empty they stay::

        lo = max over the subset of lo,    hi = min over the subset of hi

    so the offsets between them never change. Digits move before they are recorded: frame 0 lies
    one step from the start.

    Args:
        start: top-left corners (row, col) before the first frame [B, M, 2], within 0 .. limit.
        word: one random word for each step [B, T, M, 2]; the subset uses those of digit 0.
        synchronous: which digits move alike [B, M], digit 0 among them where any do.
        limit: largest corner on each axis [2].
        step: largest step towards 0.

    Returns:
        Top-left corners [B, T, M, 2].

    Source: RSTG official code.
    """
    together = synchronous[:, :, None]  # [B, M, 1]
    word = np.where(together[:, None], word[:, :, :1], word)  # [B, T, M, 2]
    path = np.empty(word.shape, np.int64)
    place = start
    for frame in range(word.shape[1]):
        low = np.maximum(-step, -place)  # [B, M, 2]
        high = np.minimum(step, limit - place)
        # No range leaves -step .. step, so these fill-ins change no maximum and no minimum.
        shared_low = np.where(together, low, -step).max(1, keepdims=True)  # [B, 1, 2]
        shared_high = np.where(together, high, step).min(1, keepdims=True)
        low = np.where(together, shared_low, low)
        span = np.where(together, shared_high, high) - low
        move = low + bounded(word[:, frame], np.maximum(span, 0))
        place = place + np.where(span > 0, move, 0)
        path[:, frame] = place
    return path
