"""DyReG's models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from stgraph.backbones import TemporalShift, resnet18, resnet50, shifted_places
from stgraph.checks import InputError, integer, times
from stgraph.classifiers import CNNClassifier
from stgraph.edges import FullEdges
from stgraph.insertion import Place, insert
from stgraph.layers import KernelPosition, NodeNorm, SpaceLayer, TimeLayer
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.nodes import (
    DynamicRegions,
    LargeGenerator,
    NodeExtractor,
    centre_anchors,
)
from stgraph.recipes.recorded import recipe

__all__ = [
    "dyreg_block",
    "dyreg_multi_sync_mnist",
    "dyreg_regions",
    "dyreg_tsm_resnet18",
    "dyreg_tsm_resnet50",
]


@recipe
def dyreg_block(
    nodes: NodeExtractor,
    channels: int,
    map_size: int,
    rounds: int = 3,
    position: nn.Module | None = None,
) -> GraphBlock:
    """DyReG's graph block around any extractor (DyReG and its official code).

    Kernel position embedding, norm, three rounds of (GRU, messages) and a last GRU over the
    extractor's nodes, re-mapped as a residual.

    Args:
        nodes: the extractor; its ``channels`` are the width of the graph.
        channels: channels of the CNN's maps; projected to the graph's width where they differ.
        map_size: side of the maps, which the position embedding's weights are made for.
        rounds: spatial iterations K = 3.
        position: another layer in place of that embedding, such as
            :class:`~stgraph.layers.Displacement`, which tells nodes how they moved;
            ``map_size`` is then of no account. A model with one is stored with its weights, and
            loaded with ``build=``, as any with a module that no recipe made.

    Raises:
        InputError: on a size below 1, or a position that is no module.
    """
    width, side = nodes.out_channels, integer("map_size", map_size)
    if position is None:
        position = KernelPosition(width, side, side)
    elif not isinstance(position, nn.Module):
        raise InputError("position", "a layer, an nn.Module", type(position).__name__)
    net = SpaceTimeGraph(
        nodes=nodes,
        layers={
            "position": position,
            "norm": NodeNorm(width),
            "time": TimeLayer(nn.GRU(width, width)),
            "space": SpaceLayer(width),
            "last": TimeLayer(nn.GRU(width, width)),
        },
        schedule=("position", "norm", *("time", "space") * times("rounds", rounds), "last"),
    )
    return GraphBlock(net, channels)


@recipe
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


@recipe
def dyreg_multi_sync_mnist(
    num_classes: int = 56,
    in_channels: int = 1,
    nodes: NodeExtractor | None = None,
    position: nn.Module | None = None,
) -> CNNClassifier:
    """DyReG on MultiSyncMNIST (DyReG, Table 7; "full" has 3,080,992 parameters).

    ResNet-18 without stage 4 on frames of 128×128, the graph block after stage 2 (128 channels,
    16×16), logits averaged over frames. With ``nodes=BoxNodes(32, edges=FullEdges())`` and the true
    boxes as a hint, ``boxes``, it is the paper's oracle of ground-truth boxes.

    Args:
        num_classes: K, 56 for digits of ten classes.
        in_channels: channels of the frames.
        nodes: the extractor, whose channels are the width of the graph; :func:`dyreg_regions` by
            default, ``GridNodes(32, (3,), edges=FullEdges())`` for the fixed grid.
        position: see :func:`dyreg_block`.

    Examples:
        >>> sum(p.numel() for p in dyreg_multi_sync_mnist().parameters())
        3080992
    """
    nodes = dyreg_regions() if nodes is None else nodes
    block = dyreg_block(nodes, 128, map_size=16, position=position)
    cnn = resnet18(num_classes, in_channels, stages=3)
    net = insert(cnn, {"layer2": block}, input_size=(in_channels, 128, 128))
    return CNNClassifier(net, num_classes)


@recipe
def dyreg_tsm_resnet50(
    num_classes: int = 174,
    places: Sequence[str] = ("layer2.2.conv2", "layer3.4.conv2", "layer4.1.conv2"),
    generator: Callable[[int, int, int, int], nn.Module] = LargeGenerator,
    num_nodes: int = 9,
    rounds: int = 3,
    anchors: Callable[[int], Tensor] = centre_anchors,
    online: bool = False,
    frame_size: int = 224,
    dropout: float = 0.5,
) -> CNNClassifier:
    """DyReG-GNN on Something-Something: graphs in the bottlenecks of TSM-ResNet-50.

    After the 3×3 convolution of a bottleneck, before its norm, at up to 256 channels (wider maps
    are projected). All three places are the paper's "r3-4-5" (28,701,830 parameters),
    ``("layer3.4.conv2",)`` its "r4" (25,700,598). For nodes of another kind put a block of them
    into :func:`tsm_resnet50`: ``insert(tsm_resnet50().net, {"layer3.4.conv2": block})``.

    Args:
        num_classes: K.
        places: modules that a graph block follows.
        generator: maker of region generators, called with channels, N, 128 and the side of the
            map; :func:`~stgraph.nodes.official_small_generator` is "lite".
        num_nodes: N, regions a frame.
        rounds: spatial iterations K = 3.
        anchors: where regions start: all at the centre, or by
            :func:`~stgraph.nodes.grid_anchors`.
        online: one-sided temporal shift, so that the net runs on a stream.
        frame_size: side of the frames that the weights of generators and position embeddings are
            made for; frames of other sizes may be passed all the same.
        dropout: of the pooled vector.

    Examples:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = dyreg_tsm_resnet50()
        >>> sum(p.numel() for p in model.parameters())
        28701830
    """

    cnn = resnet50(num_classes, dropout=dropout)
    block = _region_block(256, 128, num_nodes, rounds, generator, anchors)
    return _shifted(cnn, num_classes, {tuple(places): block}, online, frame_size)


@recipe
def dyreg_tsm_resnet18(
    num_classes: int = 174,
    places: Sequence[str] = ("layer2.1", "layer3.1"),
    width: int = 64,
    generator: Callable[[int, int, int, int], nn.Module] = LargeGenerator,
    num_nodes: int = 9,
    rounds: int = 3,
    anchors: Callable[[int], Tensor] = centre_anchors,
    online: bool = False,
    frame_size: int = 224,
    dropout: float = 0.5,
) -> CNNClassifier:
    """DyReG's graphs after stages of TSM-ResNet-18: a small model for videos of one's own.

    It is of no paper. It has less than half of the operations of :func:`dyreg_tsm_resnet50`.

    Args:
        num_classes: K.
        places: modules that a graph block follows.
        width: channels of the graphs.
        generator: maker of region generators, as in :func:`dyreg_tsm_resnet50`, called with 32 in
            place of 128.
        num_nodes: N, regions a frame.
        rounds: spatial iterations.
        anchors: where regions start.
        online: one-sided temporal shift, so that the net runs on a stream.
        frame_size: side of the frames that the weights of generators and position embeddings are
            made for; frames of other sizes may be passed all the same.
        dropout: of the pooled vector.

    Examples:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = dyreg_tsm_resnet18()
        >>> model(torch.zeros(1, 2, 3, 64, 64, device="meta")).logits.shape
        torch.Size([1, 174])
    """
    cnn = resnet18(num_classes, dropout=dropout)
    block = _region_block(width, 32, num_nodes, rounds, generator, anchors)
    return _shifted(cnn, num_classes, {tuple(places): block}, online, frame_size)


def _region_block(
    width: int,
    hidden: int,
    num_nodes: int,
    rounds: int,
    generator: Callable[[int, int, int, int], nn.Module],
    anchors: Callable[[int], Tensor],
) -> Callable[[Place], GraphBlock]:
    """A maker of graph blocks of at most so many channels."""

    def block(place: Place) -> GraphBlock:
        channels = min(place.channels, width)
        nodes = DynamicRegions(
            channels,
            num_nodes,
            edges=FullEdges(),
            generator=generator(channels, num_nodes, hidden, place.height),
            anchors=anchors,
        )
        return dyreg_block(nodes, place.channels, place.height, rounds)

    return block


def _shifted(
    cnn: nn.Module,
    num_classes: int,
    blocks: Mapping[tuple[str, ...], Callable[[Place], GraphBlock]],
    online: bool,
    frame_size: int,
) -> CNNClassifier:
    """A residual network with blocks in it, shifted in time before each of its own (TSM)."""
    net = insert(
        cnn,
        blocks,
        before={tuple(shifted_places(cnn)): TemporalShift(online=online)},
        input_size=(3, frame_size, frame_size),
    )
    return CNNClassifier(net, num_classes)
