"""RSTG's models as the authors ran them, beside those of :mod:`stgraph.recipes.rstg` as printed.

What differs, and by how much, is a page of the documentation: *As printed and as run*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from stgraph import schedules
from stgraph.backbones import ConvStack, i3d_resnet50_official
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import EdgeBuilder, GridEdges
from stgraph.initialise import glorot
from stgraph.insertion import Place, insert
from stgraph.layers import (
    Broadcast,
    ClipMapNorm,
    ClipNorm,
    ConcatSend,
    FrameNorm,
    GaussianMaps,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MLPUpdate,
    PerNode,
    Remap,
    Scaled,
    ScaleUpdate,
    SpaceLayer,
    TimeLayer,
    Update,
)
from stgraph.model import GraphBlock, GraphStage, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.recipes.plain import CLIP
from stgraph.recipes.recorded import recipe

__all__ = [
    "rstg_block_official",
    "rstg_stage_official",
    "rstg_sync_mnist_official",
    "rstg_to_map_official",
    "rstg_to_vec_official",
    "rstg_to_vec_serial_official",
]

EPS = 1e-12
"""ε of every layer norm; that of batch norms is 1e-3 on nodes and 1e-5 in C2D and I3D."""

ALL_TEMP = schedules.all_temp_official(before=("norm",))


@recipe
def rstg_sync_mnist_official(
    num_classes: int = 46,
    in_channels: int = 1,
    channels: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    positions: int | None = 6,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
    update: Callable[..., Update] = MLPUpdate,
) -> GraphClassifier:
    """:func:`rstg_sync_mnist` as the authors ran it; as many parameters.

    The adjacency is no mask of the attention, and all weights are Glorot's. Frames are meant to be
    in 0..255 (:func:`stgraph.training.raw`).

    Args:
        num_classes: K, 46 for digits of ten classes.
        in_channels: channels of the frames.
        channels: width of CNN and graph, 512 in the configuration.
        scales: grid sides.
        schedule: names among ``norm``, ``time``, ``space``, ``last``.
        positions: side of the position maps that join the messages; ``None`` for none.
        edges: edge builder; ``GridEdges(scales)`` by default. ``GridEdges(scales, (256, 256))`` has
            the neighbours of another frame, ``FullEdges(loops=False)`` all other nodes.
        heads: of the attention; several have a projection of the messages each.
        update: maker of the update of nodes: :class:`~stgraph.layers.MLPUpdate`, or
            :class:`~stgraph.layers.ScaleUpdate` with an MLP for every scale ("scalewise").

    Examples:
        >>> sum(p.numel() for p in rstg_sync_mnist_official().parameters())
        10565168
    """
    space = SpaceLayer(
        channels,
        send=ConcatSend(
            channels, norm=None, position=None if positions is None else GaussianMaps(positions)
        ),
        gather=LeakingAdditiveAttention(channels, heads, value=_value(heads)),
        update=_update(update, channels, scales),
    )
    norm = PerNode(nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01))  # TensorFlow's .99
    net = _graph(channels, channels, scales, schedule, edges, (64, 64), norm, space)
    model = GraphClassifier(ConvStack(in_channels, channels), net, num_classes)
    glorot(model)
    return model


@recipe
def rstg_block_official(
    channels: int,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    remap: nn.Module | None = None,
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
) -> GraphBlock:
    """:func:`rstg_block` as the authors ran it; as many parameters.

    The adjacency is no mask of the attention; the norms ahead of the rounds and of the residual are
    over the whole clip, the residual's scale is outside of its shift; ε is 1e-12; weights are
    Glorot's. It needs whole clips.

    Args:
        channels: channels of the CNN's maps.
        width: width of the graph.
        scales: grid sides.
        remap: from nodes to maps; by default the area resize of every scale's grid, summed.
        schedule: names among ``norm``, ``time``, ``space``, ``last``.
        edges: edge builder; ``GridEdges(scales, (224, 224))`` by default.
        heads: of the attention; several have a projection of the messages each.
    """
    net = _normed_graph(channels, width, scales, schedule, edges, heads)
    remap = Remap(normalised=False) if remap is None else remap
    block = GraphBlock(net, channels, remap, norm=_residual_norm)
    glorot(block)
    return block


@recipe
def rstg_stage_official(
    channels: int,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
) -> GraphStage:
    """The graph of :func:`rstg_block_official` whose vector takes the place of the CNN's maps.

    The form that the authors call "serial": the vector has the norm of a residual, whose scale is 0
    at the start, but nothing is added to it.

    Args:
        channels: channels of the CNN's maps.
        width: width of the graph.
        scales: grid sides.
        schedule: as in :func:`rstg_block_official`.
        edges: as in :func:`rstg_block_official`.
        heads: as in :func:`rstg_block_official`.
    """
    net = _normed_graph(channels, width, scales, schedule, edges, heads)
    norm = _residual_norm(channels)
    stage = GraphStage(net, channels, Broadcast(norm=norm))
    glorot(stage)
    nn.init.zeros_(norm.weight)
    return stage


@recipe
def rstg_to_map_official(
    num_classes: int = 174,
    places: Sequence[str] = ("layer2.2", "layer3.4"),
    cnn: Callable[[int], nn.Module] = i3d_resnet50_official,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
) -> CNNClassifier:
    """:func:`rstg_to_map` as the authors ran it: :func:`rstg_block_official` in their I3D or C2D.

    Clips are meant to be scaled by :func:`stgraph.training.kinetics`.

    Args:
        num_classes: K.
        places: modules of the CNN that a graph block follows, as in :func:`rstg_to_map`.
        cnn: maker of the CNN, :func:`~stgraph.backbones.i3d_resnet50_official` or
            :func:`~stgraph.backbones.c2d_resnet50_official`, called with K.
        width: width of the graph.
        scales: grid sides.
        schedule: as in :func:`rstg_block_official`.
        edges: as in :func:`rstg_block_official`.
        heads: as in :func:`rstg_block_official`.
    """

    def block(place: Place) -> GraphBlock:
        return rstg_block_official(place.channels, width, scales, None, schedule, edges, heads)

    net = insert(cnn(num_classes), {tuple(places): block}, input_size=CLIP)
    return CNNClassifier(net, num_classes)


@recipe
def rstg_to_vec_official(
    num_classes: int = 174,
    cnn: Callable[[int], nn.Module] = i3d_resnet50_official,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
) -> CNNClassifier:
    """:func:`rstg_to_vec` as the authors ran it: the graph's vector joins the pooled features.

    The norm of a clip of one vector at every point is the vector's own layer norm.

    Args:
        num_classes: K.
        cnn: maker of the CNN, as in :func:`rstg_to_map_official`.
        width: width of the graph.
        scales: grid sides.
        schedule: as in :func:`rstg_block_official`.
        edges: as in :func:`rstg_block_official`.
        heads: as in :func:`rstg_block_official`.
    """

    def block(place: Place) -> GraphBlock:
        vector = Broadcast()
        return rstg_block_official(place.channels, width, scales, vector, schedule, edges, heads)

    net = insert(cnn(num_classes), {"layer4": block}, input_size=CLIP)
    return CNNClassifier(net, num_classes)


@recipe
def rstg_to_vec_serial_official(
    num_classes: int = 174,
    cnn: Callable[[int], nn.Module] = i3d_resnet50_official,
    width: int = 512,
    scales: Sequence[int] = (3, 2, 1),
    schedule: Sequence[str] = ALL_TEMP,
    edges: EdgeBuilder | None = None,
    heads: int = 1,
) -> CNNClassifier:
    """:func:`rstg_to_vec_official` in its "serial" form: the graph's vector alone is classified.

    Args:
        num_classes: K.
        cnn: maker of the CNN, as in :func:`rstg_to_map_official`.
        width: width of the graph.
        scales: grid sides.
        schedule: as in :func:`rstg_block_official`.
        edges: as in :func:`rstg_block_official`.
        heads: as in :func:`rstg_block_official`.
    """

    def stage(place: Place) -> GraphStage:
        return rstg_stage_official(place.channels, width, scales, schedule, edges, heads)

    net = insert(cnn(num_classes), {"layer4": stage}, input_size=CLIP)
    return CNNClassifier(net, num_classes)


def _residual_norm(channels: int) -> Scaled:
    return Scaled(ClipMapNorm(channels, EPS, scale=False))


def _value(heads: int) -> Callable[[int, int], nn.Module] | None:
    """A projection of the messages for every head, where there are several."""
    return nn.Linear if heads > 1 else None


def _update(make: Callable[..., Update], channels: int, scales: Sequence[int]) -> Update:
    """An update without a norm; one that tells identities apart is told the scales."""
    options = {"scales": scales} if getattr(make, "by_identity", False) else {}
    return make(channels, norm=None, **options)


def _normed_graph(
    channels: int,
    width: int,
    scales: Sequence[int],
    schedule: Sequence[str],
    edges: EdgeBuilder | None,
    heads: int,
) -> SpaceTimeGraph:
    """The graph of the Something-Something models, with layer norms everywhere."""
    norm = partial(FrameNorm, eps=EPS)
    space = SpaceLayer(
        width,
        send=ConcatSend(width, norm=norm),
        gather=LeakingDotAttention(width, heads, value=_value(heads)),
        update=ScaleUpdate(width, scales, norm=norm),
    )
    frame = (224, 224)
    return _graph(channels, width, scales, schedule, edges, frame, ClipNorm(width, EPS), space)


def _graph(
    channels: int,
    width: int,
    scales: Sequence[int],
    schedule: Sequence[str],
    edges: EdgeBuilder | None,
    frame: tuple[int, int],
    norm: nn.Module,
    space: SpaceLayer,
) -> SpaceTimeGraph:
    """Cells of grids, projected to the graph's width and back as nodes where that differs."""
    layers: dict[str, nn.Module] = {
        "norm": norm,
        "time": TimeLayer(nn.LSTM(width, width)),
        "space": space,
        "last": TimeLayer(nn.LSTM(width, width)),
    }
    if channels != width:
        layers["project_in"] = PerNode(nn.Linear(channels, width), width)
        layers["project_out"] = PerNode(nn.Linear(width, channels), channels)
        schedule = ("project_in", *schedule, "project_out")
    return SpaceTimeGraph(
        nodes=GridNodes(
            channels, scales, edges=GridEdges(scales, frame) if edges is None else edges
        ),
        layers={name: layer for name, layer in layers.items() if name in schedule},
        schedule=schedule,
    )
