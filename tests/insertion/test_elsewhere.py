"""Blocks in CNNs written by others, where their packages can be imported."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from stgraph import GraphBlock, SpaceTimeGraph, insert, remove
from stgraph.edges import FullEdges
from stgraph.insertion import Place
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes

TORCHVISION = {
    "resnet50": ("layer2.*", "layer3.4.conv2"),
    "convnext_tiny": ("features.5",),
    "densenet121": ("features.denseblock2",),
    "efficientnet_b0": ("features.4",),
    "inception_v3": ("Mixed_5d",),
    "mobilenet_v3_small": ("features.6",),
    "regnet_y_400mf": ("trunk_output.block2",),
    "vgg11": ("features.10",),
}
TORCHVISION_VIDEO = {"r3d_18": ("layer2",), "r2plus1d_18": ("layer3.1",)}
TIMM = {"resnet26": ("layer3",), "efficientnet_lite0": ("blocks.3",), "regnety_002": ("s3",)}


def package(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {name}", exc_type=Exception)


def block(place: Place) -> GraphBlock:
    width = place.channels
    layers = {"time": TimeLayer(nn.GRU(width, width)), "space": SpaceLayer(width)}
    return GraphBlock(
        SpaceTimeGraph(GridNodes(width, (2,), edges=FullEdges()), layers, ("time", "space"))
    )


def check(cnn: nn.Module, places: tuple[str, ...], input_size: tuple[int, ...]) -> None:
    cnn.eval()
    net = insert(cnn, {places: block}, input_size=input_size).eval()
    frames = 2 if len(input_size) == 3 else input_size[1]
    video = torch.randn(1, frames, input_size[0], *input_size[-2:])
    with torch.no_grad():
        out = net(video)
        if len(input_size) == 3:
            plain = cnn(video.flatten(0, 1)).unflatten(0, (1, frames))
        else:
            plain = cnn(video.transpose(1, 2))
    assert torch.equal(out.output, plain)
    assert all(isinstance(answer.graph, Batch) for answer in out.blocks.values())
    assert set(cnn.state_dict()) <= set(net.state_dict())
    assert remove(net) is cnn


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    models = package("torchvision").models
    options = {"init_weights": False} if name == "inception_v3" else {}
    check(getattr(models, name)(**options), TORCHVISION[name], (3, 96, 96))


@pytest.mark.parametrize("name", TORCHVISION_VIDEO)
def test_torchvision_video(name):
    models = package("torchvision").models.video
    check(getattr(models, name)(), TORCHVISION_VIDEO[name], (3, 8, 64, 64))


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    check(package("timm").create_model(name), TIMM[name], (3, 96, 96))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_our_resnets_are_torchvisions(name):
    from stgraph import backbones

    theirs = getattr(package("torchvision").models, name)().eval()
    ours = getattr(backbones, name)().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
