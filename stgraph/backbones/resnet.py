"""Residual networks of basic blocks, with the state-dict keys of torchvision."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stgraph.checks import InputError, integer

__all__ = ["BasicBlock", "resnet_stages"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut (He et al. 2016, Fig. 2).

    Args:
        in_channels: channels that come in.
        channels: channels that go out.
        stride: stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``[F, C, H, W]`` → ``[F, channels, H/stride, W/stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(x)) + shortcut).relu()  # type: ignore[no-any-return]


def resnet_stages(in_channels: int = 1, blocks: Sequence[int] = (2, 2, 2)) -> dict[str, nn.Module]:
    """Stages of a ResNet of basic blocks by torchvision's names, ending in a vector a frame.

    ``(2, 2, 2)`` is ResNet-18 without its stage 4, the backbone of DyReG's MultiSyncMNIST models
    (128² → 64² stem → 32² → 32², 16², 8²); ``(2, 2, 2, 2)`` is ResNet-18.

    Args:
        in_channels: channels of the frames.
        blocks: basic blocks of each stage; stages have 64, 128, 256, … channels.

    Returns:
        ``stem``, ``layer1``, ``layer2``, … and ``pool``.

    Examples:
        >>> net = nn.ModuleDict(resnet_stages())
        >>> sum(p.numel() for p in net.parameters())  # 2,790,904 with the classifier of 56 classes
        2776512
    """
    if not blocks:
        raise InputError("blocks", "blocks for at least one stage", list(blocks))
    stem = nn.Sequential()
    stem.add_module("conv1", nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False))
    stem.add_module("bn1", nn.BatchNorm2d(64))
    stem.add_module("relu", nn.ReLU())
    stem.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    stages: dict[str, nn.Module] = {"stem": stem}
    before = 64
    for number, depth in enumerate(blocks):
        after = 64 * 2**number
        stages[f"layer{number + 1}"] = nn.Sequential(
            *[
                BasicBlock(after if k else before, after, 2 if number and not k else 1)
                for k in range(integer("blocks", depth))
            ]
        )
        before = after
    for stage in stages.values():
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stages | {"pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))}
