"""A small model for videos of two cores and minutes: the demonstration's on real files."""

from __future__ import annotations

import math

from torch import nn

from stgraph.backbones import TinyCNN
from stgraph.classifiers import GraphClassifier
from stgraph.edges import FullEdges
from stgraph.layers import (
    ConcatSend,
    Displacement,
    KernelPosition,
    NodeNorm,
    Readout,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import (
    Competition,
    FixedRegions,
    FixedSizeWindows,
    MeanShiftRegions,
    NodeExtractor,
)
from stgraph.recipes.recorded import recipe

__all__ = ["following_regions", "small_video", "still_regions"]


@recipe
def following_regions(
    width: int = 32, num_nodes: int = 9, half_size: float = 3.0
) -> MeanShiftRegions:
    """Windows that are drawn to what the CNN responds to, and follow it; fully connected.

    They compete for the map's cells, and begin a quarter wider in the first frame.

    Args:
        width: channels of the maps.
        num_nodes: N, a square number.
        half_size: half the side of a window, in cells.
    """
    windows = FixedSizeWindows(math.inf, half_size)
    return MeanShiftRegions(
        width,
        num_nodes,
        edges=FullEdges(),
        settling=(1.25, 1.125, 1.0, 1.0, 1.0),
        competition=Competition(),
        windows=windows,
    )


@recipe
def still_regions(width: int = 32, num_nodes: int = 9, half_size: float = 3.0) -> FixedRegions:
    """The fixed-grid twin of :func:`following_regions`: the same windows, where those start.

    Args:
        width: channels of the maps.
        num_nodes: N, a square number.
        half_size: half the side of a window, in cells.
    """
    windows = FixedSizeWindows(math.inf, half_size)
    return FixedRegions(width, num_nodes, edges=FullEdges(), windows=windows)


@recipe
def small_video(
    num_classes: int, nodes: NodeExtractor | None = None, map_size: int = 12
) -> GraphClassifier:
    """A small model for colour videos, which trains in a minute or two on a CPU.

    A CNN of 32 channels and stride 4, and a graph as :func:`dyreg_small` has it, whose nodes are
    told how they moved (:class:`~stgraph.layers.Displacement`).

    Args:
        num_classes: K.
        nodes: the extractor; :func:`following_regions` by default, :func:`still_regions` for
            comparison.
        map_size: side of the maps that the position embedding is made for, a quarter of the
            frames'.
    """
    nodes = following_regions() if nodes is None else nodes
    width = nodes.out_channels
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "position": KernelPosition(width, map_size, map_size, gain=16.0),
            "norm": NodeNorm(width),
            "moved": Displacement(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "space": SpaceLayer(width, send=ConcatSend(width, layers=1)),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("position", "norm", "moved", "time", "space", "last"),
    )
    return GraphClassifier(TinyCNN(3), net, num_classes, Readout("mean"))
