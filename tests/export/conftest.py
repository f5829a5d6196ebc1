from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
from torch import nn

from stgraph import SpaceTimeGraph, recipes
from stgraph.backbones import ConvStack
from stgraph.classifiers import GraphClassifier, VideoClassifier
from stgraph.edges import FullEdges
from stgraph.export import Deployable, clip_program, step_program
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes
from stgraph.training.scaling import signed

Made = tuple[VideoClassifier, tuple[int, int, int, int]]


def smallest() -> GraphClassifier:
    """One layer in time and one in space: for tests of what does not depend on the model."""
    layers = {"time": TimeLayer(nn.GRU(4, 4)), "space": SpaceLayer(4)}
    nodes = GridNodes(4, scales=(1, 2), edges=FullEdges())
    net = SpaceTimeGraph(nodes, layers, ("time", "space"))
    return GraphClassifier(ConvStack(1, 4, depth=1), net, 5)


MODELS: dict[str, Callable[[], Made]] = {
    "smallest": lambda: (smallest(), (3, 1, 16, 16)),
    "dyreg_small": lambda: (recipes.dyreg_small(5), (3, 1, 64, 64)),
    "motion_small": lambda: (recipes.motion_small(5), (3, 1, 64, 64)),
    "motion_classes": lambda: (recipes.motion_classes(5, width=16), (3, 1, 64, 64)),
    "small_video": lambda: (recipes.small_video(5), (3, 3, 48, 48)),
    "rstg": lambda: (recipes.rstg_sync_mnist(5, channels=16), (3, 1, 64, 64)),
    "rstg_official": lambda: (
        recipes.rstg_sync_mnist_official(5, channels=16),
        (3, 1, 64, 64),
    ),
    "dyreg_r18": lambda: (
        recipes.dyreg_tsm_resnet18(5, online=True, frame_size=96),
        (2, 3, 96, 96),
    ),
    "dyreg_r4": lambda: (
        recipes.dyreg_tsm_resnet50(5, ("layer3.4.conv2",), frame_size=96),
        (2, 3, 96, 96),
    ),
    "dyreg_r345": lambda: (recipes.dyreg_tsm_resnet50(5, frame_size=160), (2, 3, 160, 160)),
}


Program = Callable[..., Deployable]


def made(name: str) -> Made:
    torch.manual_seed(0)
    model, size = MODELS[name]()
    for parameter in model.parameters():
        if parameter.dim() == 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model.eval(), size


@pytest.fixture
def model_of() -> Callable[[str], Made]:
    """A model by name, whose residuals do something, and the size of its clips."""
    return made


@pytest.fixture(scope="session")
def clip_of() -> Program:
    """The program of a model by name, of 8-bit clips; made once, so nobody may change its model."""

    @lru_cache(2)
    def make(name: str) -> Deployable:
        model, size = made(name)
        return clip_program(model, size, signed)

    return make


@pytest.fixture(scope="session")
def step_of() -> Program:
    """The program of a model's step by name, of a number of frames; made once, too."""

    @lru_cache(2)
    def make(name: str, frames: int = 1) -> Deployable:
        model, (_, *size) = made(name)
        return step_program(model, (frames, *size), signed)

    return make
