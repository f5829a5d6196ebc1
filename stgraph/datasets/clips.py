"""What loaders and datasets of clips have in common: batches, and the numbers of clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

from stgraph.datasets.draws import Ints

__all__ = ["ClipBatch", "Indices"]

ClipBatch: TypeAlias = dict[str, Tensor]
"""A batch of clips by field: ``video`` uint8 [B, T, C, H, W], ``label`` [B], ``index`` [B], and
where there are any ``box`` [B, T, M, 4] in 0..1, ``track`` [B, T, M], ``mask`` [B, T, M, H, W] …"""
Indices: TypeAlias = Sequence[int] | Ints | Tensor
