"""How frames become the numbers a model sees."""

from __future__ import annotations

import torch
from torch import Tensor

from stgraph.checks import InputError

__all__ = ["signed"]


def signed(video: Tensor) -> Tensor:
    """Scale 8-bit frames to -1..1, ``x / 127.5 - 1``.

    Args:
        video: frames of any shape, uint8.

    Returns:
        Frames of that shape, float32.

    Raises:
        InputError: when the frames are not 8-bit, so that nothing is scaled twice.

    Examples:
        >>> signed(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1.,  1.])
    """
    if video.dtype != torch.uint8:
        raise InputError("video", "torch.uint8", video.dtype)
    return video.float() / 127.5 - 1
