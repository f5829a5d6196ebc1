"""Causal self-attention along every node identity, over a window of frames."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, channels, integer, shape
from stgraph.graph import from_dense, newest, presence, to_dense
from stgraph.layers.base import TemporalLayer
from stgraph.layers.gather import rounded, widened

__all__ = ["AttentionTime", "Recent"]


class Recent(NamedTuple):
    """What an :class:`AttentionTime` remembers: the last w − 1 frames, the oldest first."""

    key: Tensor
    """``[B, w − 1, N, C]``; 0 before the clip began."""
    value: Tensor
    """``[B, w − 1, N, C]``."""
    present: Tensor
    """Which nodes were there ``[B, w − 1, N]`` (bool)."""


torch.serialization.add_safe_globals([Recent])


class AttentionTime(TemporalLayer):
    r"""Every node attends to itself in the last w frames, this one among them.

    .. math::
        α_{ts} &= \mathrm{softmax}_s\Bigl(\frac{q_i^t · k_i^s}{\sqrt{C / heads}} + r_{t-s}\Bigr),
            \quad t - w < s ≤ t \\
        h_i^t &= v_i^t + W_o \sum_s α_{ts}\, u_i^s

    with q, k, u linear in v. Position is relative: r is learned, one number a head and distance, 0
    at the start. Frames in which a node is absent are left out, those before its birth too, so a
    node that was away for w frames or more starts anew.

    Args:
        channels: C, width of the nodes.
        window: w, frames; 1 attends to the present alone.
        heads: number of heads.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state :class:`Recent`.

    Raises:
        InputError: when the heads do not divide the channels.

    Examples:
        >>> sum(p.numel() for p in AttentionTime(32, window=8, heads=4).parameters())
        4256
    """

    def __init__(self, channels: int, window: int, heads: int = 1) -> None:
        super().__init__()
        self.channels, self.heads = integer("channels", channels), integer("heads", heads)
        self.window = integer("window", window)
        if channels % heads:
            raise InputError("heads", f"a divisor of {channels} channels", heads)
        self.in_proj = nn.Linear(channels, 3 * channels)
        self.out_proj = nn.Linear(channels, channels)
        self.relative = nn.Parameter(torch.zeros(heads, window))  # the oldest first, as the frames

    def forward(
        self, x: Tensor, graph: Batch, state: Recent | None = None
    ) -> tuple[Tensor, Recent]:
        """Attend over the frames of ``x [V, C]``.

        Raises:
            InputError: on another width, or a state of another batch size, N, window or kind.
        """
        channels("x", x, self.channels)
        dense, here = to_dense(x, graph), presence(graph)
        clips, frames, nodes, _ = dense.shape
        query, key, value = self.in_proj(dense).chunk(3, dim=-1)  # [B, T, N, C] each
        if here is None:
            here = torch.ones(clips, frames, nodes, dtype=torch.bool, device=x.device)
        past = self._past(state, key, here)
        key, value = torch.cat([past.key, key], dim=1), torch.cat([past.value, value], dim=1)
        seen = torch.cat([past.present, here], dim=1)  # [B, w − 1 + T, N]
        share = (self.heads, self.channels // self.heads)
        window = (clips, frames, nodes, *share, self.window)
        # The frames t − w + 1 … t of every t: [B, T, N, heads, C/heads, w], views.
        keys = key.unfold(1, self.window, 1).reshape(window)
        values = value.unfold(1, self.window, 1).reshape(window)
        query = query.reshape(clips, frames, nodes, *share, 1) * share[1] ** -0.5
        score = rounded((widened(query) * widened(keys)).sum(dim=-2), query.dtype)
        score = score + self.relative  # [B, T, N, heads, w]
        allowed = seen.unfold(1, self.window, 1)[..., None, :]  # [B, T, N, 1, w]
        score = score.masked_fill(~allowed, torch.finfo(score.dtype).min)
        alpha = score.softmax(dim=-1) * allowed
        mixed = (alpha[..., None, :] * values).sum(dim=-1).flatten(-2)  # [B, T, N, C]
        out = dense + self.out_proj(mixed)
        last = (newest(part, graph, self.window - 1) for part in (key, value, seen))
        return from_dense(out, graph), Recent(*last)

    def _past(self, state: Recent | None, key: Tensor, here: Tensor) -> Recent:
        """The w − 1 frames before the first."""
        clips, _, nodes, width = key.shape
        before = self.window - 1
        if state is None:
            nothing = key.new_zeros(clips, before, nodes, width)
            return Recent(nothing, nothing, here.new_zeros(clips, before, nodes))
        if not isinstance(state, Recent):
            raise InputError("state", "the Recent of an earlier call", type(state).__name__)
        shape("state", state.key, clips, before, nodes, width)
        shape("state", state.value, clips, before, nodes, width)
        shape("state", state.present, clips, before, nodes)
        return Recent(state.key.to(key), state.value.to(key), state.present.to(here))

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, window={self.window}, heads={self.heads}"
