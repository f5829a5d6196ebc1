"""Clips with what a detector would find in them, made of their true boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stgraph.checks import InputError, fraction, integer, shape
from stgraph.datasets.clips import ClipBatch, Indices
from stgraph.datasets.draws import stream_key, uniform, words

__all__ = ["Detected"]

_MOST_FALSE = 1000


class Detected(Dataset[ClipBatch]):
    r"""The clips of another data set with two fields more: what a detector finds in each frame.

    It finds each true box of a frame with probability 1 − ``misses``, and each side of what it
    finds lies at most ``noise`` of the box's height or width from where it should,

    .. math:: x_1' = x_1 + u_1 w, \quad x_2' = x_2 + u_2 w, \qquad u ∼ U(-noise, noise)

    and likewise for rows. Beside these there are ``false_boxes`` of a frame, each as large as one
    of its true boxes and anywhere in it. All is drawn anew in each frame, by the clip's number and
    the frame's alone: the same in any order, batch and worker.

    ============  ================  ==========================================================
    ``detected``  ``[B, T, M, 4]``  x1, y1, x2, y2 in 0..1: those of true boxes in their slots,
                                    which a tracker would find, then false ones
    ``found``     ``[B, T, M]``     bool: where there is a box
    ============  ================  ==========================================================

    They are hints of :class:`~stgraph.nodes.BoxNodes`: ``{boxes: detected, present: found}``. So a
    detector of a known quality stands beside regions that are learnt, where none was trained.

    Args:
        clips: a data set that makes batches, with ``batch(indices, device)``, of true boxes.
        misses: probability that a box is not found.
        noise: largest error of a side, in parts of the box's; below a half.
        false_boxes: boxes of nothing in each frame.
        seed: of all that is drawn.

    Raises:
        InputError: on another data set, or a number out of its range; in use, for clips without
            ``box``.

    Examples:
        >>> from stgraph.datasets import SyncMNIST, sklearn_digits
        >>> digits = SyncMNIST(sklearn_digits("test"), num_digits=3, canvas=48, size=48)
        >>> batch = Detected(digits, false_boxes=6).batch([0, 1])
        >>> batch["detected"].shape, batch["box"].shape
        (torch.Size([2, 10, 9, 4]), torch.Size([2, 10, 3, 4]))
    """

    def __init__(
        self,
        clips: Dataset,  # type: ignore[type-arg]
        misses: float = 0.1,
        noise: float = 0.2,
        false_boxes: int = 4,
        seed: int = 0,
    ) -> None:
        if not callable(getattr(clips, "batch", None)):
            expected = "a dataset with batch(indices, device)"
            raise InputError("clips", expected, type(clips).__name__)
        self.clips: Any = clips
        self.misses = fraction("misses", misses)
        if fraction("noise", noise) >= 0.5:
            raise InputError("noise", "a number of at least 0, below 0.5", noise)
        self.noise = noise
        self.false_boxes = integer("false_boxes", false_boxes, 0, _MOST_FALSE)
        self.seed = integer("seed", seed, 0, 2**63 - 1)

    @property
    def label_names(self) -> list[str]:
        """The labels in words, by number."""
        return list(getattr(self.clips, "label_names", ()))

    def batch(self, indices: Indices, device: torch.device | str = "cpu") -> ClipBatch:
        """Return the clips of these numbers, with what is found in them.

        Raises:
            InputError: when they have no boxes, or as the clips' own ``batch`` does.
        """
        batch: ClipBatch = self.clips.batch(indices, device)
        if "box" not in batch:
            raise InputError("clips", "ones with `box`, the true boxes", sorted(batch))
        true = batch["box"]  # [B, T, M, 4]
        clips, frames, objects = shape("box", true, "B T M 4")[:3]
        numbers = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
        # a false box takes a true one's size, then a place; a true box is found, with four errors
        parts = [3 * self.false_boxes, 5 * objects]
        stream = words(
            stream_key(self.seed, "detected"), numbers.astype(np.int64), frames * sum(parts)
        )
        drawn = torch.from_numpy(uniform(stream)).to(true.device, true.dtype)
        false, own = torch.split(drawn.view(clips, frames, sum(parts)), parts, dim=2)
        there = batch.get("present", torch.ones_like(true[..., 0], dtype=torch.bool))
        boxes, found = self._of_objects(true, there, own.reshape(clips, frames, objects, 5))
        others, taken = _of_nothing(true, there, false.reshape(clips, frames, self.false_boxes, 3))
        return {
            **batch,
            "detected": torch.cat([boxes, others], dim=2),
            "found": torch.cat([found, taken], dim=2),
        }

    def _of_objects(self, true: Tensor, there: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes of what is there, of numbers in 0..1 ``[B, T, M, 5]``."""
        sides = (true[..., 2:] - true[..., :2]).repeat(1, 1, 1, 2)  # w, h, w, h
        moved = true + self.noise * (2 * drawn[..., 1:] - 1) * sides
        return moved.clamp(0, 1), there & (drawn[..., 0] >= self.misses)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> ClipBatch:
        number = int(index) + (len(self) if index < 0 else 0)
        if not 0 <= number < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return {name: value[0] for name, value in self.batch([number]).items()}


def _of_nothing(true: Tensor, there: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes of true ones' sizes at any place, of numbers in 0..1 ``[B, T, S, 3]``."""
    if not true.size(2):
        return drawn.new_zeros(*drawn.shape[:3], 4), drawn.new_zeros(drawn.shape[:3]).bool()
    # a number below 1 may be 1 in single precision
    slot = (drawn[..., 0] * true.size(2)).long().clamp_max(true.size(2) - 1)  # [B, T, S]
    size = (true[..., 2:] - true[..., :2]).gather(2, slot[..., None].expand(-1, -1, -1, 2))
    corner = drawn[..., 1:] * (1 - size)
    return torch.cat([corner, corner + size], dim=-1).clamp(0, 1), there.gather(2, slot)
