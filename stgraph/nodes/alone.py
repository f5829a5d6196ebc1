"""Clips of different lengths one by one, for extractors that know nothing of such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.nodes.regions import Regions

__all__ = ["Alone", "each_alone"]


class Alone(NamedTuple):
    """What an extractor carries of clips that ran one by one."""

    states: tuple[Any, ...]
    """A state a clip; ``None`` before its first frame."""


def each_alone(
    find: Callable[..., tuple[Regions, Any]],
    features: Tensor,
    before: Any,
    lengths: Sequence[int],
    hints: Mapping[str, Any],
) -> tuple[Regions, Any]:
    """Find the regions of every clip by itself, up to its end.

    Args:
        find: ``(features, state, **hints) → (regions, state)``.
        features: maps ``[B, T, C, H, W]``, frames that exist first.
        before: the states of the clips so far.
        lengths: frames of every clip.
        hints: tensors ``[B, T, …]`` among them are cut as the features are.

    Returns:
        Regions ``[B, T, N, …]``, 0 behind the end of a clip, and the states of the clips.

    Raises:
        InputError: on a state of all clips together, or clips with other numbers of nodes.
    """
    clips, frames = features.shape[:2]
    if before is None:
        before = Alone((None,) * clips)
    if not isinstance(before, Alone) or len(before.states) != clips:
        expected = "a frame_mask from the first piece on, or `regions` that take one"
        raise InputError("state", expected, "a state of all clips together")
    states, parts = list(before.states), {}
    for clip in [clip for clip in range(clips) if lengths[clip]] or [0]:
        length = lengths[clip] or frames  # no clip has a frame: only sizes are of interest
        here = slice(clip, clip + 1)
        told = {name: _cut(hint, here, length, features) for name, hint in hints.items()}
        parts[clip], after = find(features[here, :length], states[clip], **told)
        if lengths[clip]:
            states[clip] = after
    nodes = {part.kernel.size(2) for part in parts.values()}
    if len(nodes) != 1:
        raise InputError("kernel", "as many nodes in every clip", sorted(nodes))
    absent = next(iter(parts.values()))
    found = [parts.get(clip, absent) for clip in range(clips)]
    regions = Regions(
        kernel=_padded([part.kernel for part in found], frames),
        box=_padded([part.box for part in found], frames),
        mask=None if all(part.mask is None for part in found) else _masks(found, frames),
        x=None if absent.x is None else _padded([part.x for part in found], frames),
        extra={
            name: _padded([part.extra[name] for part in found], frames) for name in absent.extra
        },
    )
    return regions, None if all(state is None for state in states) else Alone(tuple(states))


def _cut(hint: Any, clip: slice, length: int, features: Tensor) -> Any:
    along = isinstance(hint, Tensor) and hint.shape[:2] == features.shape[:2]
    return hint[clip, :length] if along else hint


def _padded(parts: Sequence[Any], frames: int) -> Tensor:
    """Clips ``[1, L, N, …]`` as ``[B, T, N, …]``."""
    padded = [F.pad(part, (0, 0) * (part.dim() - 2) + (0, frames - part.size(1))) for part in parts]
    return torch.cat(padded)


def _masks(parts: Sequence[Regions], frames: int) -> Tensor:
    """Which nodes are present ``[B, T, N]``, where some clips say so."""
    given = [
        part.kernel.new_ones(part.kernel.shape[:3], dtype=torch.bool)
        if part.mask is None
        else part.mask
        for part in parts
    ]
    return _padded(given, frames)
