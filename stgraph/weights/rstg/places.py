"""Where graphs and non-local blocks are in C2D and I3D, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stgraph.checks import InputError
from stgraph.weights.rstg.names import stage_of

__all__ = ["GRAPH_AFTER", "place_of_graph", "places_of_non_local", "stage_name"]

GRAPH_AFTER = {2: 1, 3: 2, 4: 4, 5: 1}
"""The block of a stage that its graph follows in the official code."""
NON_LOCAL_AFTER = {3: (1, 3), 4: (1, 3, 5)}
"""The blocks that non-local ones follow there."""

_FINAL = re.compile(r"(?:^|[/_])(?:final|last|vec)$")
_BLOCK = re.compile(r"(?<!\d)([2-5])_(\d+)(?!\d)")
_MODULE = re.compile(r"layer\d+(?:\.\d+)*")
_OF_WIDTH = {256: 2, 512: 3, 1024: 4}
"""Stages of ResNet-50 by the channels of their maps; 2048 are those of the fifth and of the end."""


def stage_name(stage: int) -> str:
    """The module of a stage ``res2`` … ``res5``: ``layer1`` … ``layer4``."""
    return f"layer{stage - 1}"


def place_of_graph(scope: str, told: Mapping[str, str], channels: int) -> tuple[str, str]:
    """The module of the CNN that a graph follows, and whether it is one to ``"map"`` or ``"vec"``.

    Args:
        scope: the graph's scope.
        told: places by scopes, for those that do not say.
        channels: of the graph's maps, which tell the stage where nothing else does.

    Raises:
        InputError: when nothing does, or it is no place.

    Examples:
        >>> place_of_graph("whole_graph_model_res4", {}, 1024)
        ('layer3.4', 'map')
    """
    name = _told(scope, told)
    if name is not None and re.fullmatch(_MODULE, name):
        return name, "map"
    if name not in (None, "final", "res2", "res3", "res4", "res5"):
        raise InputError("places", "res2 … res5, final, or a module `layer…` of the CNN", name)
    if name == "final" or (name is None and _FINAL.search(scope)):
        return "layer4", "vec"
    stage = stage_of(scope if name is None else name)
    if stage is None:
        if channels not in _OF_WIDTH:
            expected = f"where the graph {scope!r} is, as its name does not say"
            raise InputError("places", expected, dict(told))
        stage = _OF_WIDTH[channels]
    return f"{stage_name(stage)}.{GRAPH_AFTER[stage]}", "map"


def _told(scope: str, told: Mapping[str, str]) -> str | None:
    """A place by a scope, or by the last part of one."""
    return told.get(scope, told.get(scope.rpartition("/")[2]))


def places_of_non_local(channels: Mapping[str, int], told: Mapping[str, str]) -> dict[str, str]:
    """Modules of the CNN that non-local blocks follow, by their names.

    A name says its stage, and the block in it, as in ``nonlocal_conv3_1``. Where it does not say
    the block, those of the official code are taken, in order; where it does not say the stage, its
    channels do.

    Args:
        channels: of the blocks, by their names.
        told: places by names, for those that do not say.

    Raises:
        InputError: when that is not enough.

    Examples:
        >>> places_of_non_local({"nonlocal_conv3_1": 512, "nl_b": 1024}, {"nl_b": "layer3.5"})
        {'nonlocal_conv3_1': 'layer2.1', 'nl_b': 'layer3.5'}
    """
    places: dict[str, str] = {}
    by_stage: dict[int, list[str]] = {}
    for name, width in channels.items():
        own = _told(name, told) or name
        stage = stage_of(own) or _OF_WIDTH.get(width)
        if re.fullmatch(_MODULE, own):
            places[name] = own
        elif match := _BLOCK.search(own):
            places[name] = f"{stage_name(int(match[1]))}.{match[2]}"
        elif stage is not None:
            by_stage.setdefault(stage, []).append(name)
        else:
            expected = f"where the non-local block {name!r} is, as its name does not say"
            raise InputError("places", expected, dict(told))
    for stage, names in by_stage.items():
        after = NON_LOCAL_AFTER.get(stage, ())
        if len(names) != len(after):
            raise InputError("places", f"places of the non-local blocks {names}", dict(told))
        blocks = zip(names, after, strict=True)
        places |= {name: f"{stage_name(stage)}.{number}" for name, number in blocks}
    return places
