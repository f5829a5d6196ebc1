r"""Clips of different lengths in one batch: padded frames, and a mask that says which exist.

Whatever takes clips ``[B, T, …]`` also takes a ``frame_mask [B, T]`` (bool), true where there is a
frame. Frames that do not exist may stand anywhere, at the end or in between, and hold anything, NaN
too: they are never read. A clip is the frames that exist, one after another, so padding changes
nothing: a batch equals its clips run one by one.

A mask is read on the host; on an accelerator that waits for the device once, on the CPU, where
loaders make it, for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stgraph.checks import InputError, shape

__all__ = ["align", "check_frame_mask", "front", "pad_clips", "put_frames", "take_frames"]


def check_frame_mask(frame_mask: Tensor | None, clips: int, frames: int) -> Tensor | None:
    """Check a mask of frames ``[B, T]`` and return it on the CPU; ``None`` when all frames exist.

    Raises:
        InputError: on another shape or type.
    """
    if frame_mask is None:
        return None
    shape("frame_mask", frame_mask, clips, frames)
    if frame_mask.dtype != torch.bool:
        raise InputError("frame_mask", "a tensor of bool", frame_mask.dtype)
    mask = frame_mask.detach().cpu()
    return None if bool(mask.all()) else mask


def front(mask: Tensor) -> Tensor:
    """The mask ``[B, T]`` of clips as long as these, all of whose frames come first.

    Examples:
        >>> front(torch.tensor([[False, True, True], [True, False, False]]))
        tensor([[ True,  True, False],
                [ True, False, False]])
    """
    return torch.arange(mask.size(1)) < mask.sum(dim=1, keepdim=True)


def take_frames(x: Tensor, mask: Tensor | None) -> Tensor:
    """Frames that exist ``[F, …]`` of clips ``[B, T, …]``, clip by clip; all without a mask."""
    flat = x.flatten(0, 1)
    return flat if mask is None else flat.index_select(0, _places(mask, x.device))


def put_frames(x: Tensor, mask: Tensor | None, clips: int) -> Tensor:
    """Put frames that exist ``[F, …]`` into clips ``[B, T, …]``, with 0 where there is none."""
    if mask is None:
        return x.reshape(clips, x.size(0) // clips, *x.shape[1:])
    flat = x.new_zeros(mask.numel(), *x.shape[1:])
    flat = flat.index_copy(0, _places(mask, x.device), x)
    return flat.reshape(*mask.shape, *x.shape[1:])


def align(x: Tensor, mask: Tensor | None) -> Tensor:
    """Move the frames that exist to the front of their clips ``[B, T, …]``, and 0 behind them."""
    return x if mask is None else put_frames(take_frames(x, mask), front(mask), x.size(0))


def _places(mask: Tensor, device: torch.device) -> Tensor:
    """Numbers b·T + t of the frames that exist ``[F]``."""
    return mask.flatten().nonzero().squeeze(1).to(device, non_blocking=True)


def pad_clips(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad clips to the longest: what a loader's ``collate_fn`` does with videos.

    Args:
        clips: B clips ``[T_b, …]``, alike but for their lengths.

    Returns:
        The clips ``[B, T, …]`` with 0 behind the shorter ones, and the ``frame_mask [B, T]``.

    Raises:
        InputError: without clips, or when their frames differ in shape.

    Examples:
        >>> video, frame_mask = pad_clips([torch.ones(3, 1, 8, 8), torch.ones(1, 1, 8, 8)])
        >>> tuple(video.shape), frame_mask.sum(1)
        ((2, 3, 1, 8, 8), tensor([3, 1]))
    """
    if not clips or not all(isinstance(clip, Tensor) and clip.dim() for clip in clips):
        raise InputError("clips", "tensors [T_b, ...]", [type(clip).__name__ for clip in clips])
    if len({tuple(clip.shape[1:]) for clip in clips}) != 1:
        raise InputError("clips", "frames of one shape", [list(clip.shape) for clip in clips])
    lengths = torch.tensor([clip.size(0) for clip in clips])
    padded = pad_sequence(list(clips), batch_first=True)
    return padded, torch.arange(padded.size(1)) < lengths[:, None]
