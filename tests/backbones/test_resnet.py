from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from stgraph.backbones import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
)
from stgraph.checks import InputError


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def on_meta(make, *args, **kwargs) -> nn.Module:
    with torch.device("meta"):
        return make(*args, **kwargs)


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (resnet18, {}, 11_689_512),
        (resnet34, {}, 21_797_672),
        (resnet34, {"stages": 1}, 296_488),
        (resnet50, {}, 25_557_032),
        (resnet50, {"num_classes": 174}, 23_864_558),
        (resnet18, {"num_classes": 56, "in_channels": 1, "stages": 3}, 2_790_904),
    ],
)
def test_parameters_are_as_many_as_published(make, options, expected):
    assert count(on_meta(make, **options)) == expected


def test_every_part_of_resnet50_has_its_share():
    net = on_meta(resnet50, 174)
    shares = [count(getattr(net, f"layer{k}")) for k in (1, 2, 3, 4)]
    assert shares == [215_808, 1_219_584, 7_098_368, 14_964_736]
    assert [count(net.conv1), count(net.bn1), count(net.fc)] == [9_408, 128, 356_526]


def test_names_and_shapes_are_those_of_torchvision():
    lines = Path(__file__).with_name("resnet50_keys.txt").read_text(encoding="utf-8").splitlines()
    expected = {
        name: [int(size) for size in sizes.split("x") if size]
        for name, _, sizes in (line.partition(" ") for line in lines)
    }
    state = on_meta(resnet50).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == expected
    assert list(state) == list(expected)


def test_a_shortcut_is_projected_only_where_the_shape_changes():
    projected = [n for n in on_meta(resnet18).state_dict() if n.endswith("downsample.0.weight")]
    assert projected == [f"layer{k}.0.downsample.0.weight" for k in (2, 3, 4)]
    projected = [n for n in on_meta(resnet50).state_dict() if n.endswith("downsample.0.weight")]
    assert projected == [f"layer{k}.0.downsample.0.weight" for k in (1, 2, 3, 4)]


def test_the_stride_of_a_bottleneck_is_on_its_3x3():
    block = Bottleneck(64, 32, stride=2)
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [
        (1, 1),
        (2, 2),
        (1, 1),
    ]
    assert block(torch.randn(2, 64, 9, 7)).shape == (2, 128, 5, 4)


@pytest.mark.parametrize(("stages", "width"), [(1, 64), (2, 128), (3, 256), (4, 512)])
def test_fewer_stages_are_the_first_ones(stages, width):
    net = on_meta(resnet18, 7, stages=stages)
    assert net.fc.in_features == width
    assert on_meta(resnet50, 7, stages=stages).fc.in_features == 4 * width
    whole = on_meta(resnet18, 7).state_dict()
    assert {n for n in net.state_dict() if "fc" not in n} == {
        n
        for n in whole
        if n.startswith(("conv1", "bn1", *[f"layer{k + 1}." for k in range(stages)]))
    }


def test_maps_are_halved_by_all_stages_but_the_first():
    net = resnet18(5, 1, stages=3).eval()
    sizes = []
    for name in ("maxpool", "layer1", "layer2", "layer3"):
        part = net.get_submodule(name)
        part.register_forward_hook(lambda *args: sizes.append(tuple(args[-1].shape[1:])))
    with torch.no_grad():
        assert net(torch.rand(2, 1, 128, 128)).shape == (2, 5)
    assert sizes == [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8)]


def test_convolutions_start_with_the_scale_of_the_fan_out():
    conv = resnet18().layer4[1].conv2
    assert conv.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


def test_dropout_acts_on_the_pooled_vector():
    net = ResNet(BasicBlock, (1,), 3, 1, dropout=1.0)
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(net(images), net.fc.bias.expand(2, 3))
    net.eval()
    assert not torch.allclose(net(images), net.fc.bias.expand(2, 3))


def test_gradients_reach_every_parameter():
    net = ResNet(Bottleneck, (1, 2), 3, 1)
    net(torch.rand(2, 1, 17, 24)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_it_compiles_without_a_break():
    net = ResNet(BasicBlock, (1, 1), 3, 1).eval()
    images = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        compiled = torch.compile(net, backend="eager", fullgraph=True)(images)
        torch.testing.assert_close(compiled, net(images))


def test_bad_options_and_images_are_refused():
    with pytest.raises(InputError, match="stages: expected one of 1, 2, 3, 4, got 5"):
        resnet50(stages=5)
    with pytest.raises(InputError, match="dropout: expected a number from 0 to 1, got 2"):
        resnet18(dropout=2)
    with pytest.raises(InputError, match="num_classes: expected a whole number"):
        resnet18(num_classes=0)
    with pytest.raises(InputError, match="depths: expected blocks for at least one stage"):
        ResNet(BasicBlock, ())
    with pytest.raises(InputError, match=r"images: expected \[F, 1, H, W\], got \[2, 3, 8, 8\]"):
        ResNet(BasicBlock, (1,), in_channels=1)(torch.rand(2, 3, 8, 8))
