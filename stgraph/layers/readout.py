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
from stgraph.graph import frame_of, layout_of, presence, to_dense
from stgraph.kernels import precise

__all__ = ["AggregateReadout", "Readout", "RunningMean", "mean_over_time"]


class RunningMean(NamedTuple):
    """Sum of the frames so far ``[B, C]``, at least in single precision, and how many they are."""

    total: Tensor
    frames: int


torch.serialization.add_safe_globals([RunningMean])


def mean_over_time(x: Tensor, state: RunningMean | None = None) -> tuple[Tensor, RunningMean]:
    """Mean over all frames so far of ``x [B, T, C]``: ``[B, C]``, and the state to go on with."""
    clips, frames, width = shape("x", x, "B T C")
    total = precise(x).sum(dim=1)
    if state is not None:
        if not isinstance(state, RunningMean):
            raise InputError("state", "a RunningMean of an earlier call", type(state).__name__)
        shape("state", state.total, f"{clips} {width}")
        total, frames = total + state.total, frames + state.frames
    return (total / frames).to(x.dtype), RunningMean(total, frames)


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
        """One vector a frame, ``[B, T, C]``, at least in single precision."""
        dense, present = precise(to_dense(x, graph)), presence(graph)  # [B, T, N, C]
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
        return (mean if self.time == "mean" else frames[:, -1]).to(x.dtype), state

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
        layout, frame = layout_of(graph), frame_of(graph)
        if x.size(0) != frame.size(0):
            raise InputError("x", f"[{frame.size(0)}, ...] (a row a node)", list(x.shape))
        more = {"max_num_elements": layout.nodes} if self.padded else {}
        if next(self.aggregation.parameters(), None) is None:  # else its type is theirs
            x = precise(x)
        out = self.aggregation(x, index=frame, dim_size=layout.graphs, dim=0, **more)  # [G, D]
        present = presence(graph)
        if present is not None:
            out = torch.where(present.flatten(0, 1).any(dim=1)[:, None], out, 0)
        return torch.reshape(out, (layout.clips, layout.frames, out.size(-1)))


def _resolve(name: str) -> Aggregation:
    """The aggregation that PyG knows by a name."""
    expected = "an Aggregation of PyG or its name"
    if not isinstance(name, str):
        raise InputError("nodes", expected, type(name).__name__)
    try:
        return aggregation_resolver(name)
    except (TypeError, ValueError) as error:
        raise InputError("nodes", expected, repr(name)) from error
