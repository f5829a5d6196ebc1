"""C2D and I3D as the official code of RSTG runs them."""

from __future__ import annotations

from collections.abc import Callable

from stgraph.backbones.norm import FixedStatsBatchNorm3d
from stgraph.backbones.pooling import PairMax3d
from stgraph.backbones.resnet3d import ResNet3d, c2d_resnet50, i3d_resnet50
from stgraph.initialise import glorot

__all__ = ["c2d_resnet50_official", "i3d_resnet50_official"]


def c2d_resnet50_official(
    num_classes: int = 174, in_channels: int = 3, dropout: float = 0.3
) -> ResNet3d:
    """:func:`~stgraph.backbones.c2d_resnet50` as RSTG's authors ran it.

    First pooling without padding, no last frame without partner, batch norms with fixed statistics,
    averages over 14×14 windows of the last maps, Glorot's weights.

    Args:
        num_classes: K.
        in_channels: channels of the clips.
        dropout: of the pooled vector.
    """
    return _official(c2d_resnet50, num_classes, in_channels, dropout)


def i3d_resnet50_official(
    num_classes: int = 174, in_channels: int = 3, dropout: float = 0.3
) -> ResNet3d:
    """:func:`~stgraph.backbones.i3d_resnet50` as RSTG's authors ran it.

    With the differences of :func:`c2d_resnet50_official`.

    Args:
        num_classes: K.
        in_channels: channels of the clips.
        dropout: of the pooled vector.
    """
    return _official(i3d_resnet50, num_classes, in_channels, dropout)


def _official(
    make: Callable[..., ResNet3d], num_classes: int, in_channels: int, dropout: float
) -> ResNet3d:
    net = make(
        num_classes,
        in_channels,
        pool_padding=0,
        dropout=dropout,
        norm=FixedStatsBatchNorm3d,
        window=14,
        temporal_pool=PairMax3d(),
    )
    glorot(net)
    return net
