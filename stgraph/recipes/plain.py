"""The papers' systems without graphs: what theirs are built on and compared with."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from stgraph.backbones import (
    FixedStatsBatchNorm3d,
    NonLocalBlock,
    TemporalShift,
    c2d_resnet50,
    c2d_resnet50_official,
    i3d_resnet50,
    i3d_resnet50_official,
    recurrent,
    resnet18,
    resnet50,
    shifted_places,
    small_i3d,
)
from stgraph.classifiers import CNNClassifier
from stgraph.initialise import glorot
from stgraph.insertion import Place, insert
from stgraph.recipes.recorded import recipe

__all__ = [
    "c2d",
    "c2d_official",
    "conv_lstm",
    "i3d",
    "i3d_official",
    "i3d_sync_mnist",
    "mean_lstm",
    "non_local_i3d",
    "non_local_official",
    "non_local_sync_mnist",
    "resnet18_multi_sync_mnist",
    "tsm_resnet50",
]

CLIP = (3, 32, 224, 224)
"""What C2D and I3D take: channels, frames, height, width."""

mean_lstm = recipe(recurrent.mean_lstm)
conv_lstm = recipe(recurrent.conv_lstm)


@recipe
def resnet18_multi_sync_mnist(num_classes: int = 56, in_channels: int = 1) -> CNNClassifier:
    """ResNet-18 without stage 4, averaged over frames: DyReG's baseline on MultiSyncMNIST.

    Args:
        num_classes: K, 56 for digits of ten classes.
        in_channels: channels of the frames.

    Examples:
        >>> sum(p.numel() for p in resnet18_multi_sync_mnist().parameters())
        2790904
    """
    cnn = resnet18(num_classes, in_channels, stages=3)
    return CNNClassifier(insert(cnn, {}, input_size=(in_channels, 128, 128)), num_classes)


@recipe
def tsm_resnet50(
    num_classes: int = 174, online: bool = False, dropout: float = 0.5
) -> CNNClassifier:
    """TSM-ResNet-50 (Lin et al. 2019): channels shifted in time before every residual block.

    Args:
        num_classes: K.
        online: shift from the past only, so that the net runs on a stream.
        dropout: of the pooled vector.

    Examples:
        >>> sum(p.numel() for p in tsm_resnet50().parameters())
        23864558
    """
    cnn = resnet50(num_classes, dropout=dropout)
    shift = {tuple(shifted_places(cnn)): TemporalShift(online=online)}
    return CNNClassifier(insert(cnn, {}, shift, input_size=(3, 224, 224)), num_classes)


@recipe
def c2d(
    num_classes: int = 174,
    norm: Callable[[int], nn.Module] = nn.BatchNorm3d,
    pool_padding: int = 1,
    window: int | None = None,
    dropout: float = 0.3,
) -> CNNClassifier:
    """C2D, ResNet-50 with pooling in time alone (RSTG, Wang et al. 2018).

    Args:
        num_classes: K.
        norm: maker of the norms: ``torch.nn.BatchNorm3d``, or
            :class:`~stgraph.backbones.FixedStatsBatchNorm3d`.
        pool_padding: of the first pooling, see :class:`~stgraph.backbones.ResNet3d`.
        window: of the last averages, see :class:`~stgraph.backbones.ResNet3d`.
        dropout: of the pooled vector.
    """
    cnn = c2d_resnet50(
        num_classes, pool_padding=pool_padding, dropout=dropout, norm=norm, window=window
    )
    return CNNClassifier(insert(cnn, {}, input_size=CLIP), num_classes)


@recipe
def c2d_official(num_classes: int = 174, dropout: float = 0.3) -> CNNClassifier:
    """:func:`c2d` as RSTG's authors ran it, see :func:`~stgraph.backbones.c2d_resnet50_official`.

    Args:
        num_classes: K.
        dropout: of the pooled vector.
    """
    cnn = c2d_resnet50_official(num_classes, dropout=dropout)
    return CNNClassifier(insert(cnn, {}, input_size=CLIP), num_classes)


@recipe
def i3d(
    num_classes: int = 174,
    norm: Callable[[int], nn.Module] = nn.BatchNorm3d,
    pool_padding: int = 1,
    window: int | None = None,
    dropout: float = 0.3,
) -> CNNClassifier:
    """I3D, ResNet-50 with convolutions in time (RSTG, Wang et al. 2018).

    Args:
        num_classes: K.
        norm: maker of the norms, as in :func:`c2d`.
        pool_padding: as in :func:`c2d`.
        window: as in :func:`c2d`.
        dropout: of the pooled vector.
    """
    cnn = i3d_resnet50(
        num_classes, pool_padding=pool_padding, dropout=dropout, norm=norm, window=window
    )
    return CNNClassifier(insert(cnn, {}, input_size=CLIP), num_classes)


@recipe
def i3d_official(num_classes: int = 174, dropout: float = 0.3) -> CNNClassifier:
    """:func:`i3d` as RSTG's authors ran it, see :func:`~stgraph.backbones.i3d_resnet50_official`.

    Args:
        num_classes: K.
        dropout: of the pooled vector.
    """
    cnn = i3d_resnet50_official(num_classes, dropout=dropout)
    return CNNClassifier(insert(cnn, {}, input_size=CLIP), num_classes)


NON_LOCAL = ("layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5")
"""Blocks of ResNet-50 that a non-local block follows."""


@recipe
def non_local_i3d(num_classes: int = 174) -> CNNClassifier:
    """I3D with five non-local blocks, in its second and third stages (Wang et al. 2018).

    Args:
        num_classes: K.
    """
    cnn = i3d_resnet50(num_classes)
    blocks = {NON_LOCAL: lambda place: NonLocalBlock(place.channels)}
    return CNNClassifier(insert(cnn, blocks, input_size=CLIP), num_classes)


@recipe
def non_local_official(num_classes: int = 174, dropout: float = 0.3) -> CNNClassifier:
    """:func:`non_local_i3d` as RSTG's authors ran it.

    In :func:`i3d_official`; the norms of the blocks have fixed statistics too, and pooling leaves
    out the last row and column of odd maps.

    Args:
        num_classes: K.
        dropout: of the pooled vector.
    """

    def block(place: Place) -> NonLocalBlock:
        made = NonLocalBlock(place.channels, FixedStatsBatchNorm3d, nn.MaxPool3d((1, 2, 2)))
        glorot(made)
        return made

    cnn = i3d_resnet50_official(num_classes, dropout=dropout)
    return CNNClassifier(insert(cnn, {NON_LOCAL: block}, input_size=CLIP), num_classes)


@recipe
def i3d_sync_mnist(num_classes: int = 46, in_channels: int = 1) -> CNNClassifier:
    """RSTG's "I3D" on SyncMNIST: a small one, of 9.8 million parameters.

    Args:
        num_classes: K, 46 for digits of ten classes.
        in_channels: channels of the frames.
    """
    cnn = small_i3d(num_classes, in_channels)
    return CNNClassifier(insert(cnn, {}, input_size=(in_channels, 10, 64, 64)), num_classes)


@recipe
def non_local_sync_mnist(num_classes: int = 46, in_channels: int = 1) -> CNNClassifier:
    """RSTG's "Non-Local" on SyncMNIST: the small I3D with a block after its second stage.

    Args:
        num_classes: K, 46 for digits of ten classes.
        in_channels: channels of the frames.
    """
    cnn = small_i3d(num_classes, in_channels)
    blocks = {"layer2": lambda place: NonLocalBlock(place.channels)}
    return CNNClassifier(insert(cnn, blocks, input_size=(in_channels, 10, 64, 64)), num_classes)
