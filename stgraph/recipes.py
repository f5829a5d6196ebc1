"""The papers' systems, as plain functions that compose the parts.

Each returns a model whose parts can be read off the function; to change one, copy the function, or
pass another part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from stgraph.backbones import ConvStack, TinyCNN, resnet_stages
from stgraph.checks import integer
from stgraph.edges import FullEdges, GridEdges
from stgraph.layers import (
    AdditiveAttention,
    ConcatSend,
    GaussianMaps,
    KernelPosition,
    MLPUpdate,
    NodeNorm,
    PerNode,
    Readout,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import GraphBlock, GraphClassifier, MapClassifier, SpaceTimeGraph
from stgraph.nodes import (
    DynamicRegions,
    GridNodes,
    LargeGenerator,
    NodeExtractor,
    Windows,
    centre_anchors,
    grid_anchors,
)

__all__ = [
    "dyreg_block",
    "dyreg_multi_sync_mnist",
    "dyreg_regions",
    "dyreg_small",
    "rstg_sync_mnist",
    "small_grid",
    "small_regions",
]


def rstg_sync_mnist(
    num_classes: int = 46,
    in_channels: int = 1,
    channels: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    rounds: int = 3,
    positional: bool = True,
) -> GraphClassifier:
    """RSTG-to-vec on SyncMNIST, the paper's best model there (10,565,168 parameters).

    A CNN of three convolutions, grids at three scales, three rounds of (LSTM, messages) and a last
    LSTM; the nodes are summed, averaged over time and classified.

    Args:
        num_classes: K, 46 for digits of ten classes.
        in_channels: channels of the frames.
        channels: width of CNN and graph, 512 in the paper.
        scales: grid sides.
        rounds: spatial iterations K = 3.
        positional: whether positions join the messages ("positional" against "all-temp").

    Examples:
        >>> sum(p.numel() for p in rstg_sync_mnist().parameters())
        10565168
    """
    send = ConcatSend(
        channels, layers=2, norm=None, position=GaussianMaps(6) if positional else None
    )
    space = SpaceLayer(
        channels,
        send=send,
        gather=AdditiveAttention(channels),
        update=MLPUpdate(channels, layers=2, norm=None),
    )
    net = SpaceTimeGraph(
        nodes=GridNodes(channels, scales, edges=GridEdges(scales)),
        layers={
            "norm": PerNode(nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)),
            "time": TimeLayer(nn.LSTM(channels, channels)),
            "space": space,
            "last": TimeLayer(nn.LSTM(channels, channels)),
        },
        schedule=("norm", *("time", "space") * integer("rounds", rounds), "last"),
    )
    return GraphClassifier(ConvStack(in_channels, channels), net, num_classes, Readout("sum"))


def dyreg_block(nodes: NodeExtractor, channels: int, map_size: int, rounds: int = 3) -> GraphBlock:
    """DyReG's graph block around any extractor (DyReG and its official code).

    Kernel position embedding, norm, three rounds of (GRU, messages) and a last GRU over the
    extractor's nodes, re-mapped as a residual.

    Args:
        nodes: the extractor; its ``channels`` are the width of the graph.
        channels: channels of the CNN's maps; projected to the graph's width where they differ.
        map_size: side of the maps, which the position embedding's weights are made for.
        rounds: spatial iterations K = 3.
    """
    width = nodes.out_channels
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "position": KernelPosition(width, map_size, map_size),
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "space": SpaceLayer(width),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("position", "norm", *("time", "space") * integer("rounds", rounds), "last"),
    )
    return GraphBlock(net, channels)


def dyreg_regions(
    width: int = 32,
    num_nodes: int = 9,
    map_size: int = 16,
    anchors: Callable[[int], Tensor] = centre_anchors,
) -> DynamicRegions:
    """DyReG's full dynamic regions on maps of one size, fully connected.

    Args:
        width: channels of the maps.
        num_nodes: N.
        map_size: side of the maps that the region generator's weights are made for.
        anchors: where regions start; all at the centre, as in the paper's best model.
    """
    return DynamicRegions(
        width,
        num_nodes,
        edges=FullEdges(),
        generator=LargeGenerator(width, num_nodes, 32, size=map_size),
        anchors=anchors,
    )


def dyreg_multi_sync_mnist(
    num_classes: int = 56, in_channels: int = 1, nodes: NodeExtractor | None = None
) -> MapClassifier:
    """DyReG on MultiSyncMNIST (DyReG, Table 7; "full" has 3,080,992 parameters).

    ResNet-18 without stage 4 on frames of 128×128, the graph block after stage 2 (128 channels,
    16×16), logits averaged over frames.

    Args:
        num_classes: K, 56 for digits of ten classes.
        in_channels: channels of the frames.
        nodes: the extractor, whose channels are the width of the graph; :func:`dyreg_regions` by
            default, ``GridNodes(32, (3,), edges=FullEdges())`` for the fixed grid.

    Examples:
        >>> sum(p.numel() for p in dyreg_multi_sync_mnist().parameters())
        3080992
    """
    block = dyreg_block(dyreg_regions() if nodes is None else nodes, 128, map_size=16)
    return MapClassifier(resnet_stages(in_channels), {"layer2": block}, num_classes, channels=256)


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


def small_grid(width: int = 32, scales: Sequence[int] = (3,)) -> GridNodes:
    """The fixed-grid twin of :func:`small_regions`: the cells of a 3×3 grid, fully connected."""
    return GridNodes(width, scales, edges=FullEdges())


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
        schedule=("position", "norm", *("time", "space") * integer("rounds", rounds), "last"),
    )
    return GraphClassifier(TinyCNN(1), net, num_classes, Readout("mean"))
