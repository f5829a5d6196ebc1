r"""Gathering: how much node i takes of each message, and what it makes of the sum.

.. math:: m_i = \mathrm{ReLU}\Bigl(\sum_{j ∈ \mathcal{N}(i)} α_{ij}\, \mathrm{msg}_{ij} + b\Bigr)

Each class has two forms of the same weights α: over a list of edges, and over all pairs of nodes
with an adjacency that masks. With several heads the channels of a message are split among them, and
every head has weights of its own; ``value`` maps messages before they are split, so that each head
takes its share from a projection of the whole message.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import degree, softmax

from stgraph.checks import InputError, integer, positive
from stgraph.layers.edge_messages import EdgeDots
from stgraph.layers.norm import FrameNorm
from stgraph.precision import precise

__all__ = [
    "AdditiveAttention",
    "DotAttention",
    "Gather",
    "LeakingAdditiveAttention",
    "LeakingDotAttention",
    "MeanGather",
    "RawDotAttention",
    "SumGather",
    "rounded",
    "widened",
]


def widened(x: Tensor) -> Tensor:
    """Half precision as single: products of large features go beyond 65504."""
    return x.float() if x.dtype == torch.float16 else x


def rounded(score: Tensor, dtype: torch.dtype) -> Tensor:
    """Scores in the type of the features; in half precision the largest number for larger ones."""
    if dtype != torch.float16:
        return score
    largest = torch.finfo(dtype).max
    return score.clamp(-largest, largest).to(dtype)


class Gather(nn.Module):
    """What weights are: scores of pairs, and how scores become weights.

    Args:
        channels: C, width of nodes and messages.
        heads: how many weights a pair has; each is for C/heads channels.
        norm: maker of a norm over a frame's nodes, between bias and ReLU, or ``None``. The official
            code of RSTG has one in its "simple" attention.
        value: maker of a linear map of messages, called with their width twice, such as
            ``torch.nn.Linear``: a projection of the messages for each head. ``None`` for none.

    Raises:
        InputError: when the heads do not divide the channels.
    """

    norm: FrameNorm | None

    leaks: bool = False
    """Whether all pairs of present nodes exchange messages, and edges only change their scores."""

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        norm: Callable[[int], FrameNorm] | None = None,
        value: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.heads = integer("channels", channels), integer("heads", heads)
        if channels % heads:
            raise InputError("heads", f"a divisor of {channels} channels", heads)
        self.bias: nn.Parameter | None = nn.Parameter(torch.zeros(channels))
        self.norm = None if norm is None else norm(channels)
        self.value = None if value is None else value(channels, channels)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Query of the target and key of the source, each ``[V, …]``, once a node."""
        raise NotImplementedError

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """Scores ``[E, heads]`` of edges from their ends."""
        raise NotImplementedError

    def score_edges(self, query: Tensor, key: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Scores ``[E, heads]`` of edges between nodes with these queries and keys ``[V, …]``."""
        return self.score(query.index_select(0, target), key.index_select(0, source))

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores ``[G, heads, N, N]`` (target i, source j) of all pairs, from ``[G, N, …]``."""
        raise NotImplementedError

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """Weights ``[E, heads]``: a softmax over the edges of each ``target [E]``."""
        alpha: Tensor = softmax(precise(score), target, num_nodes=nodes)
        return alpha.to(score.dtype)

    def weigh_pairs(self, score: Tensor, allowed: Tensor | None) -> Tensor:
        """Weights ``[G, heads, N, J]`` of pairs; 0 outside of ``allowed [G, N, J]`` (bool)."""
        if allowed is None:
            return score.softmax(dim=-1)
        allowed = allowed[:, None]
        lowest = torch.finfo(score.dtype).min
        return score.masked_fill(~allowed, lowest).softmax(dim=-1) * allowed

    def leak(self, score: Tensor, adjacency: Tensor) -> Tensor:
        """Scores of all pairs given the adjacency, both ``[G, heads, N, J]``, where it leaks."""
        raise NotImplementedError

    def weighted(self, alpha: Tensor, message: Tensor) -> Tensor:
        """Messages ``[…, C]`` times weights ``[…, heads]``, each head on its share of channels."""
        if self.value is not None:
            message = self.value(message)
        if self.heads == 1:
            return alpha * message
        split = message.reshape(*message.shape[:-1], self.heads, message.size(-1) // self.heads)
        return (alpha[..., None] * split).flatten(-2)

    def forward(self, total: Tensor, normalise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What a node makes of the weighted sum ``[…, C]``: bias, ReLU.

        Args:
            total: weighted sums of messages.
            normalise: :attr:`norm` on the frames that the sums belong to, where there is one.
        """
        if self.bias is not None:
            total = total + self.bias
        return (total if normalise is None else normalise(total)).relu()

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, heads={self.heads}"


class DotAttention(Gather):
    r"""Softmax over senders of dot products, :math:`α_{ij} ∝ \exp(s\, q_i · k_j)`.

    :math:`q = W_q v + b_q`, :math:`k = W_k v + b_k` (RSTG Eq. 3–4, there without
    softmax; DyReG). Neither scales. With several heads each has its share of q and k.

    Args:
        channels: C, width of nodes and messages.
        heads: number of heads; the official code of RSTG knows 8, its configurations have 1.
        scale: s; ``(channels // heads) ** -0.5`` is that of a transformer.
        norm: maker of a norm between bias and ReLU, or ``None``.
        value: see :class:`Gather`.

    Examples:
        >>> sum(p.numel() for p in DotAttention(512).parameters())
        525824
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        scale: float = 1.0,
        norm: Callable[[int], FrameNorm] | None = None,
        value: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__(channels, heads, norm, value)
        self.scale = positive("scale", scale)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        query, key = self.query(x), self.key(x)
        return (query if self.scale == 1 else query * self.scale), key

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        product = widened(query_i) * widened(key_j)  # [E, C]
        share = self.channels // self.heads
        total = product.reshape(product.size(0), self.heads, share).sum(dim=-1)
        return rounded(total, query_i.dtype)

    def score_edges(self, query: Tensor, key: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """See :class:`Gather`."""
        exact = query.dtype == key.dtype and query.dtype in (torch.float32, torch.float64)
        if type(self).score is not DotAttention.score or not exact:
            return super().score_edges(query, key, source, target)
        return EdgeDots.of(query, key, source, target, self.heads)[0]

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        split = (*query.shape[:2], self.heads, self.channels // self.heads)
        query, key = query.reshape(split).transpose(1, 2), key.reshape(split).transpose(1, 2)
        total = widened(query) @ widened(key).transpose(-2, -1)  # [G, heads, N, N]
        return rounded(total, query.dtype)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{super().extra_repr()}, scale={self.scale}"


class RawDotAttention(DotAttention):
    r"""Dot products as weights, as printed: no softmax, no bias, no ReLU (RSTG Eq. 3–4).

    .. math:: m_i = \sum_{j ∈ \mathcal{N}(i)} (q_i · k_j)\, \mathrm{msg}_{ij}

    Args:
        channels: C, width of nodes and messages.
        heads: number of heads.
        scale: factor of the products, 1 in the paper.
        value: see :class:`Gather`.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        scale: float = 1.0,
        value: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__(channels, heads, scale, value=value)
        self.bias = None

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """See :class:`Gather`."""
        return score

    def weigh_pairs(self, score: Tensor, allowed: Tensor | None) -> Tensor:
        """See :class:`Gather`."""
        return score if allowed is None else score.masked_fill(~allowed[:, None], 0)

    def forward(self, total: Tensor, normalise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The weighted sum itself."""
        return total


class LeakingDotAttention(DotAttention):
    r"""Dot attention as the official code of RSTG runs it: the adjacency A is no mask.

    .. math:: α_{ij} = \mathrm{softmax}_j(A_{ij}\, q_i · k_j)

    over all nodes j of the frame. Nodes that are no neighbours, and the node itself, keep the score
    0 and send messages too. Takes the dense path only.
    """

    leaks = True

    def leak(self, score: Tensor, adjacency: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return score * adjacency


class AdditiveAttention(Gather):
    r"""RSTG's "simple" attention: a score of two scalars.

    .. math:: α_{ij} ∝ \exp(\mathrm{LeakyReLU}_{0.2}(w_q v_i + w_k v_j))

    Two scalars a node and head (official code of RSTG, its SyncMNIST configuration).

    Args:
        channels: C, width of nodes and messages.
        heads: number of heads.
        norm: maker of a norm between bias and ReLU, or ``None``.
        value: see :class:`Gather`.

    Examples:
        >>> sum(p.numel() for p in AdditiveAttention(512).parameters())
        1538
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        norm: Callable[[int], FrameNorm] | None = None,
        value: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__(channels, heads, norm, value)
        self.query = nn.Linear(channels, heads)
        self.key = nn.Linear(channels, heads)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        return self.query(x), self.key(x)

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return F.leaky_relu(query_i + key_j, 0.2)

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        query, key = query.transpose(1, 2), key.transpose(1, 2)  # [G, heads, N]
        return F.leaky_relu(query[..., None] + key[..., None, :], 0.2)


class LeakingAdditiveAttention(AdditiveAttention):
    r"""Additive attention as the official code of RSTG runs it: the adjacency A is no mask.

    .. math:: α_{ij} = \mathrm{softmax}_j(\mathrm{LeakyReLU}_{0.2}(A_{ij}(a_i + b_j)) + A_{ij})

    over all nodes j of the frame: all that a neighbour gains is 1 on its score. Takes the dense
    path only.
    """

    leaks = True

    def leak(self, score: Tensor, adjacency: Tensor) -> Tensor:
        """See :class:`Gather`; LeakyReLU(A s) = A LeakyReLU(s), since A is 0 or 1."""
        return (score + 1) * adjacency


class MeanGather(Gather):
    """The mean of the messages, without attention (DyReG's official code calls it "sum").

    Args:
        channels: C, width of nodes and messages.
        norm: maker of a norm between bias and ReLU, or ``None``.
    """

    def __init__(self, channels: int, norm: Callable[[int], FrameNorm] | None = None) -> None:
        super().__init__(channels, 1, norm)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        nothing = torch.zeros_like(x[..., :1])
        return nothing, nothing

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return query_i

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return (query + key.transpose(-2, -1))[:, None]

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """See :class:`Gather`."""
        count: Tensor = degree(target, nodes, dtype=precise(score).dtype)
        return count.index_select(0, target).reciprocal()[:, None].to(score.dtype)


class SumGather(MeanGather):
    """The sum of the messages, without attention."""

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """See :class:`Gather`."""
        return torch.ones_like(score)

    def weigh_pairs(self, score: Tensor, allowed: Tensor | None) -> Tensor:
        """See :class:`Gather`."""
        ones = torch.ones_like(score)
        return ones if allowed is None else ones * allowed[:, None]
