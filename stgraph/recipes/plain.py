"""The papers' systems without graphs: what theirs are built on and compared with."""

from __future__ import annotations

from stgraph.backbones import (
    NonLocalBlock,
    TemporalShift,
    c2d_resnet50,
    i3d_resnet50,
    recurrent,
    resnet18,
    resnet50,
    shifted_places,
    small_i3d,
)
from stgraph.classifiers import CNNClassifier
from stgraph.insertion import insert
from stgraph.recipes.recorded import recipe

__all__ = [
    "c2d",
    "conv_lstm",
    "i3d",
    "i3d_sync_mnist",
    "mean_lstm",
    "non_local_i3d",
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
def c2d(num_classes: int = 174) -> CNNClassifier:
    """C2D, ResNet-50 with pooling in time alone (RSTG, Wang et al. 2018).

    Args:
        num_classes: K.
    """
    return CNNClassifier(insert(c2d_resnet50(num_classes), {}, input_size=CLIP), num_classes)


@recipe
def i3d(num_classes: int = 174) -> CNNClassifier:
    """I3D, ResNet-50 with convolutions in time (RSTG, Wang et al. 2018).

    Args:
        num_classes: K.
    """
    return CNNClassifier(insert(i3d_resnet50(num_classes), {}, input_size=CLIP), num_classes)


@recipe
def non_local_i3d(num_classes: int = 174) -> CNNClassifier:
    """I3D with five non-local blocks, in its second and third stages (Wang et al. 2018).

    Args:
        num_classes: K.
    """
    places = ("layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5")
    cnn = i3d_resnet50(num_classes)
    blocks = {places: lambda place: NonLocalBlock(place.channels)}
    return CNNClassifier(insert(cnn, blocks, input_size=CLIP), num_classes)


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
