"""What a training module asks of the clip batches that it is given, from whatever data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stgraph.checks import InputError, shape

__all__ = ["check_batch", "check_labels"]

_WHOLE = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


def check_batch(batch: Mapping[str, Tensor], *fields: str) -> None:
    """Check that a clip batch is a dict with a video, and with these fields.

    Args:
        batch: ``video`` [B, T, C, H, W]; ``label`` [B], whole numbers.
        *fields: what it needs besides the video.

    Raises:
        InputError: when it is anything else.

    Examples:
        >>> check_batch({"video": torch.zeros(2, 5, 1, 8, 8)}, "label")
        Traceback (most recent call last):
        stgraph.checks.InputError: batch: expected a dict with video, label, got one of ['video']
    """
    if not isinstance(batch, Mapping):
        raise InputError("batch", "a dict with video, label", type(batch).__name__)
    wanted = ("video", *fields)
    if not set(wanted) <= set(batch):
        raise InputError("batch", f"a dict with {', '.join(wanted)}", f"one of {sorted(batch)}")
    clips = shape("video", batch["video"], "B T C H W")[0]
    if "label" in fields:
        shape("label", batch["label"], str(clips))
        if batch["label"].dtype not in _WHOLE:
            raise InputError("label", "whole numbers", batch["label"].dtype)


def check_labels(label: Tensor, logits: Tensor) -> None:
    """Check that a model has as many answers as there are labels, where that waits for no device.

    Args:
        label: ``[B]``.
        logits: ``[B, K]``.

    Raises:
        InputError: when a label is K or more.
    """
    if label.device.type == "cpu" and int(label.max()) >= logits.shape[1]:
        raise InputError(
            "label", f"0 to {logits.shape[1] - 1}, the model's classes", int(label.max())
        )
