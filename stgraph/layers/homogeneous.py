"""Messages in space and time with one set of parameters (RSTG's "homogeneous")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, shape
from stgraph.graph import from_dense, layout_of, presence, slots, to_dense
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
        self.space.check(x, graph)
        layout = layout_of(graph)
        ends = [
            to_dense(end, graph)  # [B, T, N, …]
            for end in (*self.space.send.ends(x, graph), *self.space.gather.ends(x))
        ]
        _, of, _, key = ends
        present = presence(graph)
        here = present
        if here is None:
            here = torch.ones(of.shape[:3], dtype=torch.bool, device=x.device)
        if state is None:
            none = torch.zeros_like(here[:, 0])
            state = Previous(torch.zeros_like(of[:, 0]), torch.zeros_like(key[:, 0]), none)
        self._check_state(state, of, key)
        state = Previous(state.of.to(of), state.key.to(key), state.present.to(here))
        before = [
            torch.cat([first[:, None], all_[:, :-1]], dim=1)  # [B, T, N, …], a frame late
            for first, all_ in zip(state, (of, key, here), strict=True)
        ]
        out, _ = self.space.over_pairs(
            to_dense(x, graph).flatten(0, 1),
            Ends(*(end.flatten(0, 1) for end in ends)),
            self.space.adjacency(graph, slots(graph)),
            None if present is None else present.flatten(0, 1),
            Past(
                before[0].flatten(0, 1),
                before[1].flatten(0, 1),
                (before[2] & here).flatten(0, 1),
            ),
        )
        out = out.reshape(layout.clips, layout.frames, layout.nodes, self.channels)
        # Copies: views would keep the whole piece in memory for as long as the state lives.
        return from_dense(out, graph), Previous(*(part[:, -1].clone() for part in (of, key, here)))

    @staticmethod
    def _check_state(state: Previous, of: Tensor, key: Tensor) -> None:
        if not isinstance(state, Previous):
            raise InputError("state", "the Previous of an earlier call", type(state).__name__)
        clips, _, nodes, width = of.shape
        shape("state", state.of, f"{clips} {nodes} {width}")
        shape("state", state.key, f"{clips} {nodes} {key.size(-1)}")
        shape("state", state.present, f"{clips} {nodes}")
