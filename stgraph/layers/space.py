"""The space layer: one round of messages inside every frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from stgraph.checks import InputError, channels, choice, integer
from stgraph.fused import is_hooked, is_just
from stgraph.graph import frame_of, from_frames, layout_of, slots, to_frames
from stgraph.layers.edge_messages import normed_edge_sums
from stgraph.layers.gather import DotAttention, Gather
from stgraph.layers.messages import normed_sums
from stgraph.layers.norm import FrameNorm
from stgraph.layers.send import Send, SumSend
from stgraph.layers.update import AddUpdate, Update
from stgraph.precision import precise

__all__ = ["SpaceLayer"]


class Ends(NamedTuple):
    """What messages and weights are made of, once a node."""

    to: Tensor
    """Share of a target in the first layer of a message ``[…, C]``."""
    of: Tensor
    """Share of a source ``[…, C]``."""
    query: Tensor
    key: Tensor


class Past(NamedTuple):
    """One more source for every node: itself, some time ago."""

    of: Tensor
    """Its share ``[G, N, C]``."""
    key: Tensor
    present: Tensor
    """Where there is one ``[G, N]`` (bool)."""


class SpaceLayer(MessagePassing):
    r"""One round of send, gather and update (RSTG, DyReG).

    .. math::
        \mathrm{msg}_{ij} &= \mathrm{norm}(f_{send}(v_j, v_i)) \\
        m_i &= f_{gather}\Bigl(\sum_{j ∈ \mathcal{N}(i)} α_{ij}\, \mathrm{msg}_{ij}\Bigr) \\
        v_i' &= \mathrm{norm}(f_{update}(v_i, m_i))

    One set of parameters, two paths with the same numbers: *sparse*, PyG's message passing over
    ``edge_index``, and *dense*, tensors over all pairs of nodes with the adjacency as a mask. Dense
    wins where graphs are small and well filled, sparse where they are not. Edges are a set, as
    :func:`stgraph.graph.validate` wants them, and edge features are not read: for those see
    :class:`~stgraph.layers.GraphConv`.

    Args:
        channels: C, width of the nodes.
        send: messages; :class:`SumSend` by default.
        gather: attention; :class:`DotAttention` by default.
        update: update; :class:`AddUpdate` by default.
        path: ``"dense"``, ``"sparse"``, or ``"auto"``: dense where edges fill at least a quarter
            of all pairs. A gather that leaks, as :class:`LeakingDotAttention`, is always dense.

    Shapes:
        ``x [V, C]``, frame graphs of V nodes → ``[V, C]``.

    Raises:
        InputError: on parts of another width, another path, or the sparse path where the gather
            leaks.

    Examples:
        >>> layer = SpaceLayer(32)
        >>> sum(p.numel() for p in layer.parameters())
        3328
    """

    def __init__(
        self,
        channels: int,
        send: Send | None = None,
        gather: Gather | None = None,
        update: Update | None = None,
        path: str = "auto",
    ) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.channels = integer("channels", channels)
        self.send = SumSend(channels) if send is None else send
        self.gather = DotAttention(channels) if gather is None else gather
        self.update_nodes = AddUpdate(channels) if update is None else update
        self.path = choice("path", path, ("auto", "dense", "sparse"))
        for name, part in (("send", send), ("gather", gather), ("update", update)):
            width = getattr(part, "channels", channels)
            if width != channels:
                raise InputError(name, f"a part of {channels} channels", f"one of {width}")
        if path == "sparse" and self.gather.leaks:
            leaking = f"since {type(self.gather).__name__} weighs nodes that no edge joins"
            raise InputError("path", f"'auto' or 'dense', {leaking}", "'sparse'")

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Run one round on ``x [V, C]``.

        Raises:
            InputError: when the graph has no edges attached, or on another width.
        """
        self.check(x, graph)
        if self._is_dense(graph):
            return self._dense(x, graph)[0]
        layout, frame = layout_of(graph), frame_of(graph)
        to, of = self.send.ends(x, graph)
        alpha = self._weigh(x, graph.edge_index)
        if self._sums_up() and not self._is_watched():
            total = normed_edge_sums(
                to, of, alpha, graph.edge_index, frame, layout.graphs, self.send.norm
            )
        else:
            total = self.propagate(
                graph.edge_index,
                size=(x.size(0), x.size(0)),
                share=(of, to),
                alpha=alpha,  # so named, PyG's explainers find it
                frame=frame,
                frames=layout.graphs,
            ).to(x.dtype)

        def over_nodes(norm: FrameNorm | None) -> Callable[[Tensor], Tensor] | None:
            return None if norm is None else lambda rows: norm(rows, frame, layout.graphs)

        message = self.gather(total, over_nodes(self.gather.norm))
        if self.update_nodes.by_identity:
            both = to_frames(x, graph), to_frames(message, graph)  # [F, N, C]
            out = from_frames(self.update_nodes(*both), graph)
        else:
            out = self.update_nodes(x, message)
        normalise = over_nodes(self.update_nodes.norm)
        return out if normalise is None else normalise(out)

    def message(
        self,
        share_i: Tensor,
        share_j: Tensor,
        alpha: Tensor,
        frame_i: Tensor,
        frames: int,
    ) -> Tensor:
        """Weighted messages ``[E, C]``; ``_i`` is the target, ``_j`` the source.

        At least in single precision, in which PyG adds them up.
        """
        message: Tensor = self.send(share_i + share_j)
        if self.send.norm is not None:
            message = self.send.norm(message, frame_i, frames)
        return precise(self.gather.weighted(alpha, message))

    def attention(self, x: Tensor, graph: Batch) -> Tensor:
        """Weights α of the edges ``[E]`` on the features ``x [V, C]`` that go into a round.

        The mean over heads, where there are several. Where attention leaks, the weights of a
        target's edges are not all of its weights.
        """
        return self.weights(x, graph).mean(dim=-1)

    def weights(self, x: Tensor, graph: Batch) -> Tensor:
        """Weights α of the edges ``[E, heads]``, as :meth:`attention` has their mean."""
        self.check(x, graph)
        source, target = graph.edge_index
        if self.gather.leaks:
            layout, place = layout_of(graph), slots(graph)
            pairs = self._dense(x, graph)[1].transpose(1, 2)  # [G, N, heads, N]
            if place is not None:
                source, target = place[source], place[target]
            rows = pairs.flatten(0, 1)  # [G·N, heads, N]
            return rows[target, :, source % layout.nodes]
        return self._weigh(x, graph.edge_index)

    def _weigh(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Weights ``[E, heads]`` of the edges alone."""
        source, target = edge_index
        query, key = self.gather.ends(x)
        score = self.gather.score_edges(query, key, source, target)
        return self.gather.weigh(score, target, x.size(0))

    def check(self, x: Tensor, graph: Batch) -> None:
        """Refuse ``x`` of another width or number of rows, and a graph without edges."""
        layout_of(graph)
        rows = channels("x", x, self.channels)
        if getattr(graph, "edge_index", None) is None:
            raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
        if rows != graph.node_id.size(0):
            raise InputError("x", f"[{graph.node_id.size(0)}, ...] (a row a node)", list(x.shape))

    def _is_dense(self, graph: Batch) -> bool:
        if self.path != "auto":
            return self.path == "dense"
        if self.gather.leaks:
            return True
        layout = layout_of(graph)
        edges: int = graph.edge_index.size(1)
        return 4 * edges >= layout.slots * layout.nodes

    def _dense(self, x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
        """The dense path: new features ``[V, C]`` and weights ``[B·T, heads, N, N]``."""

        layout, place = layout_of(graph), slots(graph)

        def dense(rows: Tensor) -> Tensor:  # [V, D] → [G, N, D]
            if place is not None:
                rows = rows.new_zeros(layout.slots, rows.size(1)).index_copy(0, place, rows)
            return rows.reshape(layout.graphs, layout.nodes, rows.size(1))

        ends = Ends(*map(dense, (*self.send.ends(x, graph), *self.gather.ends(x))))
        present = None
        if place is not None:
            present = torch.zeros(layout.slots, dtype=torch.bool, device=x.device)
            present = present.index_fill(0, place, True).view(layout.graphs, layout.nodes)
        out, alpha = self.over_pairs(dense(x), ends, self.adjacency(graph, place), present)
        rows = out.flatten(0, 1)
        return (rows if place is None else rows.index_select(0, place)), alpha

    def over_pairs(
        self,
        x: Tensor,
        ends: Ends,
        adjacency: Tensor | None,
        present: Tensor | None,
        past: Past | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The dense path on G frames of N slots.

        Args:
            x: node features ``[G, N, C]``.
            ends: shares and keys of the nodes, each ``[G, N, …]``.
            adjacency: target, source ``[G, N, N]`` (bool); ``None`` when every pair is an edge.
            present: which slots hold a node ``[G, N]`` (bool); ``None`` when all do.
            past: one more source for every node, J = N + 1 (else J = N).

        Returns:
            New features ``[G, N, C]`` and weights ``[G, heads, N, J]``.
        """
        pairs = None if present is None else present[:, :, None] & present[:, None]
        score = self.gather.score_pairs(ends.query, ends.key)  # [G, heads, N, N]
        if past is not None:
            own = self.gather.score(ends.query.flatten(0, 1), past.key.flatten(0, 1))
            own = own.reshape(*x.shape[:2], own.size(-1)).transpose(1, 2)  # [G, heads, N]
            score = torch.cat([score, own[..., None]], dim=-1)
            everyone = past.present.new_ones(*x.shape[:2], x.size(1))
            there = past.present[..., None]
            adjacency = torch.cat([everyone if adjacency is None else adjacency, there], dim=2)
            pairs = torch.cat([everyone if pairs is None else pairs, there], dim=2)
        if not self.gather.leaks:
            pairs = adjacency
        elif adjacency is not None:
            score = self.gather.leak(score, adjacency[:, None])
        else:
            score = self.gather.leak(score, score.new_ones(()))
        alpha = self.gather.weigh_pairs(score, pairs)
        if past is None and self._sums_up():
            gathered = normed_sums(ends.to, ends.of, alpha, pairs, self.send.norm)
        else:
            gathered = self._one_by_one(ends, alpha, pairs, past)

        def over_nodes(norm: FrameNorm | None) -> Callable[[Tensor], Tensor] | None:
            return None if norm is None else lambda nodes: norm.dense(nodes, present)

        out = self.update_nodes(x, self.gather(gathered, over_nodes(self.gather.norm)))
        normalise = over_nodes(self.update_nodes.norm)
        return (out if normalise is None else normalise(out)), alpha

    def _sums_up(self) -> bool:
        """Whether messages and weights are as :mod:`stgraph.layers.messages` has them."""
        send, gather = self.send, self.gather
        called = (send, gather) if send.norm is None else (send, gather, send.norm)
        return (
            type(send).forward is Send.forward
            and send.second is None
            and (send.norm is None or is_just(send.norm, FrameNorm))
            and type(gather).weighted is Gather.weighted
            and gather.value is None
            and not any(is_hooked(part) for part in called)
        )

    def _is_watched(self) -> bool:
        """Whether something of PyG's, or a subclass, takes part in passing messages over edges."""
        written = ("propagate", "message", "aggregate", "update")
        hooks = (held for name, held in vars(self).items() if name.endswith("_hooks"))
        return (
            bool(self.explain)
            or self.decomposed_layers != 1
            or any(getattr(type(self), name) is not getattr(SpaceLayer, name) for name in written)
            or any(held for held in hooks if held)
        )

    def _one_by_one(
        self, ends: Ends, alpha: Tensor, pairs: Tensor | None, past: Past | None
    ) -> Tensor:
        """Weighted sums ``[G, N, C]`` of messages of any kind."""
        total = ends.to[:, :, None] + ends.of[:, None]  # [G, N, N, C], target first
        if past is not None:
            total = torch.cat([total, (ends.to + past.of)[:, :, None]], dim=2)
        message = self.send(total)
        if self.send.norm is not None:
            message = self.send.norm.dense(message, pairs)
        # Multiply and sum, faster here than matmul.
        return self.gather.weighted(alpha.permute(0, 2, 3, 1), message).sum(dim=2)

    @staticmethod
    def adjacency(graph: Batch, place: Tensor | None) -> Tensor | None:
        """Adjacency ``[G, N, N]`` (target, source); ``None`` when every pair is an edge."""
        layout = layout_of(graph)
        nodes, pairs = layout.nodes, layout.slots * layout.nodes
        source, target = graph.edge_index
        if place is None and source.numel() == pairs:
            return None
        if place is not None:
            source, target = place[source], place[target]
        flat = torch.zeros(pairs, dtype=torch.bool, device=source.device)
        flat = flat.index_fill(0, target * nodes + source % nodes, True)
        return flat.view(layout.graphs, nodes, nodes)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, path={self.path!r}"

    __repr__ = nn.Module.__repr__  # PyG's names in_channels and out_channels only
