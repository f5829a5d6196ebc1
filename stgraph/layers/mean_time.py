"""Means over time: what takes the place of a recurrent stage in RSTG's "space-only"."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, shape
from stgraph.graph import from_dense, presence, to_dense
from stgraph.layers.base import TemporalLayer
from stgraph.precision import precise

__all__ = ["ClipMeanTime", "MeanTime", "NodeMeans"]


class NodeMeans(NamedTuple):
    """What a :class:`MeanTime` remembers."""

    total: Tensor
    """Sum of the frames in which a node was there ``[B, N, C]``, at least in single precision."""
    frames: Tensor
    """How many they are ``[B, N, 1]``."""


torch.serialization.add_safe_globals([NodeMeans])


def _counted(x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
    """Features ``[B, T, N, C]``, 0 where absent, and ones where present ``[B, T, N, 1]``."""
    dense, here = precise(to_dense(x, graph)), presence(graph)
    one = torch.ones_like(dense[..., :1])
    return dense, (one if here is None else one * here[..., None])


class MeanTime(TemporalLayer):
    r"""The mean of what a node has been so far, :math:`h_i^t = \frac{1}{n} \sum_{s ≤ t} v_i^s`.

    Over the n frames up to t in which the node is present. No parameters; causal.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state :class:`NodeMeans`.
    """

    def forward(
        self, x: Tensor, graph: Batch, state: NodeMeans | None = None
    ) -> tuple[Tensor, NodeMeans]:
        """Average ``x [V, C]``.

        Raises:
            InputError: on another number of rows, or a state of another batch size, N or kind.
        """
        dense, one = _counted(x, graph)
        total, frames = dense.cumsum(dim=1), one.cumsum(dim=1)
        if state is not None:
            if not isinstance(state, NodeMeans):
                raise InputError("state", "the NodeMeans of an earlier call", type(state).__name__)
            clips, _, nodes, width = dense.shape
            shape("state", state.total, clips, nodes, width)
            shape("state", state.frames, clips, nodes, 1)
            total, frames = total + state.total[:, None], frames + state.frames[:, None]
        out = from_dense(total / frames.clamp_min(1), graph).to(x.dtype)
        # Behind the end of a shorter clip nothing is added.
        # Copies: views would keep the whole piece in memory for as long as the state lives.
        return out, NodeMeans(total[:, -1].clone(), frames[:, -1].clone())


class ClipMeanTime(TemporalLayer):
    r"""The mean of a node over the whole clip, in every frame of it.

    Over the frames in which the node is present (RSTG's "space-only": its time stage is the mean
    over time). No parameters. It needs the whole clip at once.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; there is no state.
    """

    causal = False

    def forward(self, x: Tensor, graph: Batch, state: None = None) -> tuple[Tensor, None]:
        """Average ``x [V, C]``.

        Raises:
            InputError: on another number of rows, or when a state is passed.
        """
        if state is not None:
            raise InputError("state", "None: ClipMeanTime needs the whole clip", "a state")
        dense, one = _counted(x, graph)
        mean = dense.sum(dim=1, keepdim=True) / one.sum(dim=1, keepdim=True).clamp_min(1)
        return from_dense(mean.expand_as(dense), graph).to(x.dtype), None
