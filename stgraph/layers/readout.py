"""From nodes to one vector a clip."""

from __future__ import annotations

from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.resolver import aggregation_resolver

from stgraph.checks import InputError, choice, shape
from stgraph.graph import (
    clips_of,
    frame_mask,
    frame_of,
    in_clips,
    newest,
    occupied,
    to_frames,
)
from stgraph.precision import precise

__all__ = ["AggregateReadout", "Readout", "RunningMean", "mean_over_time"]


class RunningMean(NamedTuple):
    """Sum of the frames so far ``[B, C]``, at least in single precision, and how many they are."""

    total: Tensor
    frames: int | Tensor
    """``[B, 1]`` where clips differ."""
    last: Tensor | None = None
    """The newest frame's vector ``[B, C]``, where that is what is read out."""


torch.serialization.add_safe_globals([RunningMean])


def mean_over_time(
    x: Tensor, state: RunningMean | None = None, frame_mask: Tensor | None = None
) -> tuple[Tensor, RunningMean]:
    """Mean over all frames so far of ``x [B, T, C]``: ``[B, C]``, and the state to go on with.

    Of clips of different lengths only frames in ``frame_mask [B, T]`` (bool) count; a clip without
    any has a mean of 0.
    """
    clips, length, width = shape("x", x, "B T C")
    frames: int | Tensor = length
    if frame_mask is not None:
        frame_mask = frame_mask.to(x.device, non_blocking=True)
        x = x.masked_fill(~frame_mask[..., None], 0)
        frames = frame_mask.sum(dim=1, keepdim=True)
    total = precise(x).sum(dim=1)
    if state is not None:
        if not isinstance(state, RunningMean):
            raise InputError("state", "a RunningMean of an earlier call", type(state).__name__)
        shape("state", state.total, clips, width)
        total, frames = total + state.total, frames + state.frames
    counted = frames.clamp_min(1) if isinstance(frames, Tensor) else frames
    return (total / counted).to(x.dtype), RunningMean(total, frames)


class Readout(nn.Module):
    """Reduce nodes, then time, to a vector a clip (RSTG-to-vec).

    Args:
        nodes: over the nodes present in a frame: ``"sum"`` (RSTG), ``"mean"`` or ``"max"``. A
            frame without nodes gives 0.
        time: over the frames of a clip: ``"mean"`` (official code of RSTG and its appendix) or
            ``"last"`` (its paper's text and slides).

    Shapes:
        ``x [V, C]``, frame graphs → ``[B, C]``.

    Raises:
        InputError: on another option.

    Examples:
        >>> Readout(nodes="median")
        Traceback (most recent call last):
        stgraph.checks.InputError: nodes: expected one of 'sum', 'mean', 'max', got 'median'
    """

    def __init__(self, nodes: str = "sum", time: str = "mean") -> None:
        super().__init__()
        self.nodes = choice("nodes", nodes, ("sum", "mean", "max"))
        self.time = choice("time", time, ("mean", "last"))

    def frames(self, x: Tensor, graph: Batch) -> Tensor:
        """One vector a frame ``[B, T, C]``, at least in single precision; 0 behind short clips."""
        return in_clips(self._reduce(precise(to_frames(x, graph)), occupied(graph)), graph)

    def _reduce(self, dense: Tensor, present: Tensor | None) -> Tensor:
        """One vector a frame ``[F, C]`` of ``[F, N, C]``."""
        if self.nodes == "max":
            if present is None:
                return dense.amax(dim=1)
            lowest = dense.masked_fill(~present[..., None], torch.finfo(dense.dtype).min)
            return lowest.amax(dim=1).masked_fill(~present.any(dim=1)[..., None], 0)
        total = dense.sum(dim=1)
        if self.nodes == "sum":
            return total
        if present is None:
            return total / dense.size(1)
        return total / present.sum(dim=1).clamp_min(1)[..., None]

    def accumulate(
        self, x: Tensor, graph: Batch, state: RunningMean | None = None
    ) -> tuple[Tensor, RunningMean]:
        """The vector over all frames so far, for a clip that comes in pieces."""
        frames = self.frames(x, graph)
        mean, after = mean_over_time(frames, state, frame_mask(graph))
        if self.time == "mean":
            return mean.to(x.dtype), after
        before = None if state is None else state.last  # of a clip that has ended already
        before = torch.zeros_like(mean) if before is None else before.to(frames)
        last = newest(torch.cat([before[:, None], frames], dim=1), graph)[:, 0]
        return last.to(x.dtype), after._replace(last=last)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """See the class."""
        return self.accumulate(x, graph)[0]

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"nodes={self.nodes!r}, time={self.time!r}"


class AggregateReadout(Readout):
    """:class:`Readout` with any PyG aggregation over the nodes of a frame.

    Args:
        nodes: a ``torch_geometric.nn.aggr.Aggregation``, or its name as PyG resolves it. A frame
            without nodes gives 0. Aggregations that pad (LSTM, SortAggregation, …) pad to N.
        time: over frames, ``"mean"`` or ``"last"``.

    Shapes:
        ``x [V, C]``, frame graphs → ``[B, D]``, with the width D that the aggregation makes.

    Raises:
        InputError: on an unknown name, or another kind of module.

    Examples:
        >>> from torch_geometric.nn import MultiAggregation
        >>> AggregateReadout(MultiAggregation(["mean", "std"]), time="last").time
        'last'
    """

    def __init__(self, nodes: Aggregation | str, time: str = "mean") -> None:
        super().__init__(time=time)
        self.nodes = type(nodes).__name__ if isinstance(nodes, Aggregation) else nodes
        self.aggregation = nodes if isinstance(nodes, Aggregation) else _resolve(nodes)
        # Aggregations that pad sets pad them to N, whatever else is in the batch; not told how far,
        # they would ask the device for the largest set.
        known = signature(self.aggregation.forward).parameters
        self.padded = "max_num_elements" in known

    def frames(self, x: Tensor, graph: Batch) -> Tensor:
        """One vector a frame, ``[B, T, D]``.

        Raises:
            InputError: when ``x`` has another number of rows than the graph has nodes.
        """
        layout, frame = clips_of(graph), frame_of(graph)
        if x.size(0) != frame.size(0):
            raise InputError("x", f"[{frame.size(0)}, ...] (a row a node)", list(x.shape))
        if next(self.aggregation.parameters(), None) is None:  # else its type is theirs
            x = precise(x)
        if occupied(graph) is None and x.size(0):
            return in_clips(self._aggregate(x, frame, layout.graphs, layout.nodes), graph)
        # Not told of frames without nodes, of which some make NaN and others nothing at all.
        some, number = torch.unique_consecutive(frame, return_inverse=True)
        if not x.size(0):  # for the width that it makes
            x, number = torch.cat([x, x.new_zeros(1, x.size(1))]), number.new_zeros(1)
        found = self._aggregate(x, number, max(some.size(0), 1), layout.nodes)[: some.size(0)]
        out = found.new_zeros(layout.graphs, found.size(1)).index_copy(0, some, found)  # [G, D]
        return in_clips(out, graph)

    def _aggregate(self, x: Tensor, frame: Tensor, frames: int, nodes: int) -> Tensor:
        """One vector a frame ``[F, D]`` of nodes ``x [V, C]`` that belong to ``frame [V]``."""
        more = {"max_num_elements": nodes} if self.padded else {}
        out: Tensor = self.aggregation(x, index=frame, dim_size=frames, dim=0, **more)
        return out


def _resolve(name: str) -> Aggregation:
    """The aggregation that PyG knows by a name."""
    expected = "an Aggregation of PyG or its name"
    if not isinstance(name, str):
        raise InputError("nodes", expected, type(name).__name__)
    try:
        return aggregation_resolver(name)
    except (TypeError, ValueError) as error:
        raise InputError("nodes", expected, repr(name)) from error
