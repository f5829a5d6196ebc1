"""A mask of clips of different lengths, and what stands where no frame is."""

from __future__ import annotations

import torch

from stgraph.edges import FullEdges
from stgraph.nodes import DynamicRegions, SmallGenerator

__all__ = ["MASK", "random", "regions", "same", "spoilt"]

MASK = torch.tensor(
    [[True, True, False, True, False], [True] * 5, [False, False, False, False, True]]
)


def same(one, other):
    torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def random(*sizes: int) -> torch.Tensor:
    return torch.randn(*sizes, dtype=torch.float64)


def spoilt(x: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(~MASK.view(3, 5, *[1] * (x.dim() - 2)), torch.nan)


def regions() -> DynamicRegions:
    generator = SmallGenerator(4, 3, 6)
    open_ = (0.3, 0.2, 0.5, 0.4)
    return DynamicRegions(4, 3, FullEdges(), generator, alpha=open_).double()
