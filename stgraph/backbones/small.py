"""Small CNNs that were trained from scratch on digits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from stgraph.checks import InputError, integer, shape, times

__all__ = ["ConvStack", "TinyCNN"]


class ConvStack(nn.Module):
    """The CNN of RSTG's SyncMNIST experiments: unpadded 3×3 convolutions, ReLU, 2×2 max-pooling.

    Three of them take 64×64 to 6×6 (64 → 31 → 14 → 6; official code of RSTG).

    Args:
        in_channels: channels of the frames.
        channels: filters of every convolution.
        depth: number of convolutions.

    Shapes:
        ``[F, c, H, W]`` → ``[F, C, H', W']``.

    Examples:
        >>> sum(p.numel() for p in ConvStack().parameters())
        4724736
    """

    def __init__(self, in_channels: int = 1, channels: int = 512, depth: int = 3) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels)
        self.out_channels = integer("channels", channels)
        widths = [in_channels] + [channels] * times("depth", depth)
        self.layers = nn.Sequential(
            *[
                part
                for before, after in pairwise(widths)
                for part in (nn.Conv2d(before, after, 3), nn.ReLU(), nn.MaxPool2d(2))
            ]
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shape("x", x, "F", self.in_channels, "H W")
        return self.layers(x)  # type: ignore[no-any-return]


class TinyCNN(nn.Module):
    """Convolutions with batch norm and ReLU for frames of some 32×32 pixels.

    Args:
        in_channels: channels of the frames.
        channels: filters of each convolution.
        strides: stride of each convolution; the first kernel is 5×5, the others are 3×3.

    Shapes:
        ``[F, c, H, W]`` → ``[F, C, H', W']``; 32×32 → 8×8 by default.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (16, 32, 32),
        strides: Sequence[int] = (2, 2, 1),
    ) -> None:
        super().__init__()
        if not channels or len(channels) != len(strides):
            raise InputError("strides", f"one a convolution ({len(channels)})", list(strides))
        self.in_channels, self.out_channels = in_channels, channels[-1]
        parts: list[nn.Module] = []
        before = in_channels
        for number, (after, stride) in enumerate(zip(channels, strides, strict=True)):
            side = 5 if number == 0 else 3
            parts.append(nn.Conv2d(before, after, side, stride, side // 2, bias=False))
            parts += [nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shape("x", x, "F", self.in_channels, "H W")
        return self.layers(x)  # type: ignore[no-any-return]
