"""How the convolutions of residual networks start."""

from __future__ import annotations

from torch import nn

__all__ = ["he_fan_out"]


def he_fan_out(net: nn.Module) -> None:
    """He initialisation of all convolutions inside, by the fan that goes out (He et al. 2015)."""
    for part in net.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
