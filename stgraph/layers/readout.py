"""From nodes to one vector a clip."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, choice, shape
from stgraph.graph import presence, to_dense

__all__ = ["Readout", "RunningMean", "mean_over_time"]


class RunningMean(NamedTuple):
    """Sum of the frames so far ``[B, C]``, and how many they are."""

    total: Tensor
    frames: int


def mean_over_time(x: Tensor, state: RunningMean | None = None) -> tuple[Tensor, RunningMean]:
    """Mean over all frames so far of ``x [B, T, C]``: ``[B, C]``, and the state to go on with."""
    clips, frames, width = shape("x", x, "B T C")
    total = x.sum(dim=1)
    if state is not None:
        if not isinstance(state, RunningMean):
            raise InputError("state", "a RunningMean of an earlier call", type(state).__name__)
        shape("state", state.total, f"{clips} {width}")
        total, frames = total + state.total, frames + state.frames
    return total / frames, RunningMean(total, frames)


class Readout(nn.Module):
    """Reduce nodes, then time, to a vector a clip (RSTG-to-vec).

    Args:
        nodes: over the nodes present in a frame: ``"sum"`` (RSTG), ``"mean"`` or ``"max"``. A
            frame without nodes gives 0.
        time: over frames: ``"mean"`` (official code of RSTG and its appendix) or ``"last"`` (its
            paper's text and slides).

    Shapes:
        ``x [V, C]``, frame graphs → ``[B, C]``.

    Raises:
        InputError: on another option.

    Example:
        >>> Readout(nodes="median")
        Traceback (most recent call last):
        stgraph.checks.InputError: nodes: expected one of 'sum', 'mean', 'max', got 'median'
    """

    def __init__(self, nodes: str = "sum", time: str = "mean") -> None:
        super().__init__()
        self.nodes = choice("nodes", nodes, ("sum", "mean", "max"))
        self.time = choice("time", time, ("mean", "last"))

    def frames(self, x: Tensor, graph: Batch) -> Tensor:
        """One vector a frame, ``[B, T, C]``."""
        dense, present = to_dense(x, graph), presence(graph)  # [B, T, N, C]
        if self.nodes == "max":
            if present is None:
                return dense.amax(dim=2)
            lowest = dense.masked_fill(~present[..., None], torch.finfo(dense.dtype).min)
            return lowest.amax(dim=2).masked_fill(~present.any(dim=2)[..., None], 0)
        total = dense.sum(dim=2)
        if self.nodes == "sum":
            return total
        if present is None:
            return total / dense.size(2)
        return total / present.sum(dim=2).clamp_min(1)[..., None]

    def accumulate(
        self, x: Tensor, graph: Batch, state: RunningMean | None = None
    ) -> tuple[Tensor, RunningMean]:
        """The vector over all frames so far, for a clip that comes in pieces."""
        frames = self.frames(x, graph)
        mean, state = mean_over_time(frames, state)
        return (mean if self.time == "mean" else frames[:, -1]), state

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """See the class."""
        return self.accumulate(x, graph)[0]

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"nodes={self.nodes!r}, time={self.time!r}"
