"""Means over maps that are larger than those a network was made for."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import integer, shape

__all__ = ["WindowMean3d"]


class WindowMean3d(nn.Module):
    """The mean of the means over all frames of all s×s windows of a map.

    On a map up to s×s that is its mean. On a larger one each point counts as often as windows cover
    it. So networks for 224×224 frames classify larger ones in the official code of RSTG, which
    averages the logits of the windows; that is the same.

    Args:
        side: s.

    Shapes:
        ``[B, C, T, H, W]`` → ``[B, C, 1, 1, 1]``.

    Examples:
        >>> import torch
        >>> WindowMean3d(2)(torch.tensor([[0.0, 3.0, 0.0]] * 2)[None, None, None]).item()
        1.5
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = integer("side", side)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        height, width = shape("x", x, "B C T H W")[3:]
        window = (min(self.side, height), min(self.side, width))
        means = F.avg_pool2d(x.mean(dim=2), window, stride=1)  # [B, C, windows of H, of W]
        return means.mean(dim=(2, 3))[..., None, None, None]

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.side}"
