"""SyncMNIST and MultiSyncMNIST: which digits of a video move alike?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stgraph.checks import InputError, choice, fraction, integer, times
from stgraph.datasets.digits.clips import DigitClips, Scenes
from stgraph.datasets.digits.images import Digits
from stgraph.datasets.digits.labels import none_label, subset_labels
from stgraph.datasets.digits.motion import wander
from stgraph.datasets.digits.rendering import Contrast, keep_contrast, stretch_contrast
from stgraph.datasets.draws import Ints, Words, bounded, order, stream_key, uniform, words

__all__ = ["MultiSyncMNIST", "SyncMNIST"]

_FRAMES = 100_000
DRAW_ORDERS = ("synchronous_first", "random")


class SyncMNIST(DigitClips):
    """Digits of distinct classes wander; two of them, or none, move alike. Which two?

    Digit 0 is the running image (clip i: image i mod n, in file order); the others' classes are a
    random choice of the remaining ones, their images random ones of these classes. Digits 0 and
    1 move alike, except with probability ``p_none``. How digits move: see
    :func:`stgraph.datasets.digits.motion.wander`; how they are drawn: see
    :class:`stgraph.datasets.digits.rendering.Renderer`. The K (K - 1)/2 + 1 labels are numbered in
    :mod:`stgraph.datasets.digits.labels`; 3SyncMNIST is ``num_digits=3``.

    A clip is a function of (seed, split, number): the same in any order, batch, worker and on any
    device. What a clip holds: see :class:`stgraph.datasets.digits.clips.DigitClips`.

    Args:
        digits: the images; those of classes from ``num_classes`` on are left out.
        num_digits: digits in a video, M.
        num_classes: digit classes in play, K.
        frames: frames of a video, T.
        canvas: height and width on which digits move, or one number for both.
        size: height and width of the frames, or one number for both.
        step: steps are -step .. step - 1 away from the borders.
        p_none: probability that no digits move alike.
        threshold: smallest grey level with which a digit covers what lies below.
        contrast: what happens to 8-bit frames [F, H, W] before they are resized.
        draw_order: ``"synchronous_first"`` draws the digits 0 .. M - 1 in order, so that those
            that move alike lie below (as in the original, where overlaps so give a hint that
            needs no motion); ``"random"`` numbers, and draws, them in random order.
        seed: of all random choices.
        length: number of clips; by default ten times the images for training, once for testing.

    Raises:
        InputError: for options that make no dataset.

    Source: RSTG paper and its official code.
    """

    _distinct: ClassVar = True

    def __init__(
        self,
        digits: Digits,
        num_digits: int = 5,
        num_classes: int = 10,
        frames: int = 10,
        canvas: int | tuple[int, int] = 100,
        size: int | tuple[int, int] = 64,
        step: int = 10,
        p_none: float = 1 / 92,
        threshold: int = 10,
        contrast: Contrast = stretch_contrast,
        draw_order: str = "synchronous_first",
        seed: int = 0,
        length: int | None = None,
    ) -> None:
        times("num_classes", num_classes, 2)
        self._running = np.flatnonzero(digits.labels < num_classes)  # in file order
        passes = 10 if digits.split == "train" else 1
        super().__init__(
            digits,
            canvas=canvas,
            size=size,
            threshold=threshold,
            contrast=contrast,
            length=passes * len(self._running) if length is None else length,
            num_classes=num_classes,
        )
        self.num_digits = times("num_digits", num_digits, 2)
        self.frames = integer("frames", frames, maximum=_FRAMES)
        self.step = integer("step", step)
        self.p_none = fraction("p_none", p_none)
        self.draw_order = choice("draw_order", draw_order, DRAW_ORDERS)
        self.seed = integer("seed", seed, 0, 2**63 - 1)
        if self._distinct and num_digits > num_classes:
            raise InputError("num_digits", f"at most the {num_classes} classes", num_digits)
        # The largest corner leaves one pixel free, as in the original.
        self._limit = np.array(self.canvas) - digits.images.shape[1:] - 1
        if self._limit.min() < 0:
            raise InputError("canvas", f"more than the digits' {digits.size}", self.canvas)
        by_class = [np.flatnonzero(digits.labels == k) for k in range(num_classes)]
        self._count = np.array([len(images) for images in by_class])  # [K]
        if not self._count.all():
            raise InputError("digits", f"images of {num_classes} classes", self._count.tolist())
        self._by_class = np.concatenate(by_class)
        self._first = np.cumsum(self._count) - self._count  # [K] where a class begins there
        self._key = stream_key(seed, digits.split)

    @property
    def num_labels(self) -> int:
        """How many labels there are: the pairs of classes, and none."""
        return none_label(self.num_classes) + 1

    def scenes(self, index: Ints) -> Scenes:
        """Return what happens in the clips of these numbers."""
        B, T, M, K = len(index), self.frames, self.num_digits, self.num_classes
        # A word for each draw at a place of its own; the steps come last, so that a shorter clip
        # is the beginning of a longer one.
        sizes = (1, 1, max(K, M), M, M, 2 * M, 2 * M * T)
        stream = words(self._key, index, sum(sizes))
        none, subset, classes, images, layers, start, steps = np.split(
            stream, np.cumsum(sizes[:-1]), axis=1
        )
        image, digit_class = np.empty((2, B, M), np.int64)
        image[:, 0] = self._running[index % len(self._running)]
        digit_class[:, 0] = self.digits.labels[image[:, 0]]
        digit_class[:, 1:] = other = self._other_classes(digit_class[:, 0], classes)
        image[:, 1:] = self._by_class[
            self._first[other] + bounded(images[:, 1:], self._count[other])
        ]
        alike = np.where(uniform(none) < self.p_none, 0, self._subset_size(subset))  # [B, 1]
        synchronous = np.arange(M) < alike  # [B, M]
        top_left = wander(
            bounded(start.reshape(B, M, 2), self._limit + 1),
            steps.reshape(B, T, M, 2),
            synchronous,
            self._limit,
            self.step,
        )
        scenes = Scenes(
            image, digit_class, synchronous, top_left, subset_labels(digit_class, synchronous, K)
        )
        return scenes if self.draw_order == "synchronous_first" else scenes.reorder(order(layers))

    def _other_classes(self, first: Ints, word: Words) -> Ints:
        """Draw the classes of digits 1 .. M - 1 [B, M - 1], given that of digit 0 [B]."""
        distance = order(word[:, : self.num_classes - 1])[:, : self.num_digits - 1] + 1
        return (first[:, None] + distance) % self.num_classes

    def _subset_size(self, word: Words) -> Ints:
        """Draw how many digits move alike where any do, from words [B, 1]."""
        return np.full(word.shape, 2)


class MultiSyncMNIST(SyncMNIST):
    """Digits of any classes wander; some move alike. Which is their least and largest class?

    As :class:`SyncMNIST`, except that classes may repeat (digit 0 is the running image, the
    others' classes are drawn independently), that the first 2, 3, … or all M digits move alike,
    and that the label is the (smallest, largest) class among them, K (K + 1)/2 + 1 labels in all.

    The DyReG paper fixes 10 frames of 128×128, 5 digits and the 56 labels. It leaves open, and
    these defaults choose: the canvas of 256, the step, subset sizes that are all as likely, the
    probability 1/56 of none, and that grey levels are not stretched.

    Args:
        digits: the images; those of classes from ``num_classes`` on are left out.
        num_digits: digits in a video, M.
        num_classes: digit classes in play, K.
        frames: frames of a video, T.
        canvas: height and width on which digits move, or one number for both.
        size: height and width of the frames, or one number for both.
        step: steps are -step .. step - 1 away from the borders.
        subset_sizes: how many digits may move alike, all as likely; 2 .. M by default.
        p_none: probability that no digits move alike.
        threshold: smallest grey level with which a digit covers what lies below.
        contrast: what happens to 8-bit frames [F, H, W] before they are resized.
        draw_order: ``"synchronous_first"`` or ``"random"``.
        seed: of all random choices.
        length: number of clips; by default ten times the images for training, once for testing.

    Raises:
        InputError: for options that make no dataset.

    Source: DyReG paper and its official code.
    """

    _distinct = False

    def __init__(
        self,
        digits: Digits,
        num_digits: int = 5,
        num_classes: int = 10,
        frames: int = 10,
        canvas: int | tuple[int, int] = 256,
        size: int | tuple[int, int] = 128,
        step: int = 10,
        subset_sizes: Sequence[int] | None = None,
        p_none: float = 1 / 56,
        threshold: int = 10,
        contrast: Contrast = keep_contrast,
        draw_order: str = "synchronous_first",
        seed: int = 0,
        length: int | None = None,
    ) -> None:
        super().__init__(
            digits,
            num_digits=num_digits,
            num_classes=num_classes,
            frames=frames,
            canvas=canvas,
            size=size,
            step=step,
            p_none=p_none,
            threshold=threshold,
            contrast=contrast,
            draw_order=draw_order,
            seed=seed,
            length=length,
        )
        sizes = list(range(2, num_digits + 1) if subset_sizes is None else subset_sizes)
        if not sizes or not all(2 <= size <= num_digits for size in sizes):
            raise InputError("subset_sizes", f"sizes from 2 to {num_digits}", subset_sizes)
        self.subset_sizes = np.array(sizes)

    @property
    def num_labels(self) -> int:
        """How many labels there are: the pairs of classes, equal ones too, and none."""
        return none_label(self.num_classes) + 1 + self.num_classes

    def _other_classes(self, first: Ints, word: Words) -> Ints:
        return bounded(word[:, 1 : self.num_digits], self.num_classes)

    def _subset_size(self, word: Words) -> Ints:
        return self.subset_sizes[bounded(word, len(self.subset_sizes))]
