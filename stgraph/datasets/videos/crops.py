"""Which part of every frame of a clip is seen, and in which size.

A view is a resize, a cut and another resize, each of which may change nothing. It is chosen by the
size of the frames alone, so that boxes and masks follow the pixels through the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stgraph.checks import InputError, integer, positive
from stgraph.datasets.draws import Words, bounded

__all__ = ["Crops", "MultiScaleCrops", "RandomCrops", "TrainCrops", "View", "short_side"]


@dataclass(frozen=True)
class View:
    """A part of a frame: resized to ``scaled``, cut out, resized to ``size``, mirrored or not.

    Args:
        scaled: height and width of the whole frame after the first resize.
        top: first row that is kept.
        left: first column that is kept.
        cut: height and width that are kept.
        size: height and width of what is seen.
        flip: whether left and right are exchanged in the end.
    """

    scaled: tuple[int, int]
    top: int
    left: int
    cut: tuple[int, int]
    size: tuple[int, int]
    flip: bool = False

    def boxes(self, box: Tensor) -> Tensor:
        """Boxes in 0..1 of the view ``[..., 4]``, of boxes (x1, y1, x2, y2) in 0..1 of the frame.

        What lies outside is cut off; a box that lies wholly outside becomes empty, on the edge.

        Examples:
            >>> from dataclasses import replace
            >>> half = View((4, 8), 0, 4, (4, 4), (2, 2))
            >>> half.boxes(torch.tensor([0.25, 0.0, 0.75, 0.5]))
            tensor([0.0000, 0.0000, 0.5000, 0.5000])
            >>> replace(half, flip=True).boxes(torch.tensor([0.25, 0.0, 0.75, 0.5]))
            tensor([0.5000, 0.0000, 1.0000, 0.5000])
        """
        (height, width), (rows, columns) = self.scaled, self.cut
        scale = box.new_tensor([width, height, width, height])
        start = box.new_tensor([self.left, self.top, self.left, self.top])
        kept = box.new_tensor([columns, rows, columns, rows])
        inside = ((box * scale - start) / kept).clamp(0, 1)
        if not self.flip:
            return inside
        x1, y1, x2, y2 = inside.unbind(-1)
        return torch.stack([1 - x2, y1, 1 - x1, y2], dim=-1)


def short_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the shorter one ``side``, the longer one in proportion, cut down.

    Examples:
        >>> short_side(240, 427, 256)
        (256, 455)
    """
    if width <= height:
        return side * height // width, side
    return side, side * width // height


class TrainCrops(ABC):
    """What draws a view of frames to train on."""

    @abstractmethod
    def __call__(self, height: int, width: int, words: Words) -> View:
        """A view of frames of this size, chosen by the first two of some random words."""


@dataclass(frozen=True)
class MultiScaleCrops(TrainCrops):
    """Random cuts of several sizes and shapes at fixed places, for training (TSN, TSM, DyReG).

    The sides of a cut are scales of the frame's short side, one for the height and one for the
    width, at most ``distortion`` apart in the list of scales; a side less than three pixels from
    ``size`` is ``size``. The cut starts at one of 13 places on a grid of quarters of the room that
    is left. It is resized to ``size`` × ``size``.

    Args:
        size: side of what is seen, in pixels.
        scales: the scales.
        distortion: how far apart the two scales may be, in places of the list.

    Raises:
        InputError: on scales outside of (0, 1].
    """

    size: int = 224
    scales: Sequence[float] = (1.0, 0.875, 0.75, 0.66)
    distortion: int = 1

    def __post_init__(self) -> None:
        integer("size", self.size)
        integer("distortion", self.distortion, 0)
        for scale in self.scales:
            if positive("scales", scale) > 1:
                raise InputError("scales", "numbers above 0, up to 1", scale)
        if not self.scales:
            raise InputError("scales", "at least one", "none")

    def __call__(self, height: int, width: int, words: Words) -> View:
        """A view of frames of this size, chosen by the first two of some random words.

        Examples:
            >>> MultiScaleCrops()(240, 320, np.zeros(2, dtype=np.uint64))
            View(scaled=(240, 320), top=0, left=0, cut=(240, 240), size=(224, 224), flip=False)
        """
        side = min(height, width)
        sides = [max(1, int(side * scale)) for scale in self.scales]
        sides = [self.size if abs(each - self.size) < 3 else each for each in sides]
        # A frame of 222 pixels has no room for 224.
        rows, columns = ([min(each, most) for each in sides] for most in (height, width))
        pairs = [
            (rows[i], columns[j])
            for i in range(len(sides))
            for j in range(len(sides))
            if abs(i - j) <= self.distortion
        ]
        cut = pairs[int(bounded(words[0], len(pairs)))]
        places = _places((height - cut[0]) // 4, (width - cut[1]) // 4)
        top, left = places[int(bounded(words[1], len(places)))]
        return View((height, width), top, left, cut, (self.size, self.size))


def _places(rows: int, columns: int) -> list[tuple[int, int]]:
    """Thirteen places on a grid of quarters: corners, sides, the middle, and around the middle."""
    quarters = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2)]
    quarters += [(1, 1), (1, 3), (3, 1), (3, 3)]
    return [(row * rows, column * columns) for row, column in quarters]


@dataclass(frozen=True)
class RandomCrops(TrainCrops):
    """Random square cuts of frames whose short side is resized first, for training (RSTG).

    The official code draws one cut for each video, once for all; here each epoch draws another.

    Args:
        size: side of a cut, in pixels.
        side: short side of the frame before the cut; ``size`` if None.

    Raises:
        InputError: on a side below the size.
    """

    size: int = 224
    side: int | None = 256

    def __post_init__(self) -> None:
        _check_sides(self.size, self.side)

    def __call__(self, height: int, width: int, words: Words) -> View:
        """A view of frames of this size, chosen by the first two of some random words.

        Examples:
            >>> RandomCrops()(240, 320, np.zeros(2, dtype=np.uint64))
            View(scaled=(256, 341), top=0, left=0, cut=(224, 224), size=(224, 224), flip=False)
        """
        scaled = short_side(height, width, self.size if self.side is None else self.side)
        room = np.array(scaled) - self.size + 1
        top, left = bounded(words[:2], room).tolist()
        cut = (self.size, self.size)
        return View(scaled, top, left, cut, cut)


def _check_sides(size: int, side: int | None) -> None:
    integer("size", size)
    if side is not None and integer("side", side) < size:
        raise InputError("side", f"at least the size, {size}", side)


@dataclass(frozen=True)
class Crops:
    """Square cuts of a frame, the same in every run, for validation and tests.

    The frame's short side is resized to ``side``. One cut is the middle one (TSM). Three are left,
    right and middle, at half height, in steps of quarters of the room as the official code has them
    (DyReG; of an upright frame they are the same). More are evenly spaced along the longer side,
    from end to end (RSTG: 11).

    Args:
        count: how many.
        size: side of a cut, in pixels.
        side: short side of the frame before the cut; ``size`` if None.

    Raises:
        InputError: on a side below the size, or a count of 2, which no rule describes.
    """

    count: int = 1
    size: int = 224
    side: int | None = 256

    def __post_init__(self) -> None:
        if integer("count", self.count) == 2:
            raise InputError("count", "1, 3 or more", 2)
        _check_sides(self.size, self.side)

    def __call__(self, height: int, width: int) -> list[View]:
        """The views of frames of this size.

        Examples:
            >>> [view.left for view in Crops(3, 256)(240, 320)]
            [0, 84, 42]
        """
        scaled = short_side(height, width, self.size if self.side is None else self.side)
        room = np.array(scaled) - self.size  # rows, columns
        if self.count == 1:
            starts = [(round(room[0] / 2), round(room[1] / 2))]
        elif self.count == 3:
            rows, columns = (room // 4).tolist()
            starts = [(2 * rows, step * columns) for step in (0, 4, 2)]
        else:
            places = np.tile(room // 2, (self.count, 1))  # [count, 2]
            along = int(room.argmax())
            places[:, along] = np.arange(self.count) * room[along] // (self.count - 1)
            starts = [(int(top), int(left)) for top, left in places]
        cut = (self.size, self.size)
        return [View(scaled, top, left, cut, cut) for top, left in starts]
