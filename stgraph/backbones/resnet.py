"""Residual networks of images, with the state-dict keys of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from stgraph.backbones.initialise import he_fan_out
from stgraph.checks import InputError, choice, fraction, integer, shape, times

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut (He et al. 2016, Fig. 2).

    Args:
        in_channels: channels that come in.
        channels: channels inside, which are those that go out.
        stride: stride of the first convolution.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``[F, C, H, W]`` → ``[F, channels, H/stride, W/stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(x)) + shortcut).relu()  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions around a shortcut (He et al. 2016, Fig. 5).

    Args:
        in_channels: channels that come in.
        channels: channels inside; four times as many go out.
        stride: stride of the 3×3 convolution, where torchvision has it too.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(in_channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``[F, C, H, W]`` → ``[F, 4·channels, H/stride, W/stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()  # [F, channels, H/stride, W/stride]
        return (self.bn3(self.conv3(x)) + shortcut).relu()  # type: ignore[no-any-return]


def _shortcut(before: int, after: int, stride: int) -> nn.Sequential | None:
    """What a shortcut needs where the block changes the shape."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _stages(
    block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int]
) -> dict[str, nn.Sequential]:
    """Stages by torchvision's names; all but the first halve the map."""
    if not depths:
        raise InputError("depths", "blocks for at least one stage", list(depths))
    stages, before = {}, 64
    for number, depth in enumerate(depths):
        width = 64 * 2**number
        blocks = []
        for k in range(times("depths", depth)):
            blocks.append(block(before, width, 2 if number and not k else 1))
            before = width * block.expansion
        stages[f"layer{number + 1}"] = nn.Sequential(*blocks)
    return stages


class ResNet(nn.Module):
    """A residual network of images (He et al. 2016), with torchvision's names of parts.

    ``conv1``, ``bn1``, ``relu``, ``maxpool``, ``layer1``, ``layer2``, …, ``avgpool``, ``dropout``,
    ``fc``: its state dict is torchvision's, name for name.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: blocks of each stage; inside, stages have 64, 128, 256, … channels.
        num_classes: K.
        in_channels: channels c of the images.
        dropout: share of the pooled vector that is dropped in training.

    Shapes:
        images ``[F, c, H, W]`` → logits ``[F, K]``.

    Raises:
        InputError: on bad options, or images of another shape.

    Examples:
        >>> import torch
        >>> net = ResNet(BasicBlock, (1, 1), num_classes=5, in_channels=1)
        >>> tuple(net(torch.zeros(2, 1, 33, 40)).shape)
        (2, 5)
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels)
        self.num_classes = integer("num_classes", num_classes)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages = _stages(block, depths)
        self.stages = tuple(stages)
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(fraction("dropout", dropout))
        self.fc = nn.Linear(64 * 2 ** (len(stages) - 1) * block.expansion, num_classes)
        he_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        shape("images", images, "F", self.in_channels, "H W")
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # [F, 64, H/4, W/4]
        for name in self.stages:
            x = self.get_submodule(name)(x)
        x = self.avgpool(x).flatten(1)  # [F, C]
        return self.fc(self.dropout(x))  # type: ignore[no-any-return]


def resnet18(
    num_classes: int = 1000, in_channels: int = 3, stages: int = 4, dropout: float = 0.0
) -> ResNet:
    """ResNet-18, or its first stages only.

    ``resnet18(56, 1, stages=3)`` is the CNN of DyReG's MultiSyncMNIST models (2,790,904
    parameters; 128×128 frames become 32×32, 16×16 and 8×8 maps).

    Args:
        num_classes: K.
        in_channels: channels of the images.
        stages: stages kept, 4 for the whole net. ``fc`` follows the last one.
        dropout: share of the pooled vector that is dropped in training.

    Examples:
        >>> sum(p.numel() for p in resnet18().parameters())
        11689512
    """
    depths = (2, 2, 2, 2)[: choice("stages", stages, (1, 2, 3, 4))]
    return ResNet(BasicBlock, depths, num_classes, in_channels, dropout)


def resnet34(
    num_classes: int = 1000, in_channels: int = 3, stages: int = 4, dropout: float = 0.0
) -> ResNet:
    """ResNet-34 (21,797,672 parameters); arguments as in :func:`resnet18`."""
    depths = (3, 4, 6, 3)[: choice("stages", stages, (1, 2, 3, 4))]
    return ResNet(BasicBlock, depths, num_classes, in_channels, dropout)


def resnet50(
    num_classes: int = 1000, in_channels: int = 3, stages: int = 4, dropout: float = 0.0
) -> ResNet:
    """ResNet-50 (25,557,032 parameters); arguments as in :func:`resnet18`."""
    depths = (3, 4, 6, 3)[: choice("stages", stages, (1, 2, 3, 4))]
    return ResNet(Bottleneck, depths, num_classes, in_channels, dropout)
