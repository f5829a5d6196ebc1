"""Which frames of a video a clip consists of.

A sampler answers three questions about a video of n frames, with frame numbers from 0: which T
frames to train on (a function of random words, so of nothing but seed, epoch and clip), which to
validate on, and which to test on, once or several times. The rules are those of TSM, which DyReG
trains and tests by, and of RSTG. The official codes count frames from 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from stgraph.checks import InputError, integer
from stgraph.datasets.draws import Ints, Words, bounded, uniform

__all__ = ["DenseWindow", "EvenFrames", "FrameSampler", "OfficialSegments", "Segments"]


@dataclass(frozen=True)
class FrameSampler(ABC):
    """What all samplers share.

    Args:
        frames: T, frames of a clip.
    """

    frames: int = 16

    def __post_init__(self) -> None:
        integer("frames", self.frames)

    def train(self, length: int, words: Words) -> Ints:
        """Frames to train on ``[T]``, chosen by random words.

        Args:
            length: n, frames of the video.
            words: at least T random 64-bit words (:func:`stgraph.datasets.draws.words`).

        Raises:
            InputError: on a video without frames, or too few words.
        """
        integer("length", length)
        if words.ndim != 1 or len(words) < self.frames:
            raise InputError("words", f"{self.frames} random words", list(words.shape))
        return self._train(length, words[: self.frames])

    def validate(self, length: int) -> Ints:
        """Frames to validate on while training ``[T]``.

        Raises:
            InputError: on a video without frames.
        """
        return self._validate(integer("length", length))

    def test(self, length: int, samplings: int = 1) -> Ints:
        """Frames of each of several clips to test on ``[samplings, T]``.

        Raises:
            InputError: on a video without frames, or more samplings than the rule has.
        """
        integer("length", length)
        clips = self._test(length)
        if not 1 <= integer("samplings", samplings) <= len(clips):
            raise InputError("samplings", f"1 to {len(clips)} with {self}", samplings)
        return clips[:samplings]

    @abstractmethod
    def _train(self, length: int, words: Words) -> Ints: ...

    @abstractmethod
    def _validate(self, length: int) -> Ints: ...

    @abstractmethod
    def _test(self, length: int) -> Ints:
        """All samplings that the rule has, in the order in which they are taken ``[S, T]``."""


class Segments(FrameSampler):
    r"""One frame of each of T segments of equal length (TSN, TSM; DyReG's rule).

    .. math::
        \text{train}_k = kd + u_k, \quad d = ⌊n / T⌋, \quad u_k \in \{0 … d - 1\}

        \text{centre}_k = ⌊(k + ½)\, n / T⌋, \quad \text{start}_k = ⌊k\, n / T⌋

    Validation takes the centres. The second sampling of a test takes the starts ("twice"). Of a
    video with n < T frames, training takes :math:`⌊(k + u_k)\, n / T⌋` with u uniform in [0, 1):
    frames repeat and stay in order. :class:`OfficialSegments` treats short videos otherwise.

    Examples:
        >>> Segments(4).validate(10), Segments(4).test(10, samplings=2)[1]
        (array([1, 3, 6, 8]), array([0, 2, 5, 7]))
        >>> Segments(4).validate(2)
        array([0, 0, 1, 1])
    """

    def _train(self, length: int, words: Words) -> Ints:
        number = np.arange(self.frames)
        if length < self.frames:
            places = (number + uniform(words)) * length / self.frames
            return np.minimum(places.astype(np.int64), length - 1)
        span = length // self.frames
        return number * span + bounded(words, span)

    def _validate(self, length: int) -> Ints:
        centre: Ints = self._test(length)[0]
        return centre

    def _test(self, length: int) -> Ints:
        number = np.arange(self.frames)
        centre = (2 * number + 1) * length // (2 * self.frames)
        return np.stack([centre, number * length // self.frames])


class OfficialSegments(Segments):
    """:class:`Segments` with the official treatment of short videos (TSM's and DyReG's code).

    Training repeats the first frame of a video with n < T frames, and validation that of one with
    n ≤ T frames. Tests have no such exception.

    Examples:
        >>> OfficialSegments(4).validate(4), OfficialSegments(4).test(4)[0]
        (array([0, 0, 0, 0]), array([0, 1, 2, 3]))
    """

    def _train(self, length: int, words: Words) -> Ints:
        if length < self.frames:
            return np.zeros(self.frames, dtype=np.int64)
        return super()._train(length, words)

    def _validate(self, length: int) -> Ints:
        if length <= self.frames:
            return np.zeros(self.frames, dtype=np.int64)
        return super()._validate(length)


@dataclass(frozen=True)
class DenseWindow(FrameSampler):
    r"""Evenly spaced frames of one window of w frames ("dense" of TSM).

    .. math:: \text{frame}_k = (s + k ⌊w / T⌋) \bmod n

    The start s is random in training and validation of the official code; here validation begins
    in the middle of what training can draw, so that it is the same in every epoch. Tests have ten
    starts, evenly spaced over what training can draw.

    Args:
        frames: T, frames of a clip.
        window: w, frames of the window.

    Examples:
        >>> DenseWindow(4, window=8).test(16, samplings=10)[[0, 9]]
        array([[ 0,  2,  4,  6],
               [ 8, 10, 12, 14]])
    """

    window: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if integer("window", self.window) < self.frames:
            raise InputError("window", f"at least the {self.frames} frames", self.window)

    def _starts(self, length: int) -> int:
        """How many starts there are; the official code never draws the last but one of them."""
        return max(1, 1 + length - self.window)

    def _from(self, start: int | Ints, length: int) -> Ints:
        stride = self.window // self.frames
        return (np.asarray(start)[..., None] + np.arange(self.frames) * stride) % length

    def _train(self, length: int, words: Words) -> Ints:
        return self._from(bounded(words[0], max(1, self._starts(length) - 1)), length)

    def _validate(self, length: int) -> Ints:
        return self._from((self._starts(length) - 1) // 2, length)

    def _test(self, length: int) -> Ints:
        return self._from(np.arange(10) * (self._starts(length) - 1) // 9, length)


class EvenFrames(FrameSampler):
    r"""T frames from the first to the last, the same in training and test (RSTG).

    .. math:: \text{frame}_k = ⌊k (n - 1) / (T - 1)⌋

    The second sampling of a test is moved by round(n / 64) frames and ends with the last frame.

    Examples:
        >>> EvenFrames(4).validate(10)
        array([0, 3, 6, 9])
    """

    def _train(self, length: int, words: Words) -> Ints:
        return self._validate(length)

    def _validate(self, length: int) -> Ints:
        return np.arange(self.frames) * (length - 1) // max(1, self.frames - 1)

    def _test(self, length: int) -> Ints:
        first = self._validate(length)
        return np.stack([first, np.minimum(first + round(length / 64), length - 1)])
