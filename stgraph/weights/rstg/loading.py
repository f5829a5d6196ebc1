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

__all__ = ["Part", "load_parts", "part_of"]


class Part(NamedTuple):
    """A part of a model, and the variables that are its own."""

    prefix: str
    """What its tensors' names begin with in the model."""
    module: nn.Module
    ties: tuple[Tie, ...]
    variables: Weights
    """By their names in the part."""
    names: Mapping[str, tuple[str, ...]]
    """Names in the file of what each of them is made of."""
    whole: bool = True
    """Whether each of these variables must be used."""


def part_of(
    prefix: str, module: nn.Module, ties: Iterable[Tie], names: Mapping[str, str], state: Weights
) -> Part:
    """A part whose variables are some of the file's, by their names there."""
    variables = {name: state[theirs] for name, theirs in names.items()}
    return Part(prefix, module, tuple(ties), variables, {n: (t,) for n, t in names.items()})


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
        found = read(part.module, iter(part.ties), part.variables)
        tensors |= {part.prefix + name: value for name, value in found.tensors.items()}
        used |= {theirs for name in found.used for theirs in part.names[name]}
        left = sorted({theirs for names in part.names.values() for theirs in names} - used)
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
