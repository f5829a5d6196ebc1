"""Clips to extract graphs from, for tests of what is extracted and of how it is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from stgraph import SpaceTimeGraph
from stgraph.backbones import ConvStack
from stgraph.classifiers import GraphClassifier
from stgraph.datasets import SyncMNIST, sklearn_digits
from stgraph.edges import FullEdges
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes
from stgraph.training import ClipData


def clips(length: int = 10, **options: Any) -> SyncMNIST:
    sizes = {"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32}
    return SyncMNIST(sklearn_digits(), length=length, **{**sizes, **options})


def data(dataset: Any = None, **options: Any) -> ClipData:
    return ClipData(test=clips() if dataset is None else dataset, batch_size=4, **options)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("raw/*")}


def small(channels: int = 8, nodes: Any = None) -> GraphClassifier:
    net = SpaceTimeGraph(
        GridNodes(channels, (2,), edges=FullEdges()) if nodes is None else nodes,
        {"time": TimeLayer(nn.GRU(channels, channels)), "space": SpaceLayer(channels)},
        ("time", "space"),
    )
    return GraphClassifier(ConvStack(1, channels), net, num_classes=4)
