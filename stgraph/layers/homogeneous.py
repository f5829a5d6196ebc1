"""Messages in space and time with one set of parameters (RSTG's "homogeneous")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, shape
from stgraph.graph import (
    from_frames,
    in_frames,
    layout_of,
    newest,
    occupied,
    presence,
    slots,
    to_dense,
)
from stgraph.layers.base import TemporalLayer
from stgraph.layers.space import Ends, Past, SpaceLayer

__all__ = ["HomogeneousLayer", "Previous"]


class Previous(NamedTuple):
    """What a :class:`HomogeneousLayer` remembers: the frame before, as a source of messages."""

    of: Tensor
    """Shares in the messages ``[B, N, C]``."""
    key: Tensor
    """Keys ``[B, N, …]``."""
    present: Tensor
    """Which nodes were there ``[B, N]`` (bool)."""


torch.serialization.add_safe_globals([Previous])


class HomogeneousLayer(TemporalLayer):
    r"""A space layer in which a node also hears itself from the frame before.

    .. math:: \mathcal{N}'(v_i^t) = \mathcal{N}(v_i^t) ∪ \{v_i^{t-1}\}

    Send, gather and update are those of the space layer, with the same parameters for messages in
    space and in time, and no recurrent cell (RSTG's "homogeneous" ablation). What is heard are the
    features that went *into* this round a frame ago, so K rounds hear K frames back. A node
    that was absent a frame ago is not heard. Runs over all pairs, whatever the layer's ``path``.

    Args:
        space: the space layer.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state :class:`Previous`.

    Raises:
        InputError: on another kind of layer, or one with ``path="sparse"``.
    """

    def __init__(self, space: SpaceLayer) -> None:
        super().__init__()
        if not isinstance(space, SpaceLayer):
            raise InputError("space", "a SpaceLayer", type(space).__name__)
        if space.path == "sparse":
            raise InputError("space", "a SpaceLayer with path 'auto' or 'dense'", "'sparse'")
        self.space = space
        self.channels = space.channels

    def forward(
        self, x: Tensor, graph: Batch, state: Previous | None = None
    ) -> tuple[Tensor, Previous]:
        """Run one round on ``x [V, C]``.

        Raises:
            InputError: when the graph has no edges, or on another width, or a state of another
                batch size, N or kind.
        """
        out, _, state = self._run(x, graph, state)
        return out, state

    def attention(self, x: Tensor, graph: Batch, state: Previous | None = None) -> Tensor:
        """Weights α of the edges ``[E]`` on what goes into a round, the mean over heads.

        What a node hears of itself a frame before has no edge, so the weights of a target's edges
        are not all of its weights.
        """
        return self.weights(x, graph, state).mean(dim=-1)

    def weights(self, x: Tensor, graph: Batch, state: Previous | None = None) -> Tensor:
        """Weights α of the edges ``[E, heads]``, as :meth:`attention` has their mean."""
        alpha = self._run(x, graph, state)[1].transpose(1, 2).flatten(0, 1)  # [F·N, heads, N + 1]
        (source, target), place = graph.edge_index, slots(graph)
        if place is not None:
            source, target = place[source], place[target]
        return alpha[target, :, source % layout_of(graph).nodes]

    def _run(
        self, x: Tensor, graph: Batch, state: Previous | None
    ) -> tuple[Tensor, Tensor, Previous]:
        """New features ``[V, C]``, weights ``[F, heads, N, N + 1]``, and the state."""
        self.space.check(x, graph)
        ends = [
            to_dense(end, graph)  # [B, T, N, …]
            for end in (*self.space.send.ends(x, graph), *self.space.gather.ends(x))
        ]
        _, of, _, key = ends
        here = presence(graph)
        if here is None:
            here = torch.ones(of.shape[:3], dtype=torch.bool, device=x.device)
        if state is None:
            none = torch.zeros_like(here[:, 0])
            state = Previous(torch.zeros_like(of[:, 0]), torch.zeros_like(key[:, 0]), none)
        self._check_state(state, of, key)
        state = Previous(state.of.to(of), state.key.to(key), state.present.to(here))
        late = [
            torch.cat([first[:, None], all_], dim=1)  # [B, 1 + T, N, …]
            for first, all_ in zip(state, (of, key, here), strict=True)
        ]
        before = [all_[:, :-1] for all_ in late]
        out, alpha = self.space.over_pairs(
            in_frames(to_dense(x, graph), graph),
            Ends(*(in_frames(end, graph) for end in ends)),
            self.space.adjacency(graph, slots(graph)),
            occupied(graph),
            Past(
                in_frames(before[0], graph),
                in_frames(before[1], graph),
                in_frames(before[2] & here, graph),
            ),
        )
        after = Previous(*(newest(all_, graph)[:, 0] for all_ in late))
        return from_frames(out, graph), alpha, after

    @staticmethod
    def _check_state(state: Previous, of: Tensor, key: Tensor) -> None:
        if not isinstance(state, Previous):
            raise InputError("state", "the Previous of an earlier call", type(state).__name__)
        clips, _, nodes, width = of.shape
        shape("state", state.of, clips, nodes, width)
        shape("state", state.key, clips, nodes, key.size(-1))
        shape("state", state.present, clips, nodes)
