"""How nodes moved since they were last seen, handed to them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, channels, integer, positive, shape
from stgraph.graph import from_dense, newest, presence, to_dense
from stgraph.layers.base import TemporalLayer

__all__ = ["Displacement", "LastSeen"]


class LastSeen(NamedTuple):
    """What a :class:`Displacement` remembers."""

    pos: Tensor
    """Last centre (x, y) of every node ``[B, N, 2]``; 0 before the first."""
    seen: Tensor
    """Which nodes have been there ``[B, N]`` (bool)."""


torch.serialization.add_safe_globals([LastSeen])


class Displacement(TemporalLayer):
    r"""Tells every node how its centre moved, :math:`v_i^t + W g\,(p_i^t - p_i^{t-1})`.

    :math:`p` is the node's ``pos``, in parts of the frame, and t − 1 the last frame in which the
    node was there; in its first frame it has not moved. Recurrent layers hardly find differences of
    position embeddings by themselves: this one hands them over. Not in the papers.

    Args:
        channels: C, width of the nodes.
        gain: g. Displacements are some hundredths of a frame, features about 1; a gain of some tens
            brings the two together, and makes W learn as fast as the other weights.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state :class:`LastSeen`.

    Examples:
        >>> sum(p.numel() for p in Displacement(32).parameters())
        64
    """

    def __init__(self, channels: int, gain: float = 64.0) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.gain = positive("gain", gain)
        self.linear = nn.Linear(2, channels, bias=False)

    def forward(
        self, x: Tensor, graph: Batch, state: LastSeen | None = None
    ) -> tuple[Tensor, LastSeen]:
        """Add displacements to ``x [V, C]``.

        Raises:
            InputError: on another width, a graph without places, or a state of another batch size,
                N or kind.
        """
        channels("x", x, self.channels)
        if getattr(graph, "pos", None) is None:
            raise InputError("graph", "a `pos` for every node", "none")
        moved, state = displacements(graph, state)
        return x + self.linear((self.gain * moved).to(x.dtype)), state

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, gain={self.gain}"


def displacements(graph: Batch, state: LastSeen | None = None) -> tuple[Tensor, LastSeen]:
    """How far every node is from where it was last seen, 0 where it is seen for the first time.

    Args:
        graph: frame graphs whose nodes have a ``pos``.
        state: what an earlier piece of the same clips returned.

    Returns:
        Displacements (x, y) ``[V, 2]``, and the state to go on with.

    Raises:
        InputError: on a state of another batch size, N or kind.
    """
    pos, here = to_dense(graph.pos, graph), presence(graph)  # [B, T, N, 2]
    clips, frames, nodes, _ = pos.shape
    if state is None:
        state = LastSeen(pos.new_zeros(clips, nodes, 2), pos.new_zeros(clips, nodes).bool())
    elif not isinstance(state, LastSeen):
        raise InputError("state", "the LastSeen of an earlier call", type(state).__name__)
    shape("state.pos", state.pos, clips, nodes, 2)
    shape("state.seen", state.seen, clips, nodes)
    if here is None:
        here = torch.ones_like(pos[..., 0], dtype=torch.bool)
    # Frame 0 is the state: of each node the number of the last frame up to t that it was in.
    there = torch.cat([state.seen[:, None], here], dim=1)  # [B, T + 1, N]
    number = torch.arange(frames + 1, device=pos.device)[:, None]
    last = torch.where(there, number, -1).cummax(dim=1).values
    places = torch.cat([state.pos[:, None].to(pos), pos], dim=1)
    held = places.gather(1, last.clamp_min(0)[..., None].expand_as(places))  # [B, T + 1, N, 2]
    known = last >= 0
    moved = torch.where(known[:, :-1, :, None], pos - held[:, :-1], 0)
    held = torch.where(known[..., None], held, 0)
    after = LastSeen(newest(held, graph)[:, 0], newest(known, graph)[:, 0])
    return from_dense(moved, graph), after
