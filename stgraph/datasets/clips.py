"""What loaders and datasets have in common: batches, numbers of clips, clips left out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from stgraph.checks import InputError
from stgraph.datasets.draws import Ints

__all__ = ["ClipBatch", "Indices", "Later", "LeftOut", "LeftOutError"]

ClipBatch: TypeAlias = dict[str, Tensor]
"""A batch of clips by field: ``video`` uint8 [B, T, C, H, W], ``label`` [B], ``index`` [B], and
where there are any ``box`` [B, T, M, 4] in 0..1, ``track`` [B, T, M], ``mask`` [B, T, M, H, W] …"""
Indices: TypeAlias = Sequence[int] | Ints | Tensor


class Later(ABC):
    """A field of a clip that its loader makes where the batch comes to lie, not a worker."""

    @property
    @abstractmethod
    def shape(self) -> Sequence[int]:
        """Sizes of the tensor that it is going to be."""

    @abstractmethod
    def made(self, device: torch.device | str) -> Tensor:
        """Make the tensor, on a device."""

    @abstractmethod
    def pin_memory(self) -> Any:
        """The same with its memory pinned, for a loader that pins."""


class LeftOut(NamedTuple):
    """A clip that is not in its batch."""

    number: int
    clip: str
    why: str


class LeftOutError(InputError):
    """A clip that its dataset wants to be left out of the batch, raised by its ``__getitem__``.

    :class:`~stgraph.datasets.ItemLoader` counts and lists such clips; whoever else asks for one
    gets the error.

    Args:
        clip: what the clip is called.
        error: why it is left out.
    """

    def __init__(self, clip: str, error: InputError) -> None:
        ValueError.__init__(self, str(error))
        self.name = error.name
        self.clip = clip
