"""How frames become the numbers a model sees."""

from __future__ import annotations

import torch
from torch import Tensor

from stgraph.checks import InputError

__all__ = ["imagenet", "kinetics", "raw", "signed"]


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
    return raw(video) / 127.5 - 1


def raw(video: Tensor) -> Tensor:
    """Leave 8-bit frames in 0..255, as RSTG's official code does on SyncMNIST.

    Args:
        video: frames of any shape, uint8.

    Returns:
        Frames of that shape, float32.

    Raises:
        InputError: when the frames are not 8-bit.

    Examples:
        >>> raw(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([  0., 255.])
    """
    if video.dtype != torch.uint8:
        raise InputError("video", "torch.uint8", video.dtype)
    return video.float()


def kinetics(video: Tensor) -> Tensor:
    """Scale 8-bit frames as RSTG's official code does on Something-Something.

    ``(x - 114.75) / 57.375``, all colours alike: what the networks of Wang et al. 2018, which it
    starts from, were trained on Kinetics with.

    Args:
        video: frames of any shape, uint8.

    Returns:
        Frames of that shape, float32.

    Raises:
        InputError: when the frames are not 8-bit.

    Examples:
        >>> kinetics(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-2.0000,  2.4444])
    """
    return (raw(video) - 114.75) / 57.375


def imagenet(video: Tensor) -> Tensor:
    r"""Scale 8-bit colour frames as networks trained on ImageNet expect them.

    .. math:: (x / 255 - μ) / σ, \quad μ = (.485, .456, .406), \; σ = (.229, .224, .225)

    Args:
        video: frames ``[..., 3, H, W]`` (red, green, blue), uint8.

    Returns:
        Frames of that shape, float32.

    Raises:
        InputError: when the frames are not 8-bit, or not of three channels.

    Examples:
        >>> imagenet(torch.full((3, 1, 1), 255, dtype=torch.uint8)).flatten()
        tensor([2.2489, 2.4286, 2.6400])
    """
    if video.dtype != torch.uint8:
        raise InputError("video", "torch.uint8", video.dtype)
    if video.dim() < 3 or video.size(-3) != 3:
        raise InputError("video", "[..., 3, H, W]", list(video.shape))
    colours = video.float().div(255).unbind(-3)  # numbers: a tensor would be copied to the device
    means, spreads = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scaled = [(x - m) / s for x, m, s in zip(colours, means, spreads, strict=True)]
    return torch.stack(scaled, dim=-3)
