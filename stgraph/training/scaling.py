"""How frames become the numbers a model sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stgraph.checks import InputError, positive

__all__ = ["Standardised", "imagenet", "kinetics", "raw", "signed"]


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
    return Standardised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(video)


class Standardised:
    r"""Scale 8-bit frames by colour statistics of one's own.

    .. math:: (x / 255 - μ) / σ

    Args:
        mean: μ of each channel, in 0..1;
            :func:`~stgraph.datasets.videos.colour_statistics` tells those of videos.
        spread: σ of each channel.

    Raises:
        InputError: on spreads that are not above 0, and on frames that are not 8-bit or of another
            number of channels.

    Examples:
        >>> Standardised([0.5], [0.25])(torch.full((1, 2, 2), 255, dtype=torch.uint8)).flatten()
        tensor([2., 2., 2., 2.])
    """

    def __init__(self, mean: Sequence[float], spread: Sequence[float]) -> None:
        self.mean = tuple(mean)
        self.spread = tuple(positive("spread", each) for each in spread)
        if not self.mean or len(self.mean) != len(self.spread):
            raise InputError("spread", f"{len(self.mean)} numbers, as mean", len(self.spread))

    def __call__(self, video: Tensor) -> Tensor:
        """Scale frames ``[..., C, H, W]``."""
        if video.dtype != torch.uint8:
            raise InputError("video", "torch.uint8", video.dtype)
        if video.dim() < 3 or video.size(-3) != len(self.mean):
            raise InputError("video", f"[..., {len(self.mean)}, H, W]", list(video.shape))
        # Numbers by channel: a tensor of them would be copied to the device.
        colours = video.float().div(255).unbind(-3)
        scaled = [(x - m) / s for x, m, s in zip(colours, self.mean, self.spread, strict=True)]
        return torch.stack(scaled, dim=-3)
