"""Models of this library as variables of the official RSTG code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stgraph.backbones import ConvStack, NonLocalBlock, ResNet3d
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.layers import Broadcast, DotAttention, SpaceLayer
from stgraph.model import GraphBlock, GraphStage, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.weights.rstg.graph import positions
from stgraph.weights.rstg.heads import split_heads
from stgraph.weights.rstg.layouts import RESIDUAL, Layout, Linear
from stgraph.weights.rstg.lstm import LSTM
from stgraph.weights.rstg.places import GRAPH_AFTER, stage_name
from stgraph.weights.rstg.ties import (
    Tie,
    graph_ties,
    net_ties,
    non_local_ties,
    position_of,
    spans_time,
    stack_ties,
    write,
)

__all__ = ["rstg_to_official"]

GRAPH = "whole_graph_model_"
BACKBONE = "backbone/"


def rstg_to_official(
    model: nn.Module, tag: str = "x", lstm: str = "tensorflow"
) -> dict[str, np.ndarray[Any, Any]]:
    """Write a model's weights as the official RSTG code has them.

    What :func:`rstg_from_official` and :func:`rstg_graph_from_official` read comes out as it went
    in, and what this writes they read as the same model.

    Args:
        model: RSTG's model for SyncMNIST, a C2D or I3D with or without graphs, a graph block or a
            space-time graph.
        tag: of a graph by itself, what is behind ``whole_graph_model_``; in whole models that is
            where the graph is.
        lstm: ``"tensorflow"``, one kernel and the sum of both biases; or ``"cudnn"``, an opaque row
            that keeps both.

    Returns:
        Arrays by the names of variables, in the type of the weights, with the constant of positions
        where messages have them.

    Raises:
        InputError: when a part of the model is none of the official code, or NumPy has no such
            type as its weights are.

    Examples:
        >>> from stgraph.recipes import rstg_block_official
        >>> state = rstg_to_official(rstg_block_official(16, width=8), tag="res3")
        >>> state["whole_graph_model_res3/project_i3d/kernel"].shape
        (16, 8)
    """
    layout = LSTM(lstm)
    if isinstance(model, CNNClassifier):
        made = _of_cnn(model, layout)
    elif isinstance(model, GraphClassifier):
        made = _of_sync_mnist(model, layout)
    elif isinstance(model, GraphStage):
        made = _of_block(model, tag, layout, f"{tag}_after_graph_ln")
    elif isinstance(model, SpaceTimeGraph):
        made = _of_net(model, tag, layout)
    else:
        raise InputError("model", "a model, block or graph of RSTG", type(model).__name__)
    return {name: _array(name, value) for name, value in made.items()}


def _array(name: str, value: Tensor) -> NDArray[Any]:
    try:
        return np.ascontiguousarray(value.numpy())
    except TypeError as error:  # of bfloat16, for instance
        expected = "weights of a type that NumPy has"
        raise InputError("model", expected, f"{value.dtype} in {name}") from error


def _of_cnn(model: CNNClassifier, layout: Layout) -> dict[str, Tensor]:
    net = model.net
    cnn = net.bare()
    if not isinstance(cnn, ResNet3d):
        raise InputError("model", "a C2D or I3D", type(cnn).__name__)
    stages = [place for place in net.places if place != "layer4"]
    graphs = sum(isinstance(net.graph_blocks[p.replace(".", "/")], GraphStage) for p in stages)
    named = spans_time(cnn) or graphs > 1  # C2D's norms do not say where they are
    made = {}
    for name, value in write(cnn, net_ties(cnn)).items():
        made[name if name.startswith("pred/") else BACKBONE + name] = value
    for place, block in zip(net.places, net.graph_blocks.values(), strict=True):
        if isinstance(block, NonLocalBlock):
            stage, number = _stage_and_block(place)
            name = f"{BACKBONE}nonlocal_conv{stage}_{number}"
            for ending, value in write(block, non_local_ties(block)).items():
                made[name + ending] = value
        elif isinstance(block, GraphStage):
            tag = _tag(place)
            scope = "" if tag == "final" else BACKBONE
            norm = f"{scope}{tag}_after_graph_ln" if named else f"{scope}after_graph_ln"
            made |= _of_block(block, tag, layout, norm, scope)
        else:
            raise InputError("model", f"a graph or non-local block at {place}", block)
    return made


def _stage_and_block(place: str) -> tuple[int, int]:
    stage, _, number = place.removeprefix("layer").partition(".")
    if not (stage.isdigit() and number.isdigit()):
        raise InputError("model", "blocks behind blocks of stages", place)
    return int(stage) + 1, int(number)


def _tag(place: str) -> str:
    """``res2`` … ``res5``, ``final``."""
    names = {f"{stage_name(stage)}.{block}": f"res{stage}" for stage, block in GRAPH_AFTER.items()}
    names["layer4"] = "final"
    if place not in names:
        raise InputError("model", f"graphs at {sorted(names)}", place)
    return names[place]


def _of_sync_mnist(model: GraphClassifier, layout: Layout) -> dict[str, Tensor]:
    if not isinstance(model.backbone, ConvStack):
        raise InputError("model", "the CNN of SyncMNIST", type(model.backbone).__name__)
    return {
        **write(model.backbone, stack_ties(model.backbone)),
        **_of_net(model.net, "final", layout),
        **write(model.classifier, iter([Tie("", "pred", Linear(3))])),
    }


def _of_block(
    block: GraphStage, tag: str, layout: Layout, norm: str, scope: str = ""
) -> dict[str, Tensor]:
    made = _of_net(block.net, tag, layout, scope)
    rest = nn.ModuleDict({name: m for name, m in block.named_children() if name != "net"})
    remap = block.remap
    ties = [Tie("norm", norm, RESIDUAL)] if isinstance(block, GraphBlock) else []
    if isinstance(remap, Broadcast) and remap.norm is not None:
        ties.append(Tie("remap.norm", norm, RESIDUAL))
    return made | write(rest, iter(ties))


def _of_net(net: SpaceTimeGraph, tag: str, layout: Layout, scope: str = "") -> dict[str, Tensor]:
    theirs = write(net, graph_ties(net, layout))
    heads = _heads(net)
    if heads > 1:
        theirs = split_heads(theirs, heads)
    made = {f"{scope}{GRAPH}{tag}/{name}": value for name, value in theirs.items()}
    place = position_of(net)
    if place is not None and isinstance(net.nodes, GridNodes):
        made["positional_emb"] = positions(net.nodes.scales, place.size).float()
    return made


def _heads(net: SpaceTimeGraph) -> int:
    """Of a graph's attention; the official code has several of dot products with projections."""
    for layer in net.layers.values():
        if isinstance(layer, SpaceLayer) and layer.gather.heads > 1:
            if not isinstance(layer.gather, DotAttention) or layer.gather.value is None:
                expected = "several heads of dot products and projections alone"
                raise InputError("model", expected, layer.gather)
            return layer.gather.heads
    return 1
