"""Mean and spread of the colours of videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch

from stgraph.checks import InputError, integer
from stgraph.datasets.clips import Later, LeftOutError

__all__ = ["ColourStatistics", "colour_statistics"]


class ColourStatistics(NamedTuple):
    """Of each channel, in 0..1."""

    mean: list[float]
    spread: list[float]


class _Clips(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


def colour_statistics(dataset: _Clips, clips: int = 500) -> ColourStatistics:
    """Mean and standard deviation of the pixels of a data set, by channel.

    For :class:`~stgraph.training.Standardised`. Clips that the data set leaves out are not counted.

    Args:
        dataset: of clips with a ``video`` uint8 ``[..., C, H, W]``.
        clips: how many of them are looked at, evenly spaced; all if there are no more.

    Raises:
        InputError: when no clip can be read.
    """
    count = min(len(dataset), integer("clips", clips))
    sums, squares, pixels = torch.zeros(()), torch.zeros(()), 0
    for place in range(count):
        try:
            video = dataset[place * len(dataset) // count]["video"]
        except LeftOutError:
            continue
        video = video.made("cpu") if isinstance(video, Later) else video
        x = video.double().div(255).movedim(-3, 0).flatten(1)  # [C, P]
        sums, squares = sums + x.sum(1), squares + x.square().sum(1)
        pixels += x.shape[1]
    if not pixels:
        raise InputError("dataset", "a clip that can be read", f"none of {count}")
    mean = sums / pixels
    spread = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    return ColourStatistics(mean.tolist(), spread.tolist())
