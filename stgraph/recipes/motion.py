"""Small models that find out what moves alike, of windows that follow or of classes."""

from __future__ import annotations

from torch import nn

from stgraph.backbones import TinyCNN
from stgraph.checks import InputError, fraction, integer
from stgraph.classifiers import GraphClassifier
from stgraph.edges import FullEdges
from stgraph.kernels import Bilinear
from stgraph.layers import (
    CommonFate,
    ConcatSend,
    Displacement,
    NodeNorm,
    Readout,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import (
    ClassNodes,
    Competition,
    Contrast,
    FixedSizeWindows,
    MeanShiftRegions,
    NodeExtractor,
)
from stgraph.recipes.recorded import recipe

__all__ = ["motion_classes", "motion_small", "motion_subsets", "small_followers"]


@recipe
def small_followers(width: int = 32, num_nodes: int = 9) -> MeanShiftRegions:
    """Windows that follow what they find, as :func:`motion_small` uses them.

    They are drawn to the contrast of the frames, compete for its cells, begin a quarter wider in
    the first frame, and read the features at their centres. Half-sizes are 3/16 of the map.

    Args:
        width: channels of the maps.
        num_nodes: N, a square number.
    """
    return _drawn_to_contrast(width, num_nodes, Contrast(), 16 / 3)


@recipe
def motion_small(num_classes: int = 11, nodes: NodeExtractor | None = None) -> GraphClassifier:
    """A small model that finds who moves alike within minutes on a CPU: the demonstration's.

    It is :func:`dyreg_small` with windows that follow what they find in place of predicted ones,
    and their displacements in place of the embedding of their kernels.

    Args:
        num_classes: K; 11 for pairs of 5 digit classes and none.
        nodes: the extractor; :func:`small_followers` by default.
    """
    nodes = small_followers() if nodes is None else nodes
    width = nodes.out_channels
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "displacement": Displacement(width),
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "space": SpaceLayer(width, send=ConcatSend(width, layers=1)),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("displacement", "norm", "time", "space", "last"),
    )
    return GraphClassifier(TinyCNN(1), net, num_classes, Readout("mean"))


@recipe
def motion_classes(num_classes: int = 46, objects: int = 10, width: int = 128) -> GraphClassifier:
    """Who moves alike, of things whose classes are known: a light model for SyncMNIST on a CPU.

    A CNN of seven convolutions makes maps of a quarter of the frames' size, 25×25 of 100×100. The
    first three work at half the size, because details tell a thing that others cover. Each class
    of things has a node where the frame looks most like it, not far from where it was; nodes hear
    those whose offset from them does not vary, and what they know in the last frame is the answer.
    With :class:`~stgraph.training.NodePresence` as the auxiliary loss.

    Args:
        num_classes: K; 46 for pairs of 10 digit classes and none.
        objects: classes of things, N.
        width: channels of the maps and of the nodes; a multiple of 4.

    Raises:
        InputError: on another width.
    """
    if integer("width", width) % 4:
        raise InputError("width", "a multiple of 4", width)
    net = SpaceTimeGraph(
        nodes=ClassNodes(width, objects, FullEdges(), reach=2),
        layers={
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "fate": CommonFate(width),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("norm", "time", "fate", "last"),
    )
    half = width // 2
    channels = (half // 2, half, half, half, width, width, width)
    backbone = TinyCNN(1, channels, strides=(2, 1, 1, 2, 1, 1, 1))
    return GraphClassifier(backbone, net, num_classes, Readout("mean", time="last"))


@recipe
def motion_subsets(
    num_classes: int = 56, num_nodes: int = 25, width: int = 64, half_size: float = 0.11
) -> GraphClassifier:
    """Which of several things move alike, and what they are: a light model for MultiSyncMNIST.

    Windows follow what they find in the frames, as in :func:`motion_small`; a node is told how it
    moved and hears those whose offset from it does not vary, as in :func:`motion_classes`, but for
    windows on the same thing, nearer than half of a half-size. Things may be of one class, and none
    of them has to have a name. The answer is read from the maximum over the nodes of the last
    frame, so it does not count how many windows lie on a thing. A CNN of four convolutions makes
    maps of a quarter of the frames' size, 32×32 of 128×128.

    Args:
        num_classes: K; 56 for pairs of 10 digit classes, which may be the same, and none.
        num_nodes: windows, N, a square number.
        width: channels of the maps and of the nodes; a multiple of 4.
        half_size: half the side of a window, divided by the side of a frame. It should be about
            the size of what is to be followed: a digit of MultiSyncMNIST has 14 of 128 pixels.

    Raises:
        InputError: on another width, a number of nodes that is no square, or a size that is not
            above 0 and at most 1.
    """
    if integer("width", width) % 4:
        raise InputError("width", "a multiple of 4", width)
    if not fraction("half_size", half_size):
        raise InputError("half_size", "a number above 0, of at most 1", half_size)
    nodes = _drawn_to_contrast(width, num_nodes, Contrast(stride=4), 1 / half_size)
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "displacement": Displacement(width),
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "fate": CommonFate(width, apart=half_size / 2),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("displacement", "norm", "time", "fate", "last"),
    )
    backbone = TinyCNN(1, (width // 4, width // 2, width, width), strides=(2, 1, 2, 1))
    return GraphClassifier(backbone, net, num_classes, Readout("max", time="last"))


def _drawn_to_contrast(
    width: int, num_nodes: int, contrast: Contrast, ratio: float
) -> MeanShiftRegions:
    """Windows of a share of the map, that settle from a quarter wider and compete for cells."""
    return MeanShiftRegions(
        width,
        num_nodes,
        edges=FullEdges(),
        saliency=contrast,
        settling=(1.25, 1.125, 1.0, 1.0, 1.0),
        competition=Competition(),
        sampling=Bilinear(),
        windows=FixedSizeWindows(ratio, cells=0.0),
    )
