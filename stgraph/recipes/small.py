"""Small models of minutes of training, and the parts that they are made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from stgraph.backbones import TinyCNN
from stgraph.checks import times
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import FullEdges
from stgraph.insertion import insert
from stgraph.layers import (
    ConcatSend,
    KernelPosition,
    NodeNorm,
    Readout,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import (
    DynamicRegions,
    GridNodes,
    LargeGenerator,
    NodeExtractor,
    Windows,
    grid_anchors,
)
from stgraph.recipes.dyreg import dyreg_block
from stgraph.recipes.recorded import recipe

__all__ = [
    "dyreg_small",
    "frames_small",
    "residual_small",
    "small_grid",
    "small_regions",
]


@recipe
def frames_small(num_classes: int = 11) -> CNNClassifier:
    """The CNN of :func:`dyreg_small` alone, averaged over places and frames: it sees no motion.

    Args:
        num_classes: K; 11 for pairs of 5 digit classes and none.
    """
    cnn = nn.Sequential()
    cnn.add_module("features", TinyCNN(1))
    cnn.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    cnn.add_module("fc", nn.Linear(32, num_classes))
    return CNNClassifier(insert(cnn, {}, input_size=(1, 48, 48)), num_classes)


@recipe
def small_regions(width: int = 32, num_nodes: int = 9) -> DynamicRegions:
    """Dynamic regions for 8×8 maps and minutes of training, as :func:`dyreg_small` uses them.

    DyReG's full regions with a start that learns quickly: anchors on a grid, half-sizes of a fifth
    of the map that grow or shrink by a factor of two at most, positions ungated at half strength.

    Args:
        width: channels of the maps.
        num_nodes: N, a square number.
    """
    return DynamicRegions(
        width,
        num_nodes,
        edges=FullEdges(),
        generator=LargeGenerator(width, num_nodes, 32, size=8),
        windows=Windows(ratio=5.0, cells=0.0, margin=0.0, growth=0.7),
        anchors=grid_anchors,
        alpha=(0.0, 0.0, 0.5, 0.5),
    )


@recipe
def small_grid(width: int = 32, scales: Sequence[int] = (3,)) -> GridNodes:
    """The fixed-grid twin of :func:`small_regions`: the cells of a 3×3 grid, fully connected."""
    return GridNodes(width, scales, edges=FullEdges())


@recipe
def dyreg_small(
    num_classes: int = 11, nodes: NodeExtractor | None = None, rounds: int = 1
) -> GraphClassifier:
    """A small DyReG for 32×32 clips of small digits, which trains in a minute or two on a CPU.

    A CNN of 32 channels on 8×8 maps, the graph of :func:`dyreg_block` with one round and messages
    of both ends, and the mean over nodes and time as the vector to classify.

    Args:
        num_classes: K; 11 for pairs of 5 digit classes and none.
        nodes: the extractor; :func:`small_regions` by default, :func:`small_grid` for comparison.
        rounds: spatial iterations.
    """
    nodes = small_regions() if nodes is None else nodes
    width = nodes.out_channels
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "position": KernelPosition(width, 8, 8, gain=16.0),
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "space": SpaceLayer(width, send=ConcatSend(width, layers=1)),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("position", "norm", *("time", "space") * times("rounds", rounds), "last"),
    )
    return GraphClassifier(TinyCNN(1), net, num_classes, Readout("mean"))


@recipe
def residual_small(
    num_classes: int = 11, nodes: NodeExtractor | None = None, position: nn.Module | None = None
) -> CNNClassifier:
    """DyReG's form at the size of :func:`dyreg_small`: a block in a CNN, an identity at first.

    The CNN of :func:`frames_small` with :func:`~stgraph.recipes.dyreg_block` of one round behind
    its convolutions, averaged over places and frames.

    Args:
        num_classes: K; 11 for pairs of 5 digit classes and none.
        nodes: the extractor; :func:`small_regions` by default.
        position: see :func:`dyreg_block`.
    """
    nodes = small_regions() if nodes is None else nodes
    cnn = nn.Sequential()
    cnn.add_module("features", TinyCNN(1))
    cnn.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    cnn.add_module("fc", nn.Linear(32, num_classes))
    block = dyreg_block(nodes, 32, map_size=12, rounds=1, position=position)
    return CNNClassifier(insert(cnn, {"features": block}, input_size=(1, 48, 48)), num_classes)
