"""Which recipe makes a model that official weights made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import nn

from stgraph.backbones import ConvStack, NonLocalBlock, c2d_resnet50_official, i3d_resnet50_official
from stgraph.classifiers import CNNClassifier, GraphClassifier, VideoClassifier
from stgraph.edges import EdgeBuilder, GridEdges
from stgraph.layers import Broadcast, MLPUpdate, Update
from stgraph.model import GraphBlock, GraphStage, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.recipes import (
    c2d_official,
    i3d_official,
    non_local_official,
    rstg_sync_mnist_official,
    rstg_to_map_official,
    rstg_to_vec_official,
    rstg_to_vec_serial_official,
)
from stgraph.weights.rstg.ties import position_of, spans_time
from stgraph.weights.twins import note_twin

__all__ = ["note_recipe"]


def note_recipe(model: VideoClassifier) -> None:
    """Note the recipe of the same model, if there is one, so that its file can say what it is."""
    make: Callable[..., nn.Module]
    if isinstance(model, GraphClassifier):
        make, options = rstg_sync_mnist_official, _of_sync_mnist(model)
    elif isinstance(model, CNNClassifier):
        make, options = _of_cnn(model)
    else:
        return
    note_twin(model, make, options)


def _of_sync_mnist(model: GraphClassifier) -> dict[str, Any]:
    stack = cast(ConvStack, model.backbone)
    options = _of_graph(model.net, (64, 64))
    place = position_of(model.net)
    return options | {
        "num_classes": model.num_classes,
        "in_channels": stack.in_channels,
        "channels": stack.out_channels,
        "schedule": model.net.schedule,
        "positions": None if place is None else place.size,
        "update": next((type(u) for u in model.modules() if isinstance(u, Update)), MLPUpdate),
    }


def _of_cnn(model: CNNClassifier) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    net = model.net
    blocks = dict(zip(net.places, net.graph_blocks.values(), strict=True))
    graphs = {name: block for name, block in blocks.items() if isinstance(block, GraphStage)}
    in_time = spans_time(net)
    options: dict[str, Any] = {"num_classes": model.num_classes}
    if not graphs:
        options["dropout"] = cast(nn.Dropout, net.dropout).p
        if any(isinstance(block, NonLocalBlock) for block in blocks.values()):
            return non_local_official, options
        return (i3d_official if in_time else c2d_official), options
    first = next(iter(graphs.values()))
    inner = [n for n in first.net.schedule if n not in ("project_in", "project_out")]
    options |= _of_graph(first.net, (224, 224))
    options["schedule"] = tuple(inner)
    options["cnn"] = i3d_resnet50_official if in_time else c2d_resnet50_official
    options["width"] = cast(Any, first.net.layers["last"]).out_channels
    if isinstance(first.remap, Broadcast):
        serial = not isinstance(first, GraphBlock)
        return (rstg_to_vec_serial_official if serial else rstg_to_vec_official), options
    return rstg_to_map_official, options | {"places": tuple(graphs)}


def _of_graph(net: SpaceTimeGraph, frame: tuple[int, int]) -> dict[str, Any]:
    """Scales, and edges if they are not those that the recipe has by itself."""
    scales = cast(GridNodes, net.nodes).scales
    edges: EdgeBuilder | None = net.nodes.edges
    usual = isinstance(edges, GridEdges) and (edges.scales, edges.frame) == (scales, frame)
    return {"scales": scales, "edges": None if usual else edges}
