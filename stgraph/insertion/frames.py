"""Clips as a 2D CNN sees them, frame by frame, and what it makes of them as clips again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

__all__ = ["folded", "per_frame", "unfold"]


def folded(option: Any, clips: int, frames: int) -> Any:
    """An option of the CNN: of a tensor ``[B, T, …]`` as ``[B·T, …]``, anything else as it is."""
    if isinstance(option, Tensor) and tuple(option.shape[:2]) == (clips, frames):
        return option.flatten(0, 1)
    return option


def unfold(x: Tensor, clips: int) -> Tensor:
    """``[B·T, …] → [B, T, …]``."""
    return x.reshape(clips, -1, *x.shape[1:])


def per_frame(output: Any, clips: int, frames: int) -> Any:
    """Unfold every tensor of one entry a frame, in whatever holds it.

    What holds tensors stays what it is: tuples, lists and mappings, data classes, and classes that
    are made of these.
    """
    if isinstance(output, Tensor):
        each = output.dim() > 0 and output.size(0) == clips * frames
        return unfold(output, clips) if each else output
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        parts: dict[Any, Any] = {
            field.name: getattr(output, field.name)
            for field in dataclasses.fields(output)
            if hasattr(output, field.name)
        }
    elif isinstance(output, Mapping):
        parts = dict(output)
    elif isinstance(output, (tuple, list)):
        parts = dict(enumerate(output))
    else:
        return output
    changed = {
        name: made
        for name, part in parts.items()
        if (made := per_frame(part, clips, frames)) is not part
    }
    return _changed(output, parts, changed) if changed else output


@torch.compiler.disable  # a copy of somebody's class, at the very end
def _changed(output: Any, parts: dict[Any, Any], changed: dict[Any, Any]) -> Any:
    """A copy of what holds values, with others in place of some."""
    if isinstance(output, tuple):
        values = list((parts | changed).values())
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    if isinstance(output, Mapping) and not isinstance(output, MutableMapping):
        kind: Any = type(output)
        return kind(parts | changed)
    made = copy(output)
    for name, value in changed.items():
        if not dataclasses.is_dataclass(output):
            made[name] = value
        elif getattr(type(output), "__dataclass_params__").frozen:  # noqa: B009 (mypy knows it not)
            object.__setattr__(made, name, value)
        else:  # those that are mappings too keep both in step
            setattr(made, name, value)
    return made
