from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import (
    Bottleneck,
    ResNet,
    ResNet3d,
    Stage,
    c2d_resnet50,
    inflate,
    resnet50,
)
from stgraph.checks import InputError
from stgraph.weights import load_imagenet


def pair(stem_frames: int, frames: int) -> tuple[ResNet, ResNet3d]:
    """A net of images and one of clips with the same stages, in double precision.

    The biases of the norms are random, so that no activation is 0 by chance of the start.
    """
    flat = ResNet(Bottleneck, (2, 1), 5, 2).double().eval()
    for name, value in flat.named_parameters():
        if ".bn" in name or name.startswith("bn"):
            nn.init.normal_(value, 0.5, 0.1)
    stages = [Stage(64, (frames, 1)), Stage(128, (frames,), stride=2)]
    return flat, ResNet3d(stages, 5, 2, stem_frames=stem_frames).double().eval()


def still(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randn(2, 2, 35, 40, dtype=torch.float64)
    return image, image[:, :, None].expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("how", ["mean", "centre"])
def test_a_c2d_sees_a_still_video_as_its_image(how):
    flat, net = pair(1, 1)
    net.load_state_dict(inflate(flat.state_dict(), net, how))
    image, video = still(4)
    with torch.no_grad():
        torch.testing.assert_close(net(video), flat(image), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("frames", [1, 5])
def test_an_i3d_inflated_at_the_centre_does_too(frames):
    flat, net = pair(5, 3)
    net.load_state_dict(inflate(flat.state_dict(), net, "centre"))
    image, video = still(frames)
    with torch.no_grad():
        torch.testing.assert_close(net(video), flat(image), atol=1e-12, rtol=1e-12)


def test_an_i3d_inflated_by_the_mean_does_so_away_from_the_ends():
    flat, net = pair(5, 3)
    net.load_state_dict(inflate(flat.state_dict(), net))
    image, video = still(9)
    maps = {}
    for name, model in (("2D", flat), ("3D", net)):
        model.layer1.register_forward_hook(lambda *args, name=name: maps.update({name: args[-1]}))
    with torch.no_grad():
        flat(image)
        net(video)
    expected = maps["2D"][:, :, None]
    inner = maps["3D"][:, :, 3:-3]  # 2 frames of the stem, 1 of the block
    torch.testing.assert_close(inner, expected.expand_as(inner), atol=1e-12, rtol=1e-12)
    assert not torch.allclose(maps["3D"][:, :, :1], expected)


def test_weights_of_resnet50_fit_c2d():
    with torch.device("meta"):
        flat, net = resnet50(), c2d_resnet50(in_channels=1)
    state = {name: torch.ones(()).expand(v.shape) for name, v in flat.state_dict().items()}
    spread = inflate(state, net)
    assert list(spread) == list(state)
    net = net.to_empty(device="cpu")
    report = load_imagenet(net, spread)
    assert (len(report.used), report.skipped) == (318, ("fc.weight", "fc.bias"))
    assert report.missing == report.skipped
    assert torch.equal(net.conv1.weight, torch.full((64, 1, 1, 7, 7), 3.0))


def test_what_cannot_be_inflated_is_refused():
    flat, net = pair(5, 3)
    with pytest.raises(InputError, match="how: expected one of 'mean', 'centre', got 'first'"):
        inflate(flat.state_dict(), net, "first")
    with pytest.raises(InputError, match="state: expected convolutions of a 2D net with the names"):
        inflate(net.state_dict(), net)


@pytest.mark.parametrize(("frames", "centre"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_the_centre_is_the_frame_behind_the_middle(frames, centre):
    net = nn.Sequential(nn.Conv3d(1, 1, (frames, 1, 1)))
    state = inflate({"0.weight": torch.ones(1, 1, 1, 1)}, net, "centre")
    assert state["0.weight"].flatten().nonzero().tolist() == [[centre]]


def test_a_convolution_of_frames_in_the_net_of_clips_stays_as_it_came():
    net = nn.Sequential(nn.Conv3d(1, 1, 3), nn.Conv2d(1, 1, 3))
    flat = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)).state_dict()
    state = inflate(flat, net)
    assert state["0.weight"].shape == (1, 1, 3, 3, 3)
    assert state["1.weight"] is flat["1.weight"]
