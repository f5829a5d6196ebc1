"""Pooling in time, and means over maps that are larger than those a network was made for."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, shape

__all__ = ["PairMax3d", "WindowMean3d"]


class PairMax3d(nn.MaxPool3d):
    """The larger values of every two frames; a last frame without partner is left out.

    So the official code of RSTG halves the frames of its C2D and I3D.

    Shapes:
        ``[B, C, T, H, W]`` → ``[B, C, ⌊T/2⌋, H, W]``.

    Raises:
        InputError: on less than two frames.

    Examples:
        >>> import torch
        >>> x = torch.tensor([1.0, 3.0, 2.0, 0.0, 9.0])
        >>> PairMax3d()(x[None, None, :, None, None]).flatten()
        tensor([3., 2.])
    """

    def __init__(self) -> None:
        super().__init__((2, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        frames = shape("input", input, "B C T H W")[2]
        if frames < 2:
            raise InputError("input", "two frames at least", frames)
        larger: Tensor = super().forward(input)
        return larger


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
