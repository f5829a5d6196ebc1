"""The space layer: one round of messages inside every frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from stgraph.checks import InputError, channels, choice, integer
from stgraph.graph import frame_of, layout_of, slots
from stgraph.layers.gather import DotAttention, Gather
from stgraph.layers.send import Send, SumSend
from stgraph.layers.update import AddUpdate, Update

__all__ = ["SpaceLayer"]


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
            of all pairs.

    Shapes:
        ``x [V, C]``, frame graphs of V nodes → ``[V, C]``.

    Example:
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

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Run one round on ``x [V, C]``.

        Raises:
            InputError: when the graph has no edges attached, or on another width.
        """
        self._check(x, graph)
        if self._is_dense(graph):
            return self._dense(x, graph)[0]
        layout = layout_of(graph)
        to, of = self.send.ends(x, graph)
        query, key = self.gather.ends(x)
        total = self.propagate(
            graph.edge_index,
            size=(x.size(0), x.size(0)),
            share=(of, to),
            key=(key, query),
            frame=frame_of(graph),
            frames=layout.graphs,
        )
        out: Tensor = self.update_nodes(x, self.gather(total))
        norm = self.update_nodes.norm
        return out if norm is None else norm(out, frame_of(graph), layout.graphs)

    def message(
        self,
        share_i: Tensor,
        share_j: Tensor,
        key_i: Tensor,
        key_j: Tensor,
        frame_i: Tensor,
        frames: int,
        index: Tensor,
        dim_size: int,
    ) -> Tensor:
        """Weighted messages ``[E, C]``; ``_i`` is the target, ``_j`` the source."""
        message: Tensor = self.send(share_i + share_j)
        if self.send.norm is not None:
            message = self.send.norm(message, frame_i, frames)
        alpha: Tensor = self.gather.weigh(self.gather.score(key_i, key_j), index, dim_size)
        return alpha[:, None] * message

    def attention(self, x: Tensor, graph: Batch) -> Tensor:
        """Weights α of the edges ``[E]`` on the features ``x [V, C]`` that go into a round."""
        self._check(x, graph)
        source, target = graph.edge_index
        query, key = self.gather.ends(x)
        score = self.gather.score(query[target], key[source])
        return self.gather.weigh(score, target, x.size(0))

    def _check(self, x: Tensor, graph: Batch) -> None:
        rows = channels("x", x, self.channels)
        if getattr(graph, "edge_index", None) is None:
            raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
        if rows != graph.node_id.size(0):
            raise InputError("x", f"[{graph.node_id.size(0)}, ...] (a row a node)", list(x.shape))

    def _is_dense(self, graph: Batch) -> bool:
        if self.path != "auto":
            return self.path == "dense"
        layout = layout_of(graph)
        edges: int = graph.edge_index.size(1)
        return 4 * edges >= layout.slots * layout.nodes

    def _dense(self, x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
        """The dense path: new features ``[V, C]`` and weights ``[B·T, N, N]``."""
        layout = layout_of(graph)
        place = slots(graph)

        def dense(rows: Tensor) -> Tensor:  # [V, D] → [G, N, D]
            if place is not None:
                rows = rows.new_zeros(layout.slots, rows.size(1)).index_copy(0, place, rows)
            return rows.reshape(layout.graphs, layout.nodes, -1)

        adjacency = self._adjacency(graph, place)
        to, of = map(dense, self.send.ends(x, graph))
        query, key = map(dense, self.gather.ends(x))
        message = self.send(to[:, :, None] + of[:, None])  # [G, N, N, C], target first
        if self.send.norm is not None:
            message = self.send.norm.dense(message, adjacency)
        alpha = self.gather.weigh_pairs(self.gather.score_pairs(query, key), adjacency)
        total = (alpha[..., None] * message).sum(dim=2)  # [G, N, C]; faster here than matmul
        out = self.update_nodes(dense(x), self.gather(total))
        if self.update_nodes.norm is not None:
            present = None
            if place is not None:
                present = torch.zeros(layout.slots, dtype=torch.bool, device=x.device)
                present = present.index_fill(0, place, True).view(layout.graphs, layout.nodes)
            out = self.update_nodes.norm.dense(out, present)
        rows = out.flatten(0, 1)
        return (rows if place is None else rows.index_select(0, place)), alpha

    @staticmethod
    def _adjacency(graph: Batch, place: Tensor | None) -> Tensor | None:
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
