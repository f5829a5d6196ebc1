"""Every option of a recipe or a CNN reaches a module: another value makes another model."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import cache
from inspect import Parameter, isfunction, signature
from typing import Any

import pytest
import torch
from large import LARGE
from torch import Tensor, nn

from stgraph import backbones, recipes
from stgraph.backbones import FixedStatsBatchNorm3d, PairMax3d, c2d_resnet50, c2d_resnet50_official
from stgraph.edges import FullEdges
from stgraph.layers import Broadcast, Displacement, Readout, ScaleUpdate
from stgraph.nodes import SmallGenerator, centre_anchors, grid_anchors
from stgraph.schedules import one_temp

COUNTS = {"num_classes": 7, "in_channels": 2}
GRAPH = {"scales": (2, 1), "edges": FullEdges(), "schedule": one_temp(before=("norm",))}
RSTG = {"width": 48, "scales": (2, 1), "edges": FullEdges()}
OFFICIAL = {**RSTG, **GRAPH, "heads": 2}
MAPS = {"places": ("layer1.2",), "cnn": c2d_resnet50}
RESNET = {**COUNTS, "stages": 3, "dropout": 0.17}
RESNET3D = {"norm": FixedStatsBatchNorm3d, "pool_padding": 0, "window": 3, "dropout": 0.17}
DYREG = {
    "num_classes": 7,
    "places": ("layer2.1",),
    "generator": SmallGenerator,
    "num_nodes": 4,
    "rounds": 2,
    "anchors": grid_anchors,
    "online": True,
    "frame_size": 160,
    "dropout": 0.17,
}


def nodes(width: int = 32) -> Any:
    return recipes.small_grid(width, scales=(2,))


OTHERS: dict[str, dict[str, Any]] = {
    "c2d": {"num_classes": 7, **RESNET3D},
    "c2d_official": {"num_classes": 7, "dropout": 0.17},
    "c2d_resnet50": {**COUNTS, **RESNET3D, "temporal_pool": PairMax3d},
    "c2d_resnet50_official": {**COUNTS, "dropout": 0.17},
    "conv_lstm": {**COUNTS, "channels": 16},
    "dyreg_block": {
        **{"nodes": nodes(24), "channels": 24, "map_size": 11, "rounds": 2},
        "position": Displacement(32),
    },
    "dyreg_multi_sync_mnist": {**COUNTS, "nodes": nodes(), "position": Displacement(32)},
    "dyreg_regions": {"width": 24, "num_nodes": 4, "map_size": 11, "anchors": grid_anchors},
    "dyreg_small": {"num_classes": 7, "nodes": nodes(), "rounds": 2},
    "dyreg_tsm_resnet18": {**DYREG, "width": 48},
    "dyreg_tsm_resnet50": {**DYREG, "places": ("layer3.4.conv2",)},
    "following_regions": {"width": 24, "num_nodes": 4, "half_size": 2.5},
    "frames_small": {"num_classes": 7},
    "i3d": {"num_classes": 7, **RESNET3D},
    "i3d_official": {"num_classes": 7, "dropout": 0.17},
    "i3d_resnet50": {**COUNTS, **RESNET3D, "temporal_pool": PairMax3d},
    "i3d_resnet50_official": {**COUNTS, "dropout": 0.17},
    "i3d_sync_mnist": COUNTS,
    "mean_lstm": {**COUNTS, "channels": 16},
    "motion_classes": {"num_classes": 7, "objects": 5, "width": 16},
    "motion_small": {"num_classes": 7, "nodes": nodes()},
    "motion_subsets": {"num_classes": 7, "num_nodes": 16, "width": 16, "half_size": 0.2},
    "non_local_i3d": {"num_classes": 7},
    "non_local_official": {"num_classes": 7, "dropout": 0.17},
    "non_local_sync_mnist": COUNTS,
    "residual_small": {"num_classes": 7, "nodes": nodes(), "position": Displacement(32)},
    "resnet18": RESNET,
    "resnet18_multi_sync_mnist": COUNTS,
    "resnet34": RESNET,
    "resnet50": RESNET,
    "rstg_block": {
        "channels": 24,
        **RSTG,
        "schedule": OFFICIAL["schedule"],
        "remap": Broadcast(Readout("sum")),
    },
    "rstg_block_official": {"channels": 24, **OFFICIAL, "remap": Broadcast(Readout("sum"))},
    "rstg_stage_official": {"channels": 24, **OFFICIAL},
    "rstg_sync_mnist": {**COUNTS, **GRAPH, "channels": 16, "positional": False},
    "rstg_sync_mnist_official": {
        **COUNTS,
        **GRAPH,
        "heads": 2,
        "channels": 16,
        "positions": None,
        "update": ScaleUpdate,
    },
    "rstg_to_map": {"num_classes": 7, **RSTG, **MAPS},
    "rstg_to_map_official": {"num_classes": 7, **OFFICIAL, **MAPS, "cnn": c2d_resnet50_official},
    "rstg_to_vec": {"num_classes": 7, **RSTG, "cnn": c2d_resnet50},
    "rstg_to_vec_official": {"num_classes": 7, **OFFICIAL, "cnn": c2d_resnet50_official},
    "rstg_to_vec_serial_official": {"num_classes": 7, **OFFICIAL, "cnn": c2d_resnet50_official},
    "small_followers": {"width": 24, "num_nodes": 4},
    "small_grid": {"width": 24, "scales": (2, 1)},
    "small_i3d": {**COUNTS, "dropout": 0.17},
    "small_regions": {"width": 24, "num_nodes": 4},
    "small_video": {"num_classes": 7, "nodes": nodes(), "map_size": 11},
    "still_regions": {"width": 24, "num_nodes": 4, "half_size": 2.5},
    "tsm_resnet50": {"num_classes": 7, "online": True, "dropout": 0.17},
}
"""Other values than the defaults, of each option of each function that makes a model or a part."""
NEEDED: dict[str, Any] = {"num_classes": 5, "channels": 16, "map_size": 8}
HELPERS = {"inflate", "shifted_places"}


def maker(name: str) -> Any:
    return getattr(recipes, name, None) or getattr(backbones, name)


def needed(name: str) -> dict[str, Any]:
    """Values for what has no default."""
    return {
        option: nodes() if option == "nodes" else NEEDED[option]
        for option, known in signature(maker(name)).parameters.items()
        if known.default is Parameter.empty
    }


def told(part: object) -> object:
    """What an attribute says of how a model is built; of what says nothing else, its type."""
    if isinstance(part, Tensor):
        small = part.numel() < 100 and not (part.is_meta or part.requires_grad)
        return tuple(part.shape), part.tolist() if small else None
    if isinstance(part, (tuple, list)):
        return tuple(told(one) for one in part)
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    return repr(part) if is_dataclass(part) else getattr(part, "__qualname__", type(part).__name__)


def structure(model: nn.Module) -> dict[str, object]:
    """All attributes of all modules, by name; of tensors the sizes, and small constants."""
    said: dict[str, object] = {}
    for place, module in model.named_modules():
        public = {name: value for name, value in vars(module).items() if name[0] != "_"}
        tensors = {**module._buffers, **module._parameters}
        said[place] = type(module), {k: told(v) for k, v in (public | tensors).items()}
    return said


def made(name: str, **changes: object) -> dict[str, object]:
    """The structure of what a function makes; of a whole model without allocating its weights."""
    light = name.endswith(("_block", "_regions", "_followers", "_grid")) or "anchors" in changes
    with torch.device("cpu" if light else "meta"), pytest.MonkeyPatch.context() as patch:
        for drawn in () if light else ("uniform_", "normal_"):  # slow, and for nothing
            patch.setattr(Tensor, drawn, lambda weight, *_, **__: weight)
        return structure(maker(name)(**{**needed(name), **changes}))


@cache
def usual(name: str, light: bool) -> dict[str, object]:
    return made(name, **({"anchors": centre_anchors} if light else {}))


def test_no_option_is_left_out() -> None:
    makers = [name for name in backbones.__all__ if isfunction(getattr(backbones, name))]
    assert set(OTHERS) == {*recipes.__all__, *makers} - HELPERS
    for name in OTHERS:
        assert set(OTHERS[name]) == set(signature(maker(name)).parameters), name


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, one, marks=pytest.mark.slow if name in LARGE else ())
        for name in OTHERS
        for one in OTHERS[name]
    ],
)
def test_another_value_makes_another_model(name: str, option: str) -> None:
    assert made(name, **{option: OTHERS[name][option]}) != usual(name, option == "anchors")
