"""Which recipe makes a model that official weights made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from stgraph.backbones import TemporalShift
from stgraph.classifiers import CNNClassifier
from stgraph.model import GraphBlock
from stgraph.nodes import (
    DynamicRegions,
    LargeGenerator,
    centre_anchors,
    grid_anchors,
    official_small_generator,
)
from stgraph.recipes import dyreg_tsm_resnet50, tsm_resnet50
from stgraph.weights.twins import note_twin

__all__ = ["note_recipe"]


def note_recipe(model: CNNClassifier) -> None:
    """Note the recipe of the same model, if there is one, so that its file can say what it is."""
    blocks = model.net.graph_blocks.values()
    shift = next((block for block in blocks if isinstance(block, TemporalShift)), None)
    graphs = [block for block in blocks if isinstance(block, GraphBlock)]
    options: dict[str, Any] = {
        "num_classes": model.num_classes,
        "online": shift is not None and shift.causal,
        "dropout": cast(nn.Dropout, model.net.dropout).p,
    }
    make: Callable[..., CNNClassifier] = tsm_resnet50
    start: Callable[[int], Tensor] | None = centre_anchors
    if graphs:
        regions = cast(DynamicRegions, graphs[0].net.nodes)
        start = _start([cast(DynamicRegions, block.net.nodes).anchor for block in graphs])
        make = dyreg_tsm_resnet50
        options |= {
            "places": [name for name in model.net.places if not name.endswith(":before")],
            "generator": (
                LargeGenerator
                if isinstance(regions.generator, LargeGenerator)
                else official_small_generator
            ),
            "num_nodes": regions.num_nodes,
            "rounds": graphs[0].net.schedule.count("space"),
            "anchors": start,
            "frame_size": model.net.input_size[1],
        }
    if start is None or not note_twin(model, make, options):
        return
    for block in graphs:  # the same to the last digit
        anchor = cast(DynamicRegions, block.net.nodes).anchor
        anchor.copy_(start(len(anchor)))


def _start(anchors: list[Tensor]) -> Callable[[int], Tensor] | None:
    """What puts all regions where they start, if one function does."""
    square = all(math.isqrt(len(anchor)) ** 2 == len(anchor) for anchor in anchors)
    for make in (centre_anchors, grid_anchors) if square else (centre_anchors,):
        if all(torch.allclose(anchor, make(len(anchor))) for anchor in anchors):
            return make
    return None
