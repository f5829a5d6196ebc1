"""Which things of a clip have which slots."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["clip_slots", "in_slots"]


def clip_slots(track: NDArray[np.integer], slots: int) -> NDArray[np.int64]:
    """Give the things in a clip slots 0..M−1, each the same one in all its frames.

    Slots go by first appearance. Where there are more things than slots, those that are seen in the
    most frames have one, and of equals those that appeared first.

    Args:
        track: whose box each row is ``[R]``, in the order of frames.
        slots: M.

    Returns:
        The slot of each row ``[R]``; −1 where it has none.

    Examples:
        >>> clip_slots(np.array([7, 2, 2, 9, 2, 9]), 2)
        array([-1,  0,  0,  1,  0,  1])
    """
    _, first, which, frames = np.unique(
        track, return_index=True, return_inverse=True, return_counts=True
    )
    kept = np.lexsort((first, -frames))[:slots]
    slot = np.full(len(first), -1, dtype=np.int64)
    slot[kept[first[kept].argsort()]] = np.arange(len(kept))
    return slot[which]


def in_slots(
    shown: NDArray[np.bool_],
    place: NDArray[np.int64],
    track: NDArray[np.integer],
    values: Mapping[str, NDArray[np.generic]],
    frames: int,
    slots: int,
) -> tuple[dict[str, Tensor], dict[int, tuple[int, int]]]:
    """Put what is seen in the frames of a clip into slots.

    Args:
        shown: which rows are in view ``[R]``.
        place: the frame of each, 0..T−1, rising ``[R]``.
        track: whose each is ``[R]``.
        values: further values of each, by name ``[R, …]``.
        frames: T.
        slots: M.

    Returns:
        ``present``, ``track``, ``left_out`` and the values ``[T, M, …]``, 0 where there is nothing;
        and the frame and slot of each row that has one.
    """
    rows = np.flatnonzero(shown)
    slot = clip_slots(track[rows], slots)
    left_out = int((slot < 0).sum())
    rows, slot = rows[slot >= 0], slot[slot >= 0]
    where = place[rows], slot

    def spread(each: NDArray[np.generic]) -> Tensor:
        out = np.zeros((frames, slots, *each.shape[1:]), dtype=each.dtype)
        out[where] = each[rows]
        return torch.from_numpy(out)

    fields = {name: spread(each) for name, each in values.items()}
    fields["present"] = spread(shown)
    fields["track"] = torch.arange(slots).expand(frames, slots).contiguous()
    fields["left_out"] = torch.tensor(left_out)
    cells = zip(where[0].tolist(), slot.tolist(), strict=True)
    return fields, dict(zip(rows.tolist(), cells, strict=True))
