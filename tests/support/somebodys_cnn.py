"""CNNs of somebody else, and graph blocks for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.edges import FullEdges
from stgraph.insertion import Place
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes

VIDEO = (2, 3, 3, 16, 16)


class Residual(nn.Module):
    def __init__(self, channels: int, again: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        def inside(x: Tensor) -> Tensor:
            return self.conv2(self.norm(self.conv1(x)).relu())

        added = checkpoint(inside, x, use_reentrant=False) if self.again else inside(x)
        return (x + added).relu()


class CNN(nn.Module):
    """Somebody's CNN: a parameter at its root, a list of stages, a module that it never runs."""

    def __init__(self, again: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.offset = nn.Parameter(torch.zeros(8, 1, 1))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Residual(8), Residual(8, again)),
                nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), Residual(12)),
            ]
        )
        self.shared = nn.ReLU()
        self.idle = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.stem(x)) + self.offset
        for stage in self.stages:
            x = self.shared(stage(x))
        return self.fc(x.mean((2, 3)))


class Clips(nn.Module):
    """A 3D CNN that halves time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, (3, 3, 3), (2, 2, 2), 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stem(x).relu().mean((2, 3, 4)))


def graph_block(place: Place, nodes: type = GridNodes) -> GraphBlock:
    width = place.channels
    net = SpaceTimeGraph(
        nodes(width, edges=FullEdges()),
        {"time": TimeLayer(nn.GRU(width, width)), "space": SpaceLayer(width)},
        ("time", "space", "time"),
    )
    return GraphBlock(net)


def awake(net: nn.Module) -> nn.Module:
    """Blocks that do something."""
    for module in net.modules():
        if isinstance(module, GraphBlock):
            nn.init.ones_(module.norm.weight)
    return net


PLACES = {"stages.0.1.conv2": graph_block, "stages.1": graph_block}
