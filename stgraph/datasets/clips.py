"""What loaders and datasets have in common: batches, numbers of clips, clips left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from torch import Tensor

from stgraph.checks import InputError
from stgraph.datasets.draws import Ints

__all__ = ["ClipBatch", "Indices", "LeftOut", "LeftOutError"]

ClipBatch: TypeAlias = dict[str, Tensor]
"""A batch of clips by field: ``video`` uint8 [B, T, C, H, W], ``label`` [B], ``index`` [B], and
where there are any ``box`` [B, T, M, 4] in 0..1, ``track`` [B, T, M], ``mask`` [B, T, M, H, W] …"""
Indices: TypeAlias = Sequence[int] | Ints | Tensor


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
