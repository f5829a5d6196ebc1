"""Whole models of the official RSTG code: SyncMNIST's, C2D and I3D with graphs in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from stgraph.backbones import (
    ConvStack,
    FixedStatsBatchNorm3d,
    NonLocalBlock,
    PairMax3d,
    ResNet3d,
    Stage,
)
from stgraph.checks import InputError, choice, integer, shape
from stgraph.classifiers import CNNClassifier, GraphClassifier, VideoClassifier
from stgraph.edges import EdgeBuilder
from stgraph.insertion import insert
from stgraph.layers import Readout
from stgraph.model import SpaceTimeGraph
from stgraph.weights.by_name import Loaded
from stgraph.weights.rstg.files import Source, variables_of
from stgraph.weights.rstg.graph import GraphOptions, constants, make_graph
from stgraph.weights.rstg.layouts import Linear, Weights
from stgraph.weights.rstg.loading import Part, load_parts, part_of
from stgraph.weights.rstg.names import Names, residual_tags, sort_names
from stgraph.weights.rstg.places import place_of_graph, places_of_non_local
from stgraph.weights.rstg.recognise import note_recipe
from stgraph.weights.rstg.ties import Tie, net_ties, non_local_ties, stack_ties

__all__ = ["OfficialRSTG", "rstg_from_official"]

_CLIP = (32, 224, 224)
_STRIDED = (3, 4)
"""Stages whose first block halves the map, which leaves no trace."""
_BLOCK = re.compile(r"res(\d)_(\d+)_branch2a/kernel")


class OfficialRSTG(NamedTuple):
    """A model made of official weights of RSTG, and what became of every name in the file."""

    model: VideoClassifier
    """In evaluation mode."""
    report: Loaded
    """Names used and skipped as they stand in the file; names missing as in the model, or in its
    ``net`` where that is a CNN with blocks."""


def rstg_from_official(
    source: Source,
    rounds: int = 3,
    edges: str | EdgeBuilder | Any = "grid",
    scales: int | Sequence[int] | None = None,
    frame: int | None = None,
    places: Mapping[str, str] | None = None,
    dropout: float = 0.3,
    window: int | None = 14,
    forget_bias: float = 1.0,
    comb_type: str | None = None,
) -> OfficialRSTG:
    """Build the model that official weights of RSTG belong to, and load them.

    Read off the weights: SyncMNIST's CNN, or C2D or I3D of any depth, by the frames that its
    convolutions span; classes and channels; where graphs are, one or several, in the stages or at
    the end; non-local blocks; and all that :func:`rstg_graph_from_official` reads of each graph.

    Args:
        source: an ``.npz``, or arrays by the names of variables, as a reader of TensorFlow's
            checkpoints gives them; with or without ``:0``, scopes of towers, slots of optimisers
            and other variables among them.
        rounds: spatial iterations K of the graphs, which leave no trace; 3 in the official
            configurations.
        edges: see :func:`rstg_graph_from_official`.
        scales: see :func:`rstg_graph_from_official`.
        frame: side of the frames in pixels, which the adjacency of the grids is computed for; 64
            for SyncMNIST's model and 224 for others by default.
        places: where graphs and non-local blocks are, by their scopes, if their names do not say:
            ``"res2"`` … ``"res5"``, ``"final"``, or a module of the CNN, such as ``"layer2.2"``.
        dropout: of the pooled vector, in training.
        window: side of the last averages: 14, as in the official code, or ``None`` for whole maps.
        forget_bias: see :func:`rstg_graph_from_official`.
        comb_type: of a graph at the end of C2D or I3D, which leaves no trace: its vector joins the
            pooled maps, ``"plus"``, or is classified alone, ``"serial"``. By default ``"plus"`` if
            there is a norm of the vector, as in the official configurations.

    Returns:
        The model, and a report of every name. ``skipped`` are slots of optimisers and what is not
        understood. All of the model is filled, but for counters of batches, which TensorFlow does
        not have. If a recipe makes the same model, it is noted as the model's ``recipe``.

    Raises:
        InputError: when these are not weights of such a model, when a variable is missing, has
            another shape or would not be used, or when a name does not say where a graph is.
    """
    state = variables_of(source)
    found = sort_names(name for name, value in state.items() if value.numel())
    if frame is None:
        frame = 64 if found.stack else 224
    options = GraphOptions(integer("rounds", rounds, 0), edges, scales, frame, forget_bias)
    if comb_type is not None:
        choice("comb_type", comb_type, ("plus", "serial"))
    if found.stack:
        made = _sync_mnist(found, state, options)
    else:
        cnn = _cnn(found, state, dropout, window)
        made = _with_graphs(cnn, found, state, options, places or {}, comb_type)
    report = load_parts(made.filled, made.parts, state, constants(found, state, made.nets))
    made.model.eval()
    note_recipe(made.model)
    return OfficialRSTG(made.model, report)


class _Made(NamedTuple):
    """A model, untrained, and what it is to be filled with."""

    model: VideoClassifier
    filled: nn.Module
    """The module that the names of the parts are in: all of its parameters."""
    parts: list[Part]
    nets: list[SpaceTimeGraph]


def _sync_mnist(found: Names, state: Weights, options: GraphOptions) -> _Made:
    """SyncMNIST's model: CNN, graph, sum of nodes, classifier."""
    if len(found.graphs) != 1:
        raise InputError("source", "one graph after SyncMNIST's CNN", list(found.graphs))
    if found.residuals:
        expected = "a graph alone after SyncMNIST's CNN"
        raise InputError("source", expected, f"a residual's norm, {list(found.residuals)}")
    (scope,) = found.graphs
    first = state[_named(found.stack, "conv0/conv2d/kernel")]
    *_, in_channels, channels = shape("conv0/conv2d/kernel", first, "h w c C")
    stack = ConvStack(in_channels, channels, depth=len({name[:5] for name in found.stack}))
    made = make_graph(found, scope, None, state, options, "nodes")
    model = GraphClassifier(stack, made.net, _classes(found, state), Readout("sum"))
    parts = [
        part_of("backbone.", stack, stack_ties(stack), found.stack, state),
        made.part._replace(prefix="net."),
        part_of("classifier.", model.classifier, [Tie("", "pred", Linear(3))], found.head, state),
    ]
    return _Made(model, model, parts, [made.net])


def _with_graphs(
    cnn: ResNet3d,
    found: Names,
    state: Weights,
    options: GraphOptions,
    told: Mapping[str, str],
    comb_type: str | None,
) -> _Made:
    """C2D or I3D with its graphs and non-local blocks."""
    residuals = residual_tags(found)
    blocks: dict[str, nn.Module] = {}
    parts = [part_of("", cnn, net_ties(cnn), {**found.cnn, **found.head}, state)]
    nets: list[SpaceTimeGraph] = []

    def put(place: str, name: str, part: Part) -> None:
        if place in blocks:
            raise InputError("places", f"one block at {place}", f"two, {name!r} too")
        blocks[place] = part.module
        parts.append(part._replace(prefix=f"graph_blocks.{place.replace('.', '/')}."))

    for scope in found.graphs:
        place, form = place_of_graph(scope, told, _channels_of(found, scope, state))
        residual = residuals.get(scope)
        usual = "serial" if residual is None else "plus"
        if form == "vec" and (usual if comb_type is None else comb_type) == "serial":
            form = "serial"
        made = make_graph(found, scope, residual, state, options, form)
        put(place, scope, made.part)
        nets.append(made.net)
    widths = {
        name: state[_named(names, "_theta/kernel")].shape[-2]
        for name, names in found.non_local.items()
    }
    for name, place in places_of_non_local(widths, told).items():
        block = NonLocalBlock(widths[name], FixedStatsBatchNorm3d, nn.MaxPool3d((1, 2, 2)))
        put(place, name, part_of("", block, non_local_ties(block), found.non_local[name], state))
    net = insert(cnn, blocks, input_size=(cnn.in_channels, *_CLIP))
    return _Made(CNNClassifier(net, cnn.num_classes), net, parts, nets)


def _cnn(found: Names, state: Weights, dropout: float, window: int | None) -> ResNet3d:
    """An untrained C2D or I3D of the structure that the weights show."""
    blocks = {(int(match[1]), int(match[2])) for match in map(_BLOCK.match, found.cnn) if match}
    depths = [sum(stage == number for stage, _ in blocks) for number in range(2, 6)]
    while depths and not depths[-1]:
        depths.pop()
    if not depths or 0 in depths:
        some = ", ".join(list(state)[:3])
        raise InputError("source", "variables of SyncMNIST's model, C2D or I3D", f"{some}, …")
    stages = []
    for number, depth in enumerate(depths, start=2):
        first = [_kernel(found, state, f"res{number}_{k}_branch2a/kernel") for k in range(depth)]
        frames = tuple(kernel.shape[0] for kernel in first)
        stages.append(Stage(first[0].shape[-1], frames, 2 if number in _STRIDED else 1))
    stem = _kernel(found, state, "conv1/kernel")
    return ResNet3d(
        stages,
        _classes(found, state),
        stem.shape[-2],
        stem.shape[0],
        pool_padding=0,
        dropout=dropout,
        norm=FixedStatsBatchNorm3d,
        window=window,
        temporal_pool=PairMax3d(),
    )


def _kernel(found: Names, state: Weights, name: str) -> Tensor:
    kernel = state[_named(found.cnn, name)]
    shape(name, kernel, "t h w c C")
    return kernel


def _classes(found: Names, state: Weights) -> int:
    return state[_named(found.head, "pred/bias")].numel()


def _channels_of(found: Names, scope: str, state: Weights) -> int:
    """Channels of the maps of a graph, from its linear map in or its first norm."""
    names = found.graphs[scope]
    for name, axis in (("project_i3d/kernel", -2), ("before_graf_ln/gamma", -1)):
        if name in names and state[names[name]].dim() >= -axis:
            return state[names[name]].shape[axis]
    return 0


def _named(names: Mapping[str, str], name: str) -> str:
    """The name in the file of a variable that there must be."""
    if name not in names:
        raise InputError("source", f"the variable `{name}`", "none")
    return names[name]
