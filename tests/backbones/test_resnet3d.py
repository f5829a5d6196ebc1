from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import (
    Bottleneck3d,
    FixedStatsBatchNorm3d,
    ResNet3d,
    Stage,
    c2d_resnet50,
    i3d_resnet50,
    resnet50,
    small_i3d,
)
from stgraph.checks import InputError


def on_meta(make, *args, **options) -> nn.Module:
    with torch.device("meta"):
        return make(*args, **options)


def sizes(net: nn.Module, *video: int) -> dict[str, list[int]]:
    """Sizes of the maps that every part directly in ``net`` gives, without the batch."""
    seen = {}
    for name, part in net.named_children():
        part.register_forward_hook(lambda *args, name=name: seen.update({name: args[-1].shape[1:]}))
    net.eval()(torch.empty(1, *video, device="meta"))
    return {name: list(size) for name, size in seen.items()}


def tiny(**options) -> ResNet3d:
    return ResNet3d([Stage(4, (3, 1)), Stage(8, (1, 3), stride=2)], 5, 1, **options)


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (c2d_resnet50, {}, 23_864_558),  # as many as the ResNet-50 of images
        (i3d_resnet50, {}, 27_580_398),
        (i3d_resnet50, {"num_classes": 400}, 28_043_472),  # published as 28.0M
        (small_i3d, {}, 9_797_614),
    ],
)
def test_parameters_are_as_many_as_they_should(make, options, expected):
    net = on_meta(make, **options)
    assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize("make", [c2d_resnet50, i3d_resnet50])
def test_names_are_those_of_the_net_of_images(make):
    assert list(on_meta(make).state_dict()) == list(on_meta(resnet50, 174).state_dict())


def test_convolutions_over_time_are_where_they_belong():
    net = on_meta(i3d_resnet50)
    patterns = [
        "".join(str(block.conv1.kernel_size[0]) for block in getattr(net, f"layer{k}"))
        for k in (1, 2, 3, 4)
    ]
    assert patterns == ["333", "3131", "313131", "131"]
    assert net.conv1.kernel_size == (5, 7, 7)
    convolutions = [m for m in on_meta(c2d_resnet50).modules() if isinstance(m, nn.Conv3d)]
    assert {conv.kernel_size[0] for conv in convolutions} == {1}
    small = on_meta(small_i3d)
    patterns = [
        [block.conv1.kernel_size[0] for block in getattr(small, f"layer{k}")] for k in (1, 2, 3)
    ]
    assert patterns == [[3, 3], [3, 1], [1, 3]]


@pytest.mark.parametrize("make", [c2d_resnet50, i3d_resnet50])
def test_maps_have_the_published_sizes(make):
    assert sizes(on_meta(make), 3, 32, 224, 224) == {
        "conv1": [64, 32, 112, 112],
        "bn1": [64, 32, 112, 112],
        "relu": [64, 32, 112, 112],
        "maxpool": [64, 32, 56, 56],
        "layer1": [256, 32, 56, 56],
        "temporal_pool": [256, 16, 56, 56],
        "layer2": [512, 16, 28, 28],
        "layer3": [1024, 16, 14, 14],
        "layer4": [2048, 16, 14, 14],
        "avgpool": [2048, 1, 1, 1],
        "dropout": [2048],
        "fc": [174],
    }


def test_pooling_without_padding_is_smaller():
    found = sizes(on_meta(i3d_resnet50, pool_padding=0), 3, 32, 224, 224)
    assert found["maxpool"] == [64, 32, 55, 55]
    assert found["layer3"] == [1024, 16, 14, 14]


def test_the_small_one_sees_small_maps():
    found = sizes(on_meta(small_i3d), 1, 10, 64, 64)
    stages = [found[f"layer{k}"] for k in (1, 2, 3)]
    assert stages == [[256, 10, 16, 16], [512, 5, 8, 8], [1792, 5, 8, 8]]


def test_the_stride_is_in_space_only_and_on_the_3x3():
    block = Bottleneck3d(16, 4, stride=2, frames=3)
    strides = [conv.stride for conv in (block.conv1, block.conv2, block.conv3)]
    assert strides == [(1, 1, 1), (1, 2, 2), (1, 1, 1)]
    assert block(torch.randn(2, 16, 3, 7, 9)).shape == (2, 16, 3, 4, 5)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_clips_of_any_length_and_size(frames):
    logits = tiny()(torch.rand(2, 1, frames, 33, 40))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_gradients_reach_every_parameter():
    net = tiny(dropout=0.0)
    net(torch.rand(2, 1, 4, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_norms_are_a_part():
    net = tiny(norm=FixedStatsBatchNorm3d, dropout=0.0).train()
    plain = tiny(dropout=0.0).eval()
    plain.load_state_dict(net.state_dict())
    video = torch.rand(1, 1, 4, 32, 32)
    torch.testing.assert_close(net(video), plain(video))
    assert not any(type(module) is nn.BatchNorm3d for module in net.modules())


def test_it_compiles_without_a_break():
    net = tiny().eval()
    video = torch.rand(1, 1, 4, 32, 32)
    with torch.no_grad():
        compiled = torch.compile(net, backend="eager", fullgraph=True)(video)
        torch.testing.assert_close(compiled, net(video))


def test_bad_options_and_videos_are_refused():
    with pytest.raises(InputError, match="pool_padding: expected one of 0, 1, got 2"):
        tiny(pool_padding=2)
    with pytest.raises(InputError, match="frames: expected an odd number, got 2"):
        ResNet3d([Stage(4, (2,))], 5)
    with pytest.raises(InputError, match="frames: expected a whole number of at least 1, got -1"):
        Bottleneck3d(4, 4, frames=-1)
    with pytest.raises(InputError, match="stages: expected at least one stage"):
        ResNet3d([], 5)
    with pytest.raises(InputError, match="stages: expected frames of at least one block"):
        ResNet3d([Stage(4, ())], 5)
    with pytest.raises(InputError, match=r"video: expected \[B, 1, T, H, W\], got \[2, 4, 1, 9, 9"):
        tiny()(torch.rand(2, 4, 1, 9, 9))


@pytest.mark.parametrize("make", [c2d_resnet50, i3d_resnet50, small_i3d])
def test_dropout_is_what_it_is_said_to_be(make):
    assert (on_meta(make).dropout.p, on_meta(make, dropout=0.1).dropout.p) == (0.3, 0.1)
