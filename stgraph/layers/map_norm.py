"""Normalisation of feature maps: over a frame or a clip, with the scale inside or outside."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, flag, integer, positive, shape
from stgraph.layers.spread import SpreadMaps

__all__ = ["ClipMapNorm", "FrameMapNorm", "MapNorm", "Scaled"]


class MapNorm(nn.Module):
    r"""What a layer norm of maps is: statistics over more than channels, parameters a channel.

    .. math:: y = \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + ε}} ⊙ γ + β

    Args:
        channels: C.
        eps: ε.
        scale: whether there is a γ; without one see :class:`Scaled`.

    Shapes:
        features ``[B, T, C, H, W]`` → the same.
    """

    weight: nn.Parameter | None

    def __init__(self, channels: int, eps: float = 1e-5, scale: bool = True) -> None:
        super().__init__()
        self.channels, self.eps = integer("channels", channels), positive("eps", eps)
        ones = nn.Parameter(torch.ones(channels)) if flag("scale", scale) else None
        self.register_parameter("weight", ones)
        self.bias = nn.Parameter(torch.zeros(channels))

    def over_all(self, x: Tensor) -> Tensor:
        """Normalise each ``x[r]`` of ``x [R, C, …]`` by the mean and variance of its values."""
        # Not `None`: PyTorch has no gradient of a group norm with a shift alone.
        scale = torch.ones_like(self.bias) if self.weight is None else self.weight
        return F.group_norm(x, 1, scale, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, eps={self.eps}, scale={self.weight is not None}"


class FrameMapNorm(MapNorm):
    """:class:`MapNorm` by the mean and variance of each frame, over (C, H, W) (DyReG).

    A frame never sees another one. It is ``GroupNorm(1, C)`` on ``[B·T, C, H, W]``.
    """

    def forward(self, features: Tensor) -> Tensor:
        """See :class:`MapNorm`."""
        sizes = shape("features", features, "B T", self.channels, "H W")
        return self.over_all(features.flatten(0, 1)).reshape(sizes)

    def spread(self, maps: SpreadMaps) -> SpreadMaps:
        """The same of maps that are not written out yet."""
        return maps.normed(self.weight, self.bias, self.eps)


class ClipMapNorm(MapNorm):
    """:class:`MapNorm` by the mean and variance of each clip, over (T, C, H, W).

    The official code of RSTG has it on the maps, or the vector, that a graph adds, with ε = 1e-12.
    It needs the whole clip at once.
    """

    causal = False

    def forward(self, features: Tensor) -> Tensor:
        """See :class:`MapNorm`."""
        shape("features", features, "B T", self.channels, "H W")
        return self.over_all(features.transpose(1, 2)).transpose(1, 2)  # [B, C, T, H, W] inside


class Scaled(nn.Module):
    r"""A norm without a scale, scaled as a whole: :math:`y = γ ⊙ (\hat{x} + β)`.

    The official code of RSTG adds its graphs to maps in this way. With γ = 0 at the start, β learns
    nothing before γ has left 0.

    Args:
        norm: a :class:`MapNorm` with ``scale=False``.

    Shapes:
        features ``[B, T, C, H, W]`` → the same.

    Raises:
        InputError: on another kind of norm, or one with a scale of its own.

    Examples:
        >>> [name for name, _ in Scaled(ClipMapNorm(8, scale=False)).named_parameters()]
        ['weight', 'norm.bias']
    """

    def __init__(self, norm: MapNorm) -> None:
        super().__init__()
        if not isinstance(norm, MapNorm) or norm.weight is not None:
            raise InputError("norm", "a MapNorm with scale=False", norm)
        self.norm = norm
        self.weight = nn.Parameter(torch.ones(norm.channels))

    @property
    def causal(self) -> bool:
        """Whether a frame's output depends on this frame and earlier ones only."""
        return getattr(self.norm, "causal", True)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.norm(features) * self.weight[:, None, None]  # type: ignore[no-any-return]
