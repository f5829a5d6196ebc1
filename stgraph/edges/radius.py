"""Nodes of a frame that are near enough."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import flag, positive
from stgraph.edges.base import EdgeBuilder
from stgraph.edges.nearest import square_distance
from stgraph.edges.pairs import dense_field, pair_edges

__all__ = ["RadiusEdges"]


class RadiusEdges(EdgeBuilder):
    r"""Between all nodes of a frame that are at most a radius apart.

    .. math:: j ∈ \mathcal{N}(i) \iff \|p_i - p_j\| ≤ r

    Positions are the centres of boxes in 0..1 of the frame, whatever its sides. How many edges
    there are depends on them, so on an accelerator this waits for it once.

    Args:
        radius: r, above 0, as a part of the frame's side.
        loops: whether a node also sends to itself.

    Raises:
        InputError: when the radius is no number above 0; on graphs without ``pos``.

    Examples:
        >>> RadiusEdges(0.5)
        RadiusEdges(radius=0.5, loops=False)
    """

    def __init__(self, radius: float = 0.25, loops: bool = False) -> None:
        self.radius = positive("radius", radius)
        self.loops = flag("loops", loops)

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        near = square_distance(dense_field(graph, "pos", 2)) <= self.radius**2
        return pair_edges(near, self.loops, graph)
