"""From variables to the tensors of a module, with an account of every name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stgraph.checks import InputError
from stgraph.weights.by_name import Loaded, load_by_name
from stgraph.weights.rstg.layouts import Weights
from stgraph.weights.rstg.ties import Tie, read

__all__ = ["Part", "inside", "load_parts"]


class Part(NamedTuple):
    """A part of a model, and the variables that are its own."""

    prefix: str
    """What its tensors' names begin with in the model."""
    module: nn.Module
    ties: tuple[Tie, ...]
    names: Mapping[str, str]
    """Names in the file by names in the part."""
    whole: bool = True
    """Whether each of these variables must be used."""


def inside(names: Mapping[str, str], state: Weights) -> dict[str, Tensor]:
    """Variables of a part by their names in it."""
    return {name: state[theirs] for name, theirs in names.items()}


def load_parts(
    model: nn.Module, parts: Iterable[Part], state: Weights, constants: Iterable[str] = ()
) -> Loaded:
    """Load all parts of a model.

    The model takes the type of the variables, double if any of them is.

    Args:
        model: the model.
        parts: its parts.
        state: variables by their names in the file.
        constants: variables that hold what is computed here.

    Returns:
        Names used and skipped as they stand in the file, names missing as in the model.

    Raises:
        InputError: when a variable is missing, has another shape, or would not be used.
    """
    tensors: dict[str, Tensor] = {}
    used = set(constants)
    for part in parts:
        found = read(part.module, iter(part.ties), inside(part.names, state))
        tensors |= {part.prefix + name: value for name, value in found.tensors.items()}
        used |= {part.names[name] for name in found.used}
        left = sorted(set(part.names.values()) - used)
        if part.whole and left:
            raise InputError("source", "variables of known parts only", left)
    types = {state[name].dtype for name in used}
    model.to(torch.float64 if torch.float64 in types else torch.float32)
    missing = load_by_name(model, tensors).missing
    return Loaded(
        tuple(name for name in state if name in used),
        tuple(name for name in state if name not in used),
        missing,
    )
