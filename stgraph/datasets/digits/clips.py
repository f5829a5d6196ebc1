"""What all synthetic digit clips share: scenes in numpy, frames in torch, batches of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from stgraph.checks import InputError, integer, times
from stgraph.datasets.clips import ClipBatch, Indices
from stgraph.datasets.digits.images import Digits
from stgraph.datasets.digits.labels import label_name
from stgraph.datasets.digits.rendering import Contrast, Renderer
from stgraph.datasets.draws import Ints
from stgraph.reading import memory

__all__ = ["DigitClips", "Scenes"]

_LENGTH = 1 << 24  # clips: each epoch puts the numbers of all in a new order
_SIDE = 1 << 12  # pixels


class Scenes(NamedTuple):
    """All there is to know of some clips but their pixels.

    Digits are drawn in order: later ones cover earlier ones.
    """

    image: Ints  # [B, M] number of the digit's image
    digit_class: Ints  # [B, M]
    synchronous: NDArray[np.bool_]  # [B, M] which digits move alike
    top_left: Ints  # [B, T, M, 2] corner (row, col) on the canvas
    label: Ints  # [B]

    def reorder(self, order: Ints) -> Scenes:
        """Return the same clips with their digits numbered, and drawn, in ``order`` [B, M]."""
        return Scenes(
            np.take_along_axis(self.image, order, 1),
            np.take_along_axis(self.digit_class, order, 1),
            np.take_along_axis(self.synchronous, order, 1),
            np.take_along_axis(self.top_left, order[:, None, :, None], 2),
            self.label,
        )


class DigitClips(Dataset[ClipBatch], ABC):
    """Videos of handwritten digits, rendered when asked for and never stored.

    A subclass says how clips come about in :meth:`scenes` and how many labels there are.
    ``dataset[i]`` is one clip, ``dataset.batch(indices, device)`` many, a dict of tensors:

    ===========  ==========================  ==============================================
    video        uint8 [B, T, 1, h, w]       grey levels
    label        int64 [B]                   see :mod:`stgraph.datasets.digits.labels`
    box          float32 [B, T, M, 4]        x1, y1, x2, y2 of each digit, 0 .. 1
    digit_class  int64 [B, M]                class of each digit
    synchronous  bool [B, M]                 which digits move alike
    index        int64 [B]                   the clips' numbers
    ===========  ==========================  ==============================================

    One clip has these without B. In worker processes use the CPU: ``dataset[i]`` does.

    Args:
        digits: the images.
        canvas: height and width of the canvas, or one number for both.
        size: height and width of the frames, or one number for both.
        threshold: smallest grey level with which a digit covers what lies below.
        contrast: what happens to 8-bit frames [F, H, W] before they are resized.
        length: number of clips.
        num_classes: digit classes in play, from 0.
    """

    frames = 1
    """Frames of a clip, T, as a subclass says."""

    def __init__(
        self,
        digits: Digits,
        *,
        canvas: int | tuple[int, int],
        size: int | tuple[int, int],
        threshold: int,
        contrast: Contrast,
        length: int,
        num_classes: int,
    ) -> None:
        self.digits = digits
        self.num_classes = times("num_classes", num_classes, 2)
        self.canvas = _pair("canvas", canvas)
        self.size = _pair("size", size)
        self.length = integer("length", length, maximum=_LENGTH)
        if self.canvas[0] < digits.size[0] or self.canvas[1] < digits.size[1]:
            raise InputError("canvas", f"at least the digits' {digits.size}", self.canvas)
        self.render = Renderer(
            digits.images, self.canvas, self.size, integer("threshold", threshold, 0), contrast
        )

    @property
    @abstractmethod
    def num_labels(self) -> int:
        """How many labels there are."""

    @abstractmethod
    def scenes(self, index: Ints) -> Scenes:
        """Return what happens in the clips of these numbers [B], each by its number alone."""

    @property
    def label_names(self) -> list[str]:
        """The labels in words, by number."""
        return [label_name(label, self.num_classes) for label in range(self.num_labels)]

    def paths(self, indices: Indices) -> Tensor:
        """Return the digits' top-left corners (row, col) on the canvas: int64 [B, T, M, 2]."""
        return torch.from_numpy(self.scenes(self._numbers(indices)).top_left)

    def batch(self, indices: Indices, device: torch.device | str = "cpu") -> ClipBatch:
        """Return the clips of these numbers, rendered on ``device``: see the class.

        Raises:
            InputError: for no clip at all, a number outside 0 .. len - 1, or more frames than
                half of the memory holds.
        """
        index = self._numbers(indices)
        pixels = prod(self.size) * len(index) + prod(self.canvas)
        if (taken := pixels * self.frames) > memory() // 2:
            came = f"{len(index)} clips of {self.frames} frames, {taken} bytes"
            raise InputError("indices", f"a batch of at most {memory() // 2} bytes", came)
        scenes = self.scenes(index)
        batch = {
            "label": torch.from_numpy(scenes.label),
            "box": self._boxes(scenes.top_left),
            "digit_class": torch.from_numpy(scenes.digit_class),
            "synchronous": torch.from_numpy(scenes.synchronous),
            "index": torch.from_numpy(index),
        }
        return {
            "video": self.render(scenes.image, scenes.top_left, device),
            **{name: value.to(device) for name, value in batch.items()},
        }

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> ClipBatch:
        number = int(index) + (self.length if index < 0 else 0)
        if not 0 <= number < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        return self.__getitems__([number])[0]

    def __getitems__(self, indices: list[int]) -> list[ClipBatch]:
        """Return several clips, rendered together; a DataLoader calls this."""
        batch = self.batch(indices)
        return [{name: value[b] for name, value in batch.items()} for b in range(len(indices))]

    def _numbers(self, indices: Indices) -> Ints:
        given = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
        fits = given.ndim == 1 and given.size and given.dtype.kind in "iu"
        if not fits or given.min() < 0 or given.max() >= self.length:
            raise InputError("indices", f"clip numbers from 0 to {self.length - 1}", given)
        return given.astype(np.int64)

    def _boxes(self, top_left: Ints) -> Tensor:
        """Return boxes in 0 .. 1 [B, T, M, 4]: x1, y1, x2, y2."""
        corners = np.concatenate((top_left, top_left + self.digits.size), axis=-1)
        H, W = self.canvas
        return torch.from_numpy((corners[..., [1, 0, 3, 2]] / (W, H, W, H)).astype(np.float32))


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, both from one number if need be."""
    height, width = (value, value) if isinstance(value, int) else value
    return integer(name, height, maximum=_SIDE), integer(name, width, maximum=_SIDE)
