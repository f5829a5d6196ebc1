"""Maps of two clips and a small graph network on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgraph import SpaceTimeGraph
from stgraph.edges import FullEdges
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes, NodeExtractor

__all__ = ["C", "H", "W", "maps", "net"]

C, H, W = 4, 5, 6


def maps(*lead: int, channels: int = C) -> Tensor:
    return torch.randn(*(lead or (2, 3)), channels, H, W)


def net(nodes: NodeExtractor | None = None, time: nn.Module | None = None) -> SpaceTimeGraph:
    layers = {"time": TimeLayer(nn.GRU(C, C)) if time is None else time, "space": SpaceLayer(C)}
    grid = GridNodes(C, (2, 1), FullEdges())
    return SpaceTimeGraph(grid if nodes is None else nodes, layers, ("time", "space", "time"))
