"""Drawing on pictures ``[h, w, 3]`` uint8, in place: box outlines, dashes, small numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["GLYPH", "box_pixels", "dashes", "fill", "number", "outline"]

GLYPH = (5, 7)  # columns and rows of a figure
_FIGURES = (  # seven rows of five bits each, for 0..9
    (14, 17, 19, 21, 25, 17, 14),
    (4, 12, 4, 4, 4, 4, 14),
    (14, 17, 1, 6, 8, 16, 31),
    (14, 17, 1, 6, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2),
    (31, 16, 30, 1, 1, 17, 14),
    (6, 8, 16, 30, 17, 17, 14),
    (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14),
    (14, 17, 17, 15, 1, 2, 12),
)
Colour = Sequence[int]


def box_pixels(box: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """First and last pixel (left, top, right, bottom, all inside) of a box ``[4]`` in 0..1.

    A side beyond the frame is drawn on the frame's edge, so that no region vanishes.

    Examples:
        >>> box_pixels(torch.tensor([0.25, 0.5, 0.75, 2.0]), height=8, width=8)
        (2, 4, 5, 7)
    """
    x1, y1, x2, y2 = box.tolist()
    left, right = _span(x1, x2, width)
    top, bottom = _span(y1, y2, height)
    return left, top, right, bottom


def _span(start: float, end: float, size: int) -> tuple[int, int]:
    first = min(max(round(start * size), 0), size - 1)
    return first, min(max(round(end * size) - 1, first), size - 1)


def fill(image: Tensor, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
    """Fill a rectangle, both ends included."""
    image[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = torch.tensor(
        colour, dtype=torch.uint8
    )


def outline(image: Tensor, box: Tensor, colour: Colour, thickness: int = 1) -> None:
    """Draw the four sides of a box, the line inside it."""
    left, top, right, bottom = box_pixels(box, *image.shape[:2])
    line = thickness - 1
    fill(image, left, top, right, min(top + line, bottom), colour)
    fill(image, left, max(bottom - line, top), right, bottom, colour)
    fill(image, left, top, min(left + line, right), bottom, colour)
    fill(image, max(right - line, left), top, right, bottom, colour)


def dashes(image: Tensor, box: Tensor, length: int = 6, thickness: int = 1) -> None:
    """Draw a box in white dashes with black gaps, visible on any ground.

    ``length`` 0 gives an unbroken white line.
    """
    left, top, right, bottom = box_pixels(box, *image.shape[:2])
    line = thickness - 1

    def shade(position: int, start: int) -> Colour:
        light = length == 0 or (position - start) // length % 2 == 0
        return (255, 255, 255) if light else (0, 0, 0)

    for x in range(left, right + 1):
        fill(image, x, top, x, min(top + line, bottom), shade(x, left))
        fill(image, x, max(bottom - line, top), x, bottom, shade(x, left))
    for y in range(top, bottom + 1):
        fill(image, left, y, min(left + line, right), y, shade(y, top))
        fill(image, max(right - line, left), y, right, y, shade(y, top))


def number(image: Tensor, left: int, top: int, value: int, colour: Colour, scale: int = 1) -> None:
    """Write a whole number with its top left corner there."""
    for figure in map(int, str(value)):
        for row, bits in enumerate(_FIGURES[figure]):
            for column in range(GLYPH[0]):
                if bits >> (GLYPH[0] - 1 - column) & 1:
                    x, y = left + column * scale, top + row * scale
                    fill(image, x, y, x + scale - 1, y + scale - 1, colour)
        left += (GLYPH[0] + 1) * scale
