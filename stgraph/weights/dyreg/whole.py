"""Whole models of the official DyReG and TSM code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from stgraph.backbones import BasicBlock, Bottleneck, ResNet, TemporalShift
from stgraph.checks import InputError, shape
from stgraph.classifiers import CNNClassifier
from stgraph.insertion import Inserted, insert
from stgraph.model import GraphBlock
from stgraph.weights.by_name import Loaded, load_by_name
from stgraph.weights.dyreg.block import (
    as_read,
    block_from_official,
    buffers_as_here,
    official_weights,
)
from stgraph.weights.dyreg.files import Source, weights_of
from stgraph.weights.dyreg.names import Parts, sort_names
from stgraph.weights.dyreg.recognise import note_recipe

__all__ = ["OfficialModel", "load_official", "model_from_official"]

_STAGES = 5
_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")


class OfficialModel(NamedTuple):
    """A model made of official weights, and what became of every name in the file."""

    model: CNNClassifier
    """In evaluation mode."""
    report: Loaded
    """Names used and skipped as they stand in the file; names missing as they stand in ``net``."""


def model_from_official(
    source: Source,
    rounds: int = 3,
    shift: TemporalShift | None = None,
    dropout: float = 0.5,
    aggregation: str | None = None,
    first: str = "sender",
) -> OfficialModel:
    """Build the model that official weights of DyReG or TSM belong to, and load them.

    Read off the weights: the residual network (18, 34, 50 and alike; any classes, channels and
    stages), what is shifted, where graphs are, and all that :func:`block_from_official` reads of
    each. Logits are averaged over frames.

    Args:
        source: a file (``.pth.tar``), or a state dict.
        rounds: spatial iterations of the graphs, which leave no trace in the weights; 3 in the
            official code.
        shift: the temporal shift, whose kind leaves no trace either; an eighth of the channels each
            way by default.
        dropout: of the pooled vector, in training.
        aggregation: see :func:`block_from_official`.
        first: see :func:`block_from_official`.

    Returns:
        The model, and a report of every name. ``skipped`` are names that are not understood, an
        attention that is not wanted, and buffers of cells that are none. All of the model is
        filled, but for counters of batches, which old files lack. If a recipe makes the same model,
        it is noted as the model's ``recipe``.

    Raises:
        InputError: when the file holds more than tensors and plain values, when these are not
            weights of a residual network with a classifier, or when a part of the model finds no
            weight or a graph has one that would not be used.

    Examples:
        >>> from stgraph.backbones import resnet18
        >>> weights = resnet18(num_classes=5, stages=2).state_dict()
        >>> state = {f"module.base_model.{name}": value for name, value in weights.items()}
        >>> model, report = model_from_official({"state_dict": state})
        >>> print(report)
        62 used, 0 skipped, 0 missing
    """
    state = weights_of(source)
    parts = sort_names(state)
    blocks = {}
    for place, names in parts.graphs.items():
        try:
            found = {name: state[theirs] for name, theirs in names.items()}
            read = as_read(found, aggregation, first)
            blocks[place] = block_from_official(read, rounds)
            parts.graphs[place] = {name: names[name] for name in read}
            state |= {names[name]: value for name, value in read.items()}
        except InputError as error:
            raise InputError(
                f"graph at {place!r}", "an official block", f"one with {error}"
            ) from error
    cnn = _cnn({name: state[theirs] for name, theirs in parts.cnn.items()}, dropout)
    before = {parts.shifted: TemporalShift() if shift is None else shift} if parts.shifted else {}
    side = _frame_side(parts, state)
    net = insert(cnn, blocks, before, input_size=(cnn.in_channels, side, side))
    report = _load(net, parts, state)
    model = CNNClassifier(net, cnn.num_classes).eval()
    note_recipe(model)
    return OfficialModel(model, report)


def load_official(model: nn.Module, source: Source) -> Loaded:
    """Load official weights of DyReG or TSM into a model that is there, as far as they fit.

    So a model with graphs starts from a trained TSM, or from a trained DyReG with other classes.

    Args:
        model: a classifier around a residual network, or the network itself, with or without
            blocks in it.
        source: a file (``.pth.tar``), or a state dict.

    Returns:
        Names used and skipped as they stand in the file, names missing as they stand in the
        network. A graph is loaded whole or not at all, and so is the classifier.

    Raises:
        InputError: when the rest of the network finds no weight of its shape, or the file is not
            one of weights.

    Examples:
        >>> from stgraph.recipes import dyreg_multi_sync_mnist, resnet18_multi_sync_mnist
        >>> trained = resnet18_multi_sync_mnist(num_classes=9)
        >>> print(load_official(dyreg_multi_sync_mnist(), trained.net.state_dict()))
        90 used, 2 skipped (fc.weight, fc.bias), 66 missing (fc.weight, fc.bias, graph_blocks...)
    """
    net = model.net if isinstance(model, CNNClassifier) else model
    state = weights_of(source)
    return _load(net, sort_names(state), state, optional=("fc.*", "graph_blocks.*"))


def _cnn(weights: Mapping[str, Tensor], dropout: float) -> ResNet:
    """An untrained residual network of the structure that the weights show."""
    blocks = {(int(match[1]), int(match[2])) for match in map(_BLOCK.match, weights) if match}
    last = max((stage for stage, _ in blocks), default=0)
    depths = [sum(stage == number for stage, _ in blocks) for number in range(1, last + 1)]
    # The widths of stages double, and of a file that is none they could be beyond all memory.
    if not 0 < len(depths) <= _STAGES or 0 in depths or "conv1.weight" not in weights:
        some = ", ".join(list(weights)[:3])
        raise InputError("source", "weights of a residual network", f"{some}, …")
    if "fc.weight" not in weights:
        raise InputError("source", "a classifier, `new_fc` or `fc`", "none")
    kind = Bottleneck if "layer1.0.conv3.weight" in weights else BasicBlock
    _, in_channels, _, _ = shape("conv1.weight", weights["conv1.weight"], "64 c 7 7")
    classes, _ = shape("fc.weight", weights["fc.weight"], "K C")
    return ResNet(kind, depths, classes, in_channels, dropout)


def _frame_side(parts: Parts, state: Mapping[str, Tensor]) -> int:
    """Side of the frames that the graphs are made for; the maps of stage 1 have a quarter of it."""
    for place, names in parts.graphs.items():
        if match := _BLOCK.match(place + "."):
            embedding = state[names["dynamic_graph.kernel_projection1.weight"]]
            cells = math.isqrt(embedding.shape[1])
            return cells * 4 << (int(match[1]) - 1)
    return 224


def _load(
    net: nn.Module, parts: Parts, state: Mapping[str, Tensor], optional: Sequence[str] = ()
) -> Loaded:
    """Load what fits, and say what became of every name."""
    origin = dict(parts.cnn)
    weights = {name: state[theirs] for name, theirs in origin.items()}
    buffers: list[str] = []
    for place, names in parts.graphs.items():
        graph = {name: state[theirs] for name, theirs in names.items()}
        block = _block_at(net, place)
        if block is None or (found := _matched(block, graph)) is None:
            continue
        for name, (official, value) in found.items():
            mine = f"graph_blocks.{place.replace('.', '/')}.{name}"
            origin[mine], weights[mine] = names[official], value
        buffers += [names[name] for name in buffers_as_here(graph)]
    loaded = load_by_name(net, weights, optional)
    used = {origin[name] for name in loaded.used}.union(buffers)
    return Loaded(
        tuple(name for name in state if name in used),
        tuple(name for name in state if name not in used),
        loaded.missing,
    )


def _block_at(net: nn.Module, place: str) -> GraphBlock | None:
    if not isinstance(net, Inserted) or place not in net.places:
        return None
    block = net.graph_blocks[place.replace(".", "/")]
    return block if isinstance(block, GraphBlock) else None


def _matched(
    block: GraphBlock, graph: Mapping[str, Tensor]
) -> dict[str, tuple[str, Tensor]] | None:
    try:
        return official_weights(block, graph)
    except InputError:
        return None
