"""Clips as a 2D CNN sees them, frame by frame, and what it makes of them as clips again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, MutableMapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

from stgraph.padding import put_frames, take_frames

__all__ = ["folded", "per_frame", "unfold"]


def folded(option: Any, clips: int, frames: int, mask: Tensor | None) -> Any:
    """An option of the CNN: of a tensor ``[B, T, …]`` as ``[F, …]``, anything else as it is."""
    if isinstance(option, Tensor) and tuple(option.shape[:2]) == (clips, frames):
        return take_frames(option, mask)
    return option


def unfold(x: Tensor, clips: int, mask: Tensor | None) -> Tensor:
    """``[F, …] → [B, T, …]``, with 0 where there is no frame."""
    # Not the quotient of the sizes: a compiler that knows no sizes trips over it.
    return x.reshape(clips, -1, *x.shape[1:]) if mask is None else put_frames(x, mask, clips)


def per_frame(output: Any, frames: int, unfold: Callable[[Tensor], Tensor]) -> Any:
    """Unfold every tensor of one entry for each of ``frames``, in whatever holds it.

    What holds tensors stays what it is: tuples, lists and mappings, data classes, and classes that
    are made of these.
    """
    if isinstance(output, Tensor):
        each = output.dim() > 0 and output.size(0) == frames
        return unfold(output) if each else output
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
        if (made := per_frame(part, frames, unfold)) is not part
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
