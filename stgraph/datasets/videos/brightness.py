"""Changed colours, for training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from stgraph.checks import fraction
from stgraph.datasets.draws import Words, uniform

__all__ = ["Brightness", "ColourChange"]


class ColourChange(ABC):
    """What changes the colours of a clip to train on, by random words."""

    @property
    def draws(self) -> int:
        """How many random words it takes."""
        return 1

    @abstractmethod
    def __call__(self, video: Tensor, words: Words) -> Tensor:
        """Change frames ``uint8 [T, 3, h, w]`` by so many random words."""


@dataclass(frozen=True)
class Brightness(ColourChange):
    r"""All pixels of a clip brighter or darker by one amount, cut off at black and white (RSTG).

    .. math:: x' = \min(255, \max(0, x + \text{round}(255 δ))), \quad δ \sim U(-d, d)

    One δ for all frames: the official code has them in one picture when it calls TensorFlow's
    ``random_brightness``.

    Args:
        most: d, as a share of white.

    Raises:
        InputError: on a share outside of 0..1.

    Examples:
        >>> import numpy as np
        >>> grey = torch.full((1, 3, 1, 1), 100, dtype=torch.uint8)
        >>> for word in (0, 2**63, 2**64 - 1):
        ...     print(Brightness(0.1)(grey, np.array([word], dtype=np.uint64)).unique().item())
        74
        100
        125
    """

    most: float = 0.1

    def __post_init__(self) -> None:
        fraction("most", self.most)

    def __call__(self, video: Tensor, words: Words) -> Tensor:
        """Change frames ``uint8 [T, 3, h, w]`` by a random word."""
        share = 2 * float(uniform(words[:1])[0]) - 1
        return (video.to(torch.int16) + round(255 * self.most * share)).clamp(0, 255).byte()
