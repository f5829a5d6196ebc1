"""States as a program has them: tensors in an order, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stgraph.layers import RunningMean
from stgraph.nodes import NodeState

__all__ = ["counted", "filled", "tensors"]


def counted(state: Any, clips: int) -> Any:
    """A state whose numbers that count frames do not change, or are tensors.

    A running mean divides by how many frames there were: ``[B, 1]`` for all clips. The clock of an
    extractor says how they are numbered in its graphs; it stands still.

    Args:
        state: what a model returned.
        clips: B.
    """
    if isinstance(state, RunningMean) and not isinstance(state.frames, Tensor):
        frames = torch.full((clips, 1), state.frames, device=state.total.device)
        return state._replace(frames=frames)
    if isinstance(state, NodeState):
        return state._replace(clock=0, regions=counted(state.regions, clips))
    if isinstance(state, dict):
        return {name: counted(part, clips) for name, part in state.items()}
    if isinstance(state, tuple):
        return _like(state, [counted(part, clips) for part in state])
    return state


def tensors(state: Any) -> Iterator[Tensor]:
    """All tensors of a state, in their order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, (dict, tuple)):
        for part in state.values() if isinstance(state, dict) else state:
            yield from tensors(part)


def filled(state: Any, values: Iterator[Tensor]) -> Any:
    """A state with other tensors in place of its own, in the order of :func:`tensors`."""
    if isinstance(state, Tensor):
        return next(values)
    if isinstance(state, dict):
        return {name: filled(part, values) for name, part in state.items()}
    if isinstance(state, tuple):
        return _like(state, [filled(part, values) for part in state])
    return state


def _like(state: tuple[Any, ...], parts: list[Any]) -> Any:
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
