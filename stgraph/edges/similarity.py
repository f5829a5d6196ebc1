"""The k most similar nodes of a frame."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Batch

from stgraph.checks import InputError, choice, flag, integer
from stgraph.edges.base import EdgeBuilder
from stgraph.edges.pairs import dense_field, top_edges
from stgraph.precision import uncast

__all__ = ["SimilarityEdges"]


class SimilarityEdges(EdgeBuilder):
    r"""To each node from the k nodes of its frame with the most similar features.

    .. math::
        \mathcal{N}(i) = \mathrm{arg\,max}^k_j \; s(v_i, v_j), \quad
        s(u, v) = u^⊤ v \;\text{ or }\; \frac{u^⊤ v}{\|u\| \|v\|}

    Features are those of the frame graph when its edges are made. Of equally similar nodes those of
    a lower identity are taken; where a frame has fewer than k others, all are. With all nodes
    present E is B·T·N·k and nothing waits for the device. Which edges there are has no gradient.

    Args:
        k: nodes that a node hears.
        metric: ``"cosine"`` or ``"dot"``.
        loops: whether a node is itself the first of them.
        field: the node field that is compared.

    Raises:
        InputError: when k is no whole number of at least 1, on another metric; on graphs without
            the field.

    Examples:
        >>> SimilarityEdges(k=8, metric="dot")
        SimilarityEdges(k=8, metric='dot', loops=False, field='x')
    """

    def __init__(
        self, k: int = 4, metric: str = "cosine", loops: bool = False, field: str = "x"
    ) -> None:
        self.k = integer("k", k)
        self.metric = choice("metric", metric, ("cosine", "dot"))
        self.loops = flag("loops", loops)
        if not isinstance(field, str):
            raise InputError("field", "the name of a node field", repr(field))
        self.field = field

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        x = dense_field(graph, self.field)  # [G, N, D]
        if self.metric == "cosine":
            x = F.normalize(x, dim=-1)
        with uncast(x.device):  # half precision would reorder
            likeness = x @ x.transpose(-2, -1)
        return top_edges(-likeness, self.k, self.loops, graph)
