"""What changed since the frame before, handed to the nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import channels, integer
from stgraph.graph import from_dense, presence, to_dense
from stgraph.layers.base import TemporalLayer

__all__ = ["Displacement"]


class Displacement(TemporalLayer):
    r"""Adds a linear map of the change since the node was last seen.

    .. math:: v_i^t + W\,\mathrm{norm}(v_i^t - v_i^{t'}), \qquad t' < t \text{ the last presence}

    A recurrent cell finds temporal differences slowly; this hands them over. It is not in the
    papers. A node that was never seen before has changed by 0.

    Args:
        channels: C.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state: features last seen ``[B, N, C]`` and whether
        ``[B, N, 1]`` (bool).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, channels, bias=False)

    def forward(
        self, x: Tensor, graph: Batch, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """See the class."""
        channels("x", x, self.channels)
        dense, present = to_dense(x, graph), presence(graph)  # [B, T, N, C]
        if state is None:
            seen = dense.new_zeros(dense.size(0), dense.size(2), 1, dtype=torch.bool)
            state = (dense.new_zeros(dense[:, 0].shape), seen)
        if present is None:
            first = torch.where(state[1], state[0], dense[:, 0])[:, None]
            past = torch.cat([first, dense[:, :-1]], dim=1)
            state = (dense[:, -1], torch.ones_like(state[1]))
        else:
            last, seen = state
            pasts = []
            for now, here in zip(dense.unbind(1), present[..., None].unbind(1), strict=True):
                pasts.append(torch.where(seen, last, now))
                last, seen = torch.where(here, now, last), seen | here
            past, state = torch.stack(pasts, dim=1), (last, seen)
        change = self.linear(self.norm(dense - past))
        return x + from_dense(change, graph), state
