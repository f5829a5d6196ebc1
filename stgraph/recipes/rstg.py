"""RSTG's models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from stgraph import schedules
from stgraph.backbones import ConvStack, i3d_resnet50
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import EdgeBuilder, GridEdges
from stgraph.insertion import Place, insert
from stgraph.layers import (
    AdditiveAttention,
    Broadcast,
    ClipMeanTime,
    ConcatSend,
    GaussianMaps,
    HomogeneousLayer,
    MLPUpdate,
    NodeNorm,
    PerNode,
    Readout,
    Remap,
    ScaleUpdate,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.recipes.plain import CLIP
from stgraph.recipes.recorded import recipe

__all__ = ["rstg_block", "rstg_sync_mnist", "rstg_to_map", "rstg_to_vec"]

ALL_TEMP = schedules.all_temp(before=("norm",))


@recipe
def rstg_sync_mnist(
    num_classes: int = 46,
    in_channels: int = 1,
    channels: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    positional: bool = True,
    edges: EdgeBuilder | None = None,
) -> GraphClassifier:
    """RSTG-to-vec on SyncMNIST, the paper's best model there (10,565,168 parameters).

    A CNN of three convolutions, grids at three scales, three rounds of (LSTM, messages) and a last
    LSTM; the nodes are summed, averaged over time and classified. The paper's ablations are other
    schedules, of :mod:`stgraph.schedules`; layers that a schedule does not name are not made.

    Args:
        num_classes: K, 46 for digits of ten classes.
        in_channels: channels of the frames.
        channels: width of CNN and graph, 512 in the paper.
        scales: grid sides.
        schedule: names among ``norm``, ``time``, ``space``, ``last``, ``mean``, ``both``.
        positional: whether positions join the messages ("positional" against "all-temp").
        edges: edge builder; ``GridEdges(scales)`` by default. ``GridEdges(scales, (256, 256))`` has
            the neighbours of another frame, ``FullEdges(loops=False)`` all other nodes.

    Raises:
        InputError: on another name.

    Examples:
        >>> sum(p.numel() for p in rstg_sync_mnist().parameters())
        10565168
        >>> model = rstg_sync_mnist(schedule=schedules.one_temp(before=("norm",)))
        >>> sorted(model.net.layers)
        ['last', 'norm', 'space']
    """

    def space() -> SpaceLayer:
        position = GaussianMaps(6) if positional else None
        return SpaceLayer(
            channels,
            send=ConcatSend(channels, layers=2, norm=None, position=position),
            gather=AdditiveAttention(channels),
            update=MLPUpdate(channels, layers=2, norm=None),
        )

    def recurrent() -> TimeLayer:
        return TimeLayer(nn.LSTM(channels, channels))

    made: dict[str, Callable[[], nn.Module]] = {
        "norm": lambda: PerNode(nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)),
        "time": recurrent,
        "space": space,
        "last": recurrent,
        "mean": ClipMeanTime,
        "both": lambda: HomogeneousLayer(space()),
    }
    if unknown := sorted(set(schedule) - set(made)):
        raise InputError("schedule", f"names among {sorted(made)}", unknown)
    net = SpaceTimeGraph(
        nodes=GridNodes(channels, scales, edges=GridEdges(scales) if edges is None else edges),
        layers={name: make() for name, make in made.items() if name in schedule},
        schedule=schedule,
    )
    return GraphClassifier(ConvStack(in_channels, channels), net, num_classes, Readout("sum"))


@recipe
def rstg_block(
    channels: int,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    remap: nn.Module | None = None,
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
) -> GraphBlock:
    """RSTG's graph block of the Something-Something models.

    Cells of multi-scale grids, projected to the graph's width and back as nodes; dot-product
    attention, an update of its own for each scale, norms a frame (the official code norms over the
    whole clip).

    Args:
        channels: channels of the CNN's maps.
        width: width of the graph.
        scales: grid sides; the official configurations have three, the appendix four.
        remap: from nodes to maps; by default the area resize of every scale's grid, summed.
        schedule: names among ``norm``, ``time``, ``space``, ``last``.
        edges: edge builder, as in :func:`rstg_sync_mnist`.
    """
    layers: dict[str, nn.Module] = {
        "norm": NodeNorm(width),
        "time": TimeLayer(nn.LSTM(width, width)),
        "space": SpaceLayer(
            width,
            send=ConcatSend(width, layers=2),
            update=ScaleUpdate(width, scales),
        ),
        "last": TimeLayer(nn.LSTM(width, width)),
    }
    if channels != width:
        layers["project_in"] = PerNode(nn.Linear(channels, width), width)
        layers["project_out"] = PerNode(nn.Linear(width, channels), channels)
        schedule = ("project_in", *schedule, "project_out")
    net = SpaceTimeGraph(
        nodes=GridNodes(channels, scales, edges=GridEdges(scales) if edges is None else edges),
        layers={name: layer for name, layer in layers.items() if name in schedule},
        schedule=schedule,
    )
    return GraphBlock(net, channels, Remap(normalised=False) if remap is None else remap)


@recipe
def rstg_to_map(
    num_classes: int = 174,
    places: Sequence[str] = ("layer2.2", "layer3.4"),
    cnn: Callable[[int], nn.Module] = i3d_resnet50,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    edges: EdgeBuilder | None = None,
) -> CNNClassifier:
    """RSTG-to-map on Something-Something: graphs inside the stages of I3D or C2D.

    The default places are the paper's best, "res3-4"; "res2" is ``("layer1.1",)``, "res3"
    ``("layer2.2",)``, "res4" ``("layer3.4",)``, inside the stages as in the official code.

    Args:
        num_classes: K.
        places: modules of the CNN that a graph block follows.
        cnn: maker of the CNN, :func:`~stgraph.backbones.i3d_resnet50` or
            :func:`~stgraph.backbones.c2d_resnet50`, called with K.
        width: width of the graph.
        scales: grid sides.
        edges: edge builder, as in :func:`rstg_sync_mnist`.
    """

    def block(place: Place) -> GraphBlock:
        return rstg_block(place.channels, width, scales, edges=edges)

    net = insert(cnn(num_classes), {tuple(places): block}, input_size=CLIP)
    return CNNClassifier(net, num_classes)


@recipe
def rstg_to_vec(
    num_classes: int = 174,
    cnn: Callable[[int], nn.Module] = i3d_resnet50,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    edges: EdgeBuilder | None = None,
) -> CNNClassifier:
    """RSTG-to-vec on Something-Something: one graph at the end of I3D or C2D.

    Its vector (nodes summed, mean over time) joins the globally pooled features: added to every
    point of the last maps before they are pooled, which is the same.

    Args:
        num_classes: K.
        cnn: maker of the CNN, as in :func:`rstg_to_map`.
        width: width of the graph.
        scales: grid sides.
        edges: edge builder, as in :func:`rstg_sync_mnist`.
    """

    def block(place: Place) -> GraphBlock:
        return rstg_block(place.channels, width, scales, Broadcast(Readout("sum")), edges=edges)

    net = insert(cnn(num_classes), {"layer4": block}, input_size=CLIP)
    return CNNClassifier(net, num_classes)
