"""Videos in which two digits move over a moving background, and only their motion tells the label.

The label says how the second digit moves with respect to the first: the same way, the opposite way,
crosswise, or not at all. In every frame and for every label, each digit's place is uniform over the
room that it has, and independent of the other's, of the digits, the colours and the background. So
a single frame, of whatever number, says nothing about the label: the best guess without motion is
the share of the most frequent label.

That is exact. Two places a, b on an axis of room L are drawn uniformly from a square. The same way
they go along a line of direction (1, 1) in it, the opposite way along (1, −1), with the second at
rest along (1, 0). A uniform point of a square is uniform on the line through it, and a walk that is
reflected at both ends of this line, with a first direction that is a coin toss, leaves it uniform.
Both digits turn at once where one of them would leave, so their relation holds in every frame.
Crosswise, each coordinate is reflected by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from stgraph.checks import InputError, integer
from stgraph.datasets.digits import Digits
from stgraph.datasets.draws import Words, bounded, order, stream_key, uniform, words
from stgraph.datasets.resize import Resizer

__all__ = ["TEMPLATES", "MovingDigits", "Scene"]

TEMPLATES = (
    "Moving [something] and [something] crosswise",
    "Moving [something] and [something] in opposite ways",
    "Moving [something] and [something] the same way",
    "Moving [something] while [something] stays",
)
"""The labels, as Something-Something spells them."""
CROSSWISE, OPPOSITE, SAME, STAYS = range(4)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""What the digits are called where a video says what its things are."""

Floats = NDArray[np.float64]
_TEXTURE, _COARSE, _FINE = 96, 6, 24  # pixels of the background's tile, cells of its two layers
_DRAWN = 23 + 3 * (_COARSE**2 + _FINE**2)


@dataclass(frozen=True, eq=False)
class Scene:
    """One video, and all that is known about it.

    Args:
        frames: uint8 [T, H, W, 3].
        box: what the digits cover, (x1, y1, x2, y2) in pixels [T, 2, 4].
        label: number of the template.
        digits: the classes of both digits; where one stays, it is the second.
    """

    frames: NDArray[np.uint8]
    box: Floats
    label: int
    digits: tuple[int, int]


@dataclass(frozen=True)
class MovingDigits:
    """Videos of two moving digits by number, each a pure function of (seed, split, number).

    Labels are as balanced as the number of videos allows: each stands once in every four.

    Args:
        digits: images to draw from; their split names the stream, so that training and unseen
            digits make different videos.
        length: how many videos.
        seed: of every random number.
        height: rows of a frame.
        width: columns of a frame.
        side: side of a digit's image, in pixels.
        frames: fewest and most frames of a video.
        speed: slowest and fastest motion, in pixels a frame.

    Raises:
        InputError: on frames without room for a digit, or a range that is none.

    Examples:
        >>> from stgraph.datasets import sklearn_digits
        >>> scene = MovingDigits(sklearn_digits("test"), length=4)[0]
        >>> scene.frames.shape, scene.box.shape
        ((20, 64, 80, 3), (20, 2, 4))
    """

    digits: Digits
    length: int
    seed: int = 0
    height: int = 64
    width: int = 80
    side: int = 18
    frames: tuple[int, int] = (16, 24)
    speed: tuple[float, float] = (1.0, 1.6)

    def __post_init__(self) -> None:
        integer("length", self.length)
        integer("side", self.side, 4)
        for name in ("height", "width"):
            integer(name, getattr(self, name), 2 * self.side)
        least, most = self.frames
        if not 2 <= least <= most:
            raise InputError("frames", "fewest and most frames, at least 2", self.frames)
        if not 0 < self.speed[0] <= self.speed[1]:
            raise InputError("speed", "slowest and fastest pixels a frame", self.speed)

    def __len__(self) -> int:
        return self.length

    def label(self, number: int) -> int:
        """The label of a video, which needs no frame of it."""
        key = stream_key(self.seed, "moving", self.digits.split, "labels")
        four = order(words(key, np.array([number // 4]), 4)[0])
        return int(four[number % 4])

    def places(self, number: int) -> NDArray[np.int64]:
        """Upper left corners of both digits' images ``[T, 2, 2]`` (row, column), in pixels."""
        return self._places(self.label(number), self._drawn(number))

    def __getitem__(self, number: int) -> Scene:
        if not 0 <= number < self.length:
            raise IndexError(number)
        drawn, label = self._drawn(number), self.label(number)
        place = self._places(label, drawn)  # [T, 2, (row, column)]
        which = [int(bounded(word, len(self.digits))) for word in drawn[12:14]]
        inks = [_ink(self.digits, number, self.side) for number in which]
        colours = 160 + 95 * uniform(drawn[14:20]).reshape(2, 3)
        above = int(bounded(drawn[20], 2))  # which digit covers the other
        frames = self._background(len(place), drawn[21:])
        for digit in (1 - above, above):
            _paint(frames, inks[digit], colours[digit], place[:, digit])
        box = np.stack([_box(inks[digit], place[:, digit]) for digit in (0, 1)], axis=1)
        classes = [int(self.digits.labels[number]) for number in which]
        return Scene(np.rint(frames).astype(np.uint8), box, label, (classes[0], classes[1]))

    def _drawn(self, number: int) -> Words:
        """The random words of a video: its length, 11 of places, 2 of digits, and so on."""
        key = stream_key(self.seed, "moving", self.digits.split)
        drawn: Words = words(key, np.array([number]), _DRAWN)[0]
        return drawn

    def _places(self, label: int, drawn: Words) -> NDArray[np.int64]:
        least, most = self.frames
        time = np.arange(least + int(bounded(drawn[0], most - least + 1)))
        drawn = drawn[1:12]
        room = np.array([self.height - self.side, self.width - self.side], dtype=np.float64)
        start = uniform(drawn[:4]).reshape(2, 2) * room  # [digit, axis]
        sign = 2.0 * bounded(drawn[4:8], 2).reshape(2, 2) - 1
        slow, fast = self.speed
        speed = slow + (fast - slow) * uniform(drawn[8])
        # Mostly along one axis: what crosses is then always told from what does not.
        angle = np.pi / 8 * uniform(drawn[9])
        # An axis with some way to go, if there is one. How far a pair can go does not change while
        # it moves, so choosing by it leaves places uniform.
        ways = [_way(label, start[:, axis], room[axis]) / room[axis] for axis in (0, 1)]
        free = [axis for axis in (0, 1) if ways[axis] > 1 / 3] or [0, 1]
        along = free[int(bounded(drawn[10], len(free)))]
        pace = speed * np.array([np.sin(angle), np.sin(angle)])  # of the first digit, by axis
        pace[along] = speed * np.cos(angle)
        walks = []
        for axis in (0, 1):
            a, b = start[:, axis]
            step = sign[0, axis] * pace[axis] * time
            second = sign[1, axis] * pace[1 - axis] * time
            walks.append(_walk(label, a, b, room[axis], step, second))
        return np.rint(np.stack(walks, axis=-1)).astype(np.int64)

    def _background(self, frames: int, drawn: Words) -> Floats:
        """A texture that moves at an even pace ``[T, H, W, 3]``."""
        pace = 2 * uniform(drawn[:2]) - 1
        texture = _texture(uniform(drawn[2:]))
        offset = np.rint(np.arange(frames)[:, None] * pace).astype(np.int64)  # [T, (row, column)]
        rows = (np.arange(self.height) + offset[:, :1]) % _TEXTURE  # [T, H]
        columns = (np.arange(self.width) + offset[:, 1:]) % _TEXTURE  # [T, W]
        moving: Floats = texture[rows[:, :, None], columns[:, None, :]]
        return moving


def _way(label: int, start: Floats, room: float) -> float:
    """How far both digits can go on an axis before one of them has to turn, from end to end."""
    a, b = map(float, start)
    if label == SAME:
        return room - abs(a - b)
    return room - abs(a + b - room) if label == OPPOSITE else room


def _walk(label: int, a: float, b: float, room: float, step: Floats, second: Floats) -> Floats:
    """Places of both digits on an axis ``[T, 2]``; ``second`` is how the other crosses."""
    if label == SAME:
        moved = _reflected(step, -min(a, b), room - max(a, b))
        return np.stack([a + moved, b + moved], axis=-1)
    if label == OPPOSITE:
        moved = _reflected(step, -min(a, room - b), min(room - a, b))
        return np.stack([a + moved, b - moved], axis=-1)
    other = second if label == CROSSWISE else np.zeros_like(step)
    return np.stack([a + _reflected(step, -a, room - a), b + _reflected(other, -b, room - b)], -1)


def _reflected(way: Floats, low: float, high: float) -> Floats:
    """A way from 0, reflected wherever it would leave [low, high]."""
    span = max(high - low, 1e-9)
    return low + span - np.abs((way - low) % (2 * span) - span)


def _texture(drawn: Floats) -> Floats:
    """A dark coloured pattern without seams ``[S, S, 3]``, of two layers of smooth noise."""
    coarse, fine = drawn[: 3 * _COARSE**2], drawn[3 * _COARSE**2 :][: 3 * _FINE**2]
    return 10 + 70 * _smooth(coarse, _COARSE) + 50 * _smooth(fine, _FINE)


def _smooth(drawn: Floats, cells: int) -> Floats:
    """Random values of a grid, interpolated linearly between its cells and around its ends."""
    weights = _weights(cells)  # [S, cells]
    grid = drawn.reshape(3, cells, cells)
    return (weights @ grid @ weights.T).transpose(1, 2, 0)


@cache
def _weights(cells: int) -> Floats:
    away = np.arange(_TEXTURE)[:, None] * cells / _TEXTURE - np.arange(cells)
    around = np.abs((away + cells / 2) % cells - cells / 2)
    weights: Floats = np.maximum(0, 1 - around)
    return weights


def _ink(digits: Digits, number: int, side: int) -> Floats:
    """How much of a digit's colour each pixel has, 0..1 ``[side, side]``."""
    image = torch.from_numpy(digits.images[number].astype(np.float32))
    resized = Resizer(digits.size, (side, side))(image[None])[0].numpy().astype(np.float64)
    return np.clip(resized / max(resized.max(), 1e-9), 0, 1)  # type: ignore[no-any-return]


def _paint(frames: Floats, ink: Floats, colour: Floats, place: NDArray[np.int64]) -> None:
    """Lay a digit over frames, at its place in each."""
    side = len(ink)
    for frame, (top, left) in zip(frames, place, strict=True):
        under = frame[top : top + side, left : left + side]
        under += ink[..., None] * (colour - under)


def _box(ink: Floats, place: NDArray[np.int64]) -> Floats:
    """What a digit covers by a quarter at least, (x1, y1, x2, y2) in pixels ``[T, 4]``."""
    seen = ink >= 0.25
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    corners: Sequence[int] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    box: Floats = place[:, [1, 0, 1, 0]].astype(np.float64) + np.array(corners)
    return box
