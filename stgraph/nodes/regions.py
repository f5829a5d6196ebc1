"""What an extractor finds in feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Regions"]


@dataclass(frozen=True)
class Regions:
    """All that the author of an extractor has to produce.

    Args:
        kernel: pooling weights ≥ 0 ``[B, T, N, H, W]``, not normalised.
        box: boxes (x1, y1, x2, y2) ``[B, T, N, 4]`` in 0..1 of the frame.
        mask: which nodes are present ``[B, T, N]`` (bool); ``None`` when all are.
        x: node features ``[B, T, N, D]`` for nodes that are not pooled with the kernel.
        extra: further node fields by name ``[B, T, N, …]``; they ride along in the graph.
    """

    kernel: Tensor
    box: Tensor
    mask: Tensor | None = None
    x: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
