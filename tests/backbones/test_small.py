"""The small CNNs, convolution by convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import ConvStack, TinyCNN
from stgraph.checks import InputError


def convolutions(net: nn.Module) -> list[tuple[int, int, tuple[int, ...]]]:
    found = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    return [(conv.in_channels, conv.out_channels, conv.stride) for conv in found]


@pytest.mark.parametrize(
    ("channels", "strides", "size"),
    [((4,), (1,), (9, 11)), ((4, 6, 8), (2, 1, 2), (3, 3)), ((4, 6), (1, 3), (3, 4))],
)
def test_a_tiny_cnn_has_the_channels_and_strides_that_it_is_told(channels, strides, size):
    net = TinyCNN(3, channels, strides)
    pairs = zip((3, *channels[:-1]), channels, strides, strict=True)
    assert convolutions(net) == [(a, b, (stride, stride)) for a, b, stride in pairs]
    assert net(torch.rand(2, 3, 9, 11)).shape == (2, channels[-1], *size)


@pytest.mark.parametrize("channels", [(), (4,), (4, 6, 8)])
def test_a_tiny_cnn_has_as_many_strides_as_channels(channels):
    with pytest.raises(InputError, match="strides: expected one a convolution"):
        TinyCNN(1, channels, (2, 1))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_stack_is_as_deep_as_it_is_told(depth):
    net = ConvStack(2, 8, depth)
    found = convolutions(net)
    assert len(found) == depth
    assert (found[0][0], found[-1][1]) == (2, 8)
