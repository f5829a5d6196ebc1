"""Antialiased bilinear resizing of 8-bit frames, as Pillow does it, alike on every device.

Pillow's rule: each output pixel is the mean of the input under a tent as wide as the reduction,
first along rows, then along columns, rounded to 8 bits after each (recent versions may take
columns first where the two reductions differ). Here the tents are banded
matrices with weights in units of 2^-16. A product with 8-bit pixels then needs at most 24 bits,
which single precision holds: sums are exact, whatever order a device adds them in, and a frame
comes out the same in any batch. Against Pillow's 22-bit weights a pixel is off by one grey level
at most, and seldom.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Resizer", "tent_weights"]

_UNIT = 2.0**-16
# Output pixels a band: few enough to skip the zeros, enough for the BLAS (measured on a CPU).
_COLUMNS, _ROWS = 16, 8


class Band(NamedTuple):
    """The output pixels ``target`` and all that they see of the input."""

    target: slice
    source: slice
    parts: tuple[Tensor, ...]  # weights [target, source], the sum of the parts


def tent_weights(
    source: int, target: int, first: int = 0, last: int | None = None
) -> NDArray[np.float64]:
    """Return the matrix that resizes ``source`` pixels to ``target`` by antialiased bilinear.

    Row i is max(0, 1 - abs(p + 1/2 - c) / s) over input pixels p, divided by its sum, with
    s = max(1, source / target) and c = (i + 1/2) source / target.

    Args:
        source: pixels that come.
        target: pixels to make.
        first: the first row of the matrix that is returned.
        last: the row behind the last one; all rows if None.

    Returns:
        Weights [rows, source]; rows sum to 1.

    Examples:
        >>> tent_weights(8, 4)[1] * 8
        array([0., 1., 3., 3., 1., 0., 0., 0.])
    """
    scale = source / target
    rows = np.arange(first, target if last is None else last)
    centre = (rows[:, None] + 0.5) * scale  # [rows, 1]
    pixel = np.arange(source)[None] + 0.5  # [1, source]
    tent = np.maximum(0.0, 1.0 - np.abs(pixel - centre) / max(1.0, scale))
    weights: NDArray[np.float64] = tent / tent.sum(1, keepdims=True)
    return weights


class Bands(NamedTuple):
    """The input pixels that are seen at all, and bands whose sources count from the first."""

    seen: slice
    bands: tuple[Band, ...]


@lru_cache(maxsize=256)
def _bands(
    source: int, target: int, start: int, stop: int, size: int, split: bool, device: torch.device
) -> Bands:
    """Cut rows of the matrix into bands, without the zero columns, in whole units of 2^-16."""
    weights = np.rint(tent_weights(source, target, start, stop) / _UNIT) * _UNIT
    seen = np.flatnonzero(weights.any(0))
    begin, end = int(seen[0]), int(seen[-1]) + 1
    bands = []
    for first in range(0, stop - start, size):
        rows = weights[first : first + size, begin:end]
        seen = np.flatnonzero(rows.any(0))
        rows = rows[:, seen[0] : seen[-1] + 1]
        coarse = np.floor(rows * 256) / 256
        parts = (coarse, rows - coarse) if split else (rows,)
        bands.append(
            Band(
                slice(first, first + len(rows)),
                slice(int(seen[0]), int(seen[-1]) + 1),
                tuple(torch.tensor(part, dtype=torch.float32, device=device) for part in parts),
            )
        )
    return Bands(slice(begin, end), tuple(bands))


@lru_cache(maxsize=256)
def _looked_at(source: int, target: int, start: int, stop: int) -> slice:
    """The input pixels that some output pixels are made of."""
    if source == target:
        return slice(start, stop)
    weights = np.rint(tent_weights(source, target, start, stop) / _UNIT)
    seen = np.flatnonzero(weights.any(0))
    return slice(int(seen[0]), int(seen[-1]) + 1)


class Resizer:
    """Resizes 8-bit frames [F, H, W] of one size to another, on their own device.

    Args:
        source: height and width that come.
        target: height and width to make.
        window: first row, first column, rows and columns of the target that are made, from no more
            of the input than they need; all of it when absent.

    Examples:
        >>> Resizer((4, 4), (2, 2))(torch.full((1, 4, 4), 200, dtype=torch.uint8))
        tensor([[[200, 200],
                 [200, 200]]], dtype=torch.uint8)
    """

    def __init__(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        window: tuple[int, int, int, int] | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.window = (0, 0, *target) if window is None else window

    @property
    def needed(self) -> tuple[slice, slice]:
        """Rows and columns of the input that are looked at."""
        first = self.window[:2]
        last = (first[0] + self.window[2], first[1] + self.window[3])
        down, along = (
            _looked_at(self.source[axis], self.target[axis], first[axis], last[axis])
            for axis in (0, 1)
        )
        return down, along

    def __call__(self, frames: Tensor, cut: bool = False) -> Tensor:
        """Return frames [F, h, w], those of the window.

        Args:
            frames: [F, H, W], or what is :attr:`needed` of them.
            cut: that they are the latter.
        """
        (H, W), (h, w) = self.source, self.target
        top, left, rows, columns = self.window
        if self.source == self.target:
            if cut or self.window == (0, 0, *self.source):
                return frames
            return frames[:, top : top + rows, left : left + columns]
        # TF32 and bfloat16 products hold 8 bits of a weight at least, so on devices and under
        # settings that use them the weights go in two parts of 8 bits, each of which is exact.
        split = frames.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest"
        where = split, frames.device
        down = _bands(H, h, top, top + rows, _ROWS, *where) if h != H else None
        along = _bands(W, w, left, left + columns, _COLUMNS, *where) if w != W else None
        x = frames
        if not cut:
            x = frames[
                :,
                slice(top, top + rows) if down is None else down.seen,
                slice(left, left + columns) if along is None else along.seen,
            ]
        # With frames between rows and columns, each pass is a plain product of two matrices.
        x = x.float().transpose(0, 1)  # [H, F, W]
        if along is not None:
            x = _along_rows(x, along.bands)  # [H, F, w]
        if down is not None:
            x = _along_columns(x, down.bands)  # [h, F, w]
        return x.to(torch.int16).to(torch.uint8).transpose(0, 1)  # faster in two steps


def _along_rows(x: Tensor, bands: tuple[Band, ...]) -> Tensor:
    """Resize [H, F, W] to [H, F, w], rounded to whole numbers, halves up."""
    H, F, W = x.shape
    x = x.reshape(H * F, W)
    out = x.new_full((H * F, bands[-1].target.stop), 0.5)
    for target, source, parts in bands:
        for part in parts:
            # In place, hence with no copy, and with no cast under autocast.
            out[:, target].addmm_(x[:, source], part.T)
    return out.floor_().view(H, F, -1)


def _along_columns(x: Tensor, bands: tuple[Band, ...]) -> Tensor:
    """Resize [H, F, W] to [h, F, W], rounded to whole numbers, halves up."""
    H, F, W = x.shape
    x = x.reshape(H, F * W)
    out = x.new_full((bands[-1].target.stop, F * W), 0.5)
    for target, source, parts in bands:
        for part in parts:
            out[target].addmm_(part, x[source])
    return out.floor_().view(-1, F, W)
