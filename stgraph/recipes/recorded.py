"""Recipes that remember what they were called with, so that a model's file can say what it is."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from torch import nn

from stgraph.backbones import (
    FixedStatsBatchNorm3d,
    c2d_resnet50,
    c2d_resnet50_official,
    i3d_resnet50,
    i3d_resnet50_official,
)
from stgraph.edges import FullEdges, GridEdges
from stgraph.layers import MLPUpdate, ScaleUpdate
from stgraph.nodes import (
    LargeGenerator,
    SmallGenerator,
    centre_anchors,
    grid_anchors,
    official_small_generator,
)

__all__ = ["FUNCTIONS", "PARTS", "Part", "Recipe", "Unwritten", "recipe"]

P = ParamSpec("P")
M = TypeVar("M", bound=nn.Module)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "stgraph.backbones.c2d_resnet50": c2d_resnet50,
    "stgraph.backbones.c2d_resnet50_official": c2d_resnet50_official,
    "stgraph.backbones.i3d_resnet50": i3d_resnet50,
    "stgraph.backbones.i3d_resnet50_official": i3d_resnet50_official,
    "stgraph.backbones.FixedStatsBatchNorm3d": FixedStatsBatchNorm3d,
    "stgraph.layers.MLPUpdate": MLPUpdate,
    "stgraph.layers.ScaleUpdate": ScaleUpdate,
    "stgraph.nodes.LargeGenerator": LargeGenerator,
    "stgraph.nodes.SmallGenerator": SmallGenerator,
    "stgraph.nodes.official_small_generator": official_small_generator,
    "stgraph.nodes.centre_anchors": centre_anchors,
    "stgraph.nodes.grid_anchors": grid_anchors,
    "torch.nn.BatchNorm3d": nn.BatchNorm3d,
}
"""Functions that a recipe may be given and that a file may name; a file can call no others."""


PARTS: dict[str, type[Any]] = {
    "stgraph.edges.FullEdges": FullEdges,
    "stgraph.edges.GridEdges": GridEdges,
}
"""Classes of small parts that a file may name: made of plain values, which they keep by name."""


class Part(NamedTuple):
    """A part of :data:`PARTS`: its class, and what it was made of."""

    name: str
    arguments: dict[str, Any]


class Unwritten(NamedTuple):
    """An argument that plain values cannot say: a module or a function of one's own."""

    what: str


class Recipe(NamedTuple):
    """A recipe's name and what it was called with."""

    name: str
    arguments: dict[str, Any]
    """All arguments, defaults too: ``None``, numbers, strings, tuples and dicts of such, functions
    of :data:`FUNCTIONS`, parts of :data:`PARTS`, other recipes, or :class:`Unwritten`."""


def recipe(make: Callable[P, M]) -> Callable[P, M]:
    """Let a function that makes a module note, on the module, what it was called with.

    The note is the module's ``recipe``, a :class:`Recipe`. It tells how the module was made, not
    what became of it afterwards.

    Examples:
        >>> from stgraph.recipes import dyreg_small, small_grid
        >>> dyreg_small(5, nodes=small_grid()).recipe.arguments
        {'num_classes': 5, 'nodes': Recipe(name='small_grid', ...), 'rounds': 1}
    """
    signature = inspect.signature(make)

    @functools.wraps(make)
    def noted(*args: P.args, **options: P.kwargs) -> M:
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        arguments = {name: _plain(value) for name, value in bound.arguments.items()}
        made = make(*args, **options)
        made.recipe = cast(Any, Recipe(make.__name__, arguments))
        return made

    return noted


def _plain(value: Any) -> Any:
    """A value as it can be written down, or :class:`Unwritten`."""
    if value is None or isinstance(value, (bool, str, Recipe, Part, Unwritten)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping) and all(_is_key(key) for key in value):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, nn.Module) and isinstance(getattr(value, "recipe", None), Recipe):
        return value.recipe
    if any(value is function for function in FUNCTIONS.values()):
        return value
    for name, part in PARTS.items():
        if type(value) is part:
            known = inspect.signature(part).parameters
            return Part(name, {key: _plain(getattr(value, key)) for key in known})
    kind = value if inspect.isfunction(value) else type(value)
    return Unwritten(f"{kind.__module__}.{kind.__qualname__}")


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and not key.startswith("$")  # which marks what is no dict
