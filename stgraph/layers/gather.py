r"""Gathering: how much node i takes of each message, and what it makes of the sum.

.. math:: m_i = \mathrm{ReLU}\Bigl(\sum_{j ∈ \mathcal{N}(i)} α_{ij}\, \mathrm{msg}_{ij} + b\Bigr)

Each class has two forms of the same weights α: over a list of edges, and over all pairs of nodes
with an adjacency that masks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import degree, softmax

from stgraph.checks import integer

__all__ = ["AdditiveAttention", "DotAttention", "Gather", "MeanGather"]


class Gather(nn.Module):
    """What weights are: scores of pairs, and how scores become weights.

    Args:
        channels: C, width of nodes and messages.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.bias = nn.Parameter(torch.zeros(channels))

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Query of the target and key of the source, each ``[V, …]``, once a node."""
        raise NotImplementedError

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """Scores ``[E]`` of edges from their ends."""
        raise NotImplementedError

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores ``[G, N, N]`` (target i, source j) of all pairs, from ``[G, N, …]``."""
        raise NotImplementedError

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """Weights ``[E]``: a softmax over the edges of each ``target [E]``."""
        alpha: Tensor = softmax(score, target, num_nodes=nodes)
        return alpha

    def weigh_pairs(self, score: Tensor, adjacency: Tensor | None) -> Tensor:
        """Weights ``[G, N, N]``: the same over pairs; outside the adjacency they are 0."""
        if adjacency is None:
            return score.softmax(dim=-1)
        lowest = torch.finfo(score.dtype).min
        return score.masked_fill(~adjacency, lowest).softmax(dim=-1) * adjacency

    def forward(self, total: Tensor) -> Tensor:
        """What a node makes of the weighted sum ``[…, C]``: bias and ReLU."""
        return (total + self.bias).relu()

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}"


class DotAttention(Gather):
    r"""Softmax over senders of dot products, :math:`α_{ij} ∝ \exp(q_i · k_j)`, unscaled.

    :math:`q = W_q v + b_q`, :math:`k = W_k v + b_k` (RSTG Eq. 3–4, there without
    softmax; DyReG). Neither scales.

    Example:
        >>> sum(p.numel() for p in DotAttention(512).parameters())
        525824
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        return self.query(x), self.key(x)

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return (query_i * key_j).sum(dim=-1)

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return query @ key.transpose(-2, -1)


class AdditiveAttention(Gather):
    r"""RSTG's "simple" attention: a score of two scalars.

    .. math:: α_{ij} ∝ \exp(\mathrm{LeakyReLU}_{0.2}(w_q v_i + w_k v_j))

    Two scalars a node (official code of RSTG, its SyncMNIST configuration).

    Example:
        >>> sum(p.numel() for p in AdditiveAttention(512).parameters())
        1538
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.query = nn.Linear(channels, 1)
        self.key = nn.Linear(channels, 1)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        return self.query(x), self.key(x)

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return F.leaky_relu(query_i + key_j, 0.2).squeeze(-1)

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return F.leaky_relu(query + key.transpose(-2, -1), 0.2)


class MeanGather(Gather):
    """The mean of the messages, without attention."""

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Gather`."""
        nothing = x[..., :1].detach() * 0
        return nothing, nothing

    def score(self, query_i: Tensor, key_j: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return query_i.squeeze(-1)

    def score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """See :class:`Gather`."""
        return query + key.transpose(-2, -1)

    def weigh(self, score: Tensor, target: Tensor, nodes: int) -> Tensor:
        """See :class:`Gather`."""
        count: Tensor = degree(target, nodes, dtype=score.dtype)
        return count.reciprocal().index_select(0, target)
