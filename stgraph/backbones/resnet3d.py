"""Residual networks of clips: C2D and I3D (Carreira & Zisserman 2017, Wang et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from stgraph.backbones.initialise import he_fan_out
from stgraph.backbones.pooling import WindowMean3d
from stgraph.checks import InputError, choice, fraction, integer, shape

__all__ = ["Bottleneck3d", "ResNet3d", "Stage", "c2d_resnet50", "i3d_resnet50", "small_i3d"]

Norm = Callable[[int], nn.Module]
"""A norm for maps of so many channels ``[B, C, T, H, W]``: a class or a function."""


class Stage(NamedTuple):
    """What a stage of :class:`ResNet3d` is made of."""

    channels: int
    """Channels inside its blocks; four times as many go out."""
    frames: tuple[int, ...]
    """Frames that the first convolution of each block spans, one entry a block: 1 or 3."""
    stride: int = 1
    """Stride in space of the first block."""


class Bottleneck3d(nn.Module):
    """t×1×1, 1×3×3 and 1×1×1 convolutions around a shortcut.

    Args:
        in_channels: channels that come in.
        channels: channels inside; four times as many go out.
        stride: stride in space, of the 1×3×3 convolution.
        frames: t, an odd number.
        norm: makes the norms.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        frames: int = 1,
        norm: Norm = nn.BatchNorm3d,
    ) -> None:
        super().__init__()
        out = 4 * channels
        self.conv1 = _conv(in_channels, channels, (frames, 1, 1))
        self.bn1 = norm(channels)
        self.conv2 = _conv(channels, channels, (1, 3, 3), stride)
        self.bn2 = norm(channels)
        self.conv3 = _conv(channels, out, (1, 1, 1))
        self.bn3 = norm(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(_conv(in_channels, out, (1, 1, 1), stride), norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T, H, W]`` → ``[B, 4·channels, T, H/stride, W/stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()  # [B, channels, T, H/stride, W/stride]
        return (self.bn3(self.conv3(x)) + shortcut).relu()  # type: ignore[no-any-return]


def _conv(before: int, after: int, kernel: tuple[int, int, int], stride: int = 1) -> nn.Conv3d:
    """A convolution that keeps T, and divides H and W by the stride."""
    if integer("frames", kernel[0]) % 2 == 0:
        raise InputError("frames", "an odd number", kernel[0])
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(before, after, kernel, (1, stride, stride), padding, bias=False)


class ResNet3d(nn.Module):
    """A residual network of clips, with the names of :class:`~stgraph.backbones.ResNet`.

    ``conv1``, ``bn1``, ``relu``, ``maxpool``, ``layer1``, ``temporal_pool``, ``layer2``, …,
    ``avgpool``, ``dropout``, ``fc``. ``layer1`` sees T frames, later stages half as many. So
    weights of images inflate by name: :func:`~stgraph.backbones.inflate`.

    Args:
        stages: what each stage is made of.
        num_classes: K.
        in_channels: channels c of the clips.
        stem_frames: frames that the first convolution spans.
        pool_padding: padding of the 3×3 max-pooling after it: 1, or 0 as in the official code of
            RSTG (56×56 or 55×55 maps from 224×224 frames).
        dropout: share of the pooled vector that is dropped in training.
        norm: makes the norms; :class:`~stgraph.backbones.FixedStatsBatchNorm3d` as in the official
            code of RSTG, which starts from trained weights.
        window: side of the last averages over space. ``None`` averages over the whole map; with 14
            the vector is the mean of the averages over all 14×14 windows, as in the official code
            of RSTG, so that the middle of a larger map counts more (3×3 windows at 256×256).
        temporal_pool: what halves the frames, ``[B, C, T, H, W] → [B, C, T/2, H, W]``. By default
            2×1×1 max-pooling where a last frame without partner stays alone, so that clips may have
            any length; :class:`~stgraph.backbones.PairMax3d` leaves it out, as the official code of
            RSTG does.

    Shapes:
        video ``[B, c, T, H, W]`` → logits ``[B, K]``.

    Raises:
        InputError: on bad options, or a video of another shape.

    Examples:
        >>> import torch
        >>> net = ResNet3d([Stage(8, (3, 1)), Stage(16, (1,), stride=2)], num_classes=5)
        >>> tuple(net(torch.zeros(2, 3, 7, 32, 40)).shape)
        (2, 5)
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        num_classes: int,
        in_channels: int = 3,
        stem_frames: int = 5,
        pool_padding: int = 1,
        dropout: float = 0.3,
        norm: Norm = nn.BatchNorm3d,
        window: int | None = None,
        temporal_pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not stages:
            raise InputError("stages", "at least one stage", list(stages))
        self.in_channels = integer("in_channels", in_channels)
        self.num_classes = integer("num_classes", num_classes)
        self.conv1 = _conv(in_channels, 64, (integer("stem_frames", stem_frames), 7, 7), 2)
        self.bn1 = norm(64)
        self.relu = nn.ReLU()
        padding = choice("pool_padding", pool_padding, (0, 1))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, padding, padding))
        self.stages = tuple(f"layer{number + 1}" for number in range(len(stages)))
        before = 64
        for name, stage in zip(self.stages, stages, strict=True):
            self.add_module(name, _stage(before, stage, norm))
            before = 4 * stage.channels
            if name == "layer1":
                whole = nn.MaxPool3d((2, 1, 1), ceil_mode=True)
                self.temporal_pool = whole if temporal_pool is None else temporal_pool
        self.avgpool = nn.AdaptiveAvgPool3d(1) if window is None else WindowMean3d(window)
        self.dropout = nn.Dropout(fraction("dropout", dropout))
        self.fc = nn.Linear(before, num_classes)
        he_fan_out(self)

    def forward(self, video: Tensor) -> Tensor:
        """See the class."""
        shape("video", video, "B", self.in_channels, "T H W")
        x = self.maxpool(self.relu(self.bn1(self.conv1(video))))  # [B, 64, T, H/4, W/4]
        for name in self.stages:
            x = self.get_submodule(name)(x)
            if name == "layer1":
                x = self.temporal_pool(x)  # [B, C, T/2, H/4, W/4]
        x = self.avgpool(x).flatten(1)  # [B, C]
        return self.fc(self.dropout(x))  # type: ignore[no-any-return]


def _stage(before: int, stage: Stage, norm: Norm) -> nn.Sequential:
    """The blocks of a stage."""
    if not stage.frames:
        raise InputError("stages", "frames of at least one block", stage)
    blocks = []
    for k, frames in enumerate(stage.frames):
        stride = 1 if k else stage.stride
        blocks.append(Bottleneck3d(before, stage.channels, stride, frames, norm))
        before = 4 * stage.channels
    return nn.Sequential(*blocks)


def i3d_resnet50(
    num_classes: int = 174,
    in_channels: int = 3,
    pool_padding: int = 1,
    dropout: float = 0.3,
    norm: Norm = nn.BatchNorm3d,
    window: int | None = None,
    temporal_pool: nn.Module | None = None,
) -> ResNet3d:
    """I3D of ResNet-50, with convolutions over three frames in every second block (RSTG).

    Its last stage keeps the map's size: 14×14 from 224×224 frames.

    Args:
        num_classes: K.
        in_channels: channels of the clips.
        pool_padding: see :class:`ResNet3d`.
        dropout: see :class:`ResNet3d`.
        norm: see :class:`ResNet3d`.
        window: see :class:`ResNet3d`.
        temporal_pool: see :class:`ResNet3d`.

    Examples:
        >>> import torch
        >>> with torch.device("meta"):
        ...     net = i3d_resnet50()
        >>> sum(p.numel() for p in net.parameters())
        27580398
    """
    stages = (
        Stage(64, (3, 3, 3)),
        Stage(128, (3, 1, 3, 1), stride=2),
        Stage(256, (3, 1, 3, 1, 3, 1), stride=2),
        Stage(512, (1, 3, 1)),
    )
    return ResNet3d(
        stages,
        num_classes,
        in_channels,
        pool_padding=pool_padding,
        dropout=dropout,
        norm=norm,
        window=window,
        temporal_pool=temporal_pool,
    )


def c2d_resnet50(
    num_classes: int = 174,
    in_channels: int = 3,
    pool_padding: int = 1,
    dropout: float = 0.3,
    norm: Norm = nn.BatchNorm3d,
    window: int | None = None,
    temporal_pool: nn.Module | None = None,
) -> ResNet3d:
    """C2D of ResNet-50: no convolution over time, but the temporal pooling (RSTG).

    Its last stage keeps the map's size. Arguments as in :func:`i3d_resnet50`; as many parameters as
    the ResNet-50 of images, 23,864,558 for 174 classes.
    """
    stages = (
        Stage(64, (1,) * 3),
        Stage(128, (1,) * 4, stride=2),
        Stage(256, (1,) * 6, stride=2),
        Stage(512, (1,) * 3),
    )
    return ResNet3d(
        stages,
        num_classes,
        in_channels,
        stem_frames=1,
        pool_padding=pool_padding,
        dropout=dropout,
        norm=norm,
        window=window,
        temporal_pool=temporal_pool,
    )


def small_i3d(num_classes: int = 46, in_channels: int = 1, dropout: float = 0.3) -> ResNet3d:
    """The small I3D that RSTG is compared with on SyncMNIST, about 9.8 million parameters.

    The paper names three stages of two blocks, like the second, third and fifth of ResNet-50 (the
    stem being the first), with fewer filters and "around 10M" parameters; the filters are ours.
    Ten frames of 64×64 become 16×16, 8×8 and 8×8 maps.

    Args:
        num_classes: K.
        in_channels: channels of the clips.
        dropout: see :class:`ResNet3d`.

    Examples:
        >>> sum(p.numel() for p in small_i3d().parameters())
        9797614
    """
    stages = (Stage(64, (3, 3)), Stage(128, (3, 1), stride=2), Stage(448, (1, 3)))
    return ResNet3d(stages, num_classes, in_channels, dropout=dropout)
