"""The k nearest nodes of a frame."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import flag, integer
from stgraph.edges.base import EdgeBuilder
from stgraph.edges.pairs import dense_field, top_edges

__all__ = ["NearestEdges", "square_distance"]


def square_distance(pos: Tensor) -> Tensor:
    r"""Squared distances of all pairs, :math:`\|p_i - p_j\|^2`.

    By differences, so that it is exactly symmetric, and 0 for equal positions.

    Args:
        pos: positions ``[..., N, D]``.

    Returns:
        ``[..., N, N]``.

    Examples:
        >>> import torch
        >>> square_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[ 0., 25.],
                [25.,  0.]])
    """
    return (pos[..., :, None, :] - pos[..., None, :, :]).square().sum(dim=-1)


class NearestEdges(EdgeBuilder):
    r"""To each node from the k nodes of its frame that are nearest in position.

    .. math:: \mathcal{N}(i) = \mathrm{arg\,min}^k_j \; \|p_i - p_j\|

    Positions are the centres of boxes in 0..1 of the frame, whatever its sides. Of nodes at the
    same distance those of a lower identity are taken; where a frame has fewer than k others, all
    are. With all nodes present E is B·T·N·k and nothing waits for the device.

    Args:
        k: nodes that a node hears.
        loops: whether it is itself the first of them (so PyG's ``knn_graph`` counts too).

    Raises:
        InputError: when k is no whole number of at least 1; on graphs without ``pos``.

    Examples:
        >>> from stgraph.graph import Layout, frame_graphs
        >>> import torch
        >>> pos = torch.tensor([[0.1, 0.5], [0.2, 0.5], [0.9, 0.5]]).view(1, 1, 3, 2)
        >>> graph = frame_graphs({"x": pos, "pos": pos}, Layout(1, 1, 3, 4, 4))
        >>> NearestEdges(k=1)(graph).edge_index
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """

    def __init__(self, k: int = 4, loops: bool = False) -> None:
        self.k = integer("k", k)
        self.loops = flag("loops", loops)

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        distance = square_distance(dense_field(graph, "pos", 2))
        return top_edges(distance, self.k, self.loops, graph)
