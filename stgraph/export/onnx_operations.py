"""Operations that ONNX has no word for, in those that it has."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch

__all__ = ["additional"]


def additional() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations by the operations of PyTorch."""
    from onnxscript import opset18 as op

    def cummax(self: Any, dim: int) -> Any:
        """The largest value so far, for a known number of them; its place is not told."""
        count = self.shape[dim]
        parts = op.Split(self, axis=dim, num_outputs=count) if count > 1 else (self,)
        values = op.Concat(*accumulate(parts, op.Max), axis=dim)
        return values, values

    return {torch.ops.aten.cummax.default: cummax}
