"""What an edge builder is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.graph import attach_edges, layout_of, slots

__all__ = ["EdgeBuilder", "check_identities", "pairs_of", "repeated", "template_edges"]


class EdgeBuilder(ABC):
    """Gives frame graphs their edges: ``(graph) → graph``.

    A subclass writes :meth:`edges`. Edges run from source j to target i inside one frame, each
    once, in the order of the frames; the best order is by target, which lets reductions over the
    edges of a target read a contiguous run.

    Examples:
        Every node to itself, in one file:

        >>> from stgraph.nodes import GridNodes
        >>> class Loops(EdgeBuilder):
        ...     def edges(self, graph):
        ...         rows = torch.arange(graph.num_nodes, device=graph.node_id.device)
        ...         return torch.stack([rows, rows])
        >>> graph, _ = GridNodes(8, (2,), edges=Loops())(torch.randn(1, 3, 8, 4, 4))
        >>> graph[1].edge_index
        tensor([[0, 1, 2, 3],
                [0, 1, 2, 3]])
    """

    check: bool = True
    """Whether its edges are checked on the CPU; some are right by the way they are made."""

    @abstractmethod
    def edges(self, graph: Batch) -> Tensor | tuple[Tensor, Tensor]:
        """Return ``edge_index [2, E]``, or that with ``edge_attr [E, …]``, sorted by frame."""

    @classmethod
    def example(cls, nodes: int) -> EdgeBuilder:
        """A builder for frames of N identities: what the contract tests try.

        One whose arguments have no defaults overrides it.
        """
        return cls()

    def __call__(self, graph: Batch) -> Batch:
        """Return the frame graphs with this builder's edges; the graph that came is unchanged.

        Raises:
            InputError: on what is no batch of frame graphs, or lacks what the builder reads; when
                the builder returns what are no edges inside frames (see
                :func:`stgraph.graph.attach_edges`).
        """
        layout_of(graph)
        if not isinstance(graph, Batch):
            raise InputError("graph", "a Batch of frame graphs", type(graph).__name__)
        found = self.edges(graph)
        if isinstance(found, Tensor):
            return attach_edges(graph, found, check=self.check)
        if not isinstance(found, tuple) or len(found) != 2:
            expected = "edge_index [2, E], or (edge_index, edge_attr)"
            raise InputError(f"edges of {type(self).__name__}", expected, type(found).__name__)
        return attach_edges(graph, *found, check=self.check)

    def __repr__(self) -> str:
        options = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(options)})"


def template_edges(adjacency: Tensor, graph: Batch) -> Tensor:
    """Repeat one graph over the identities in every frame, between the nodes that are present.

    Args:
        adjacency: ``[N, N]`` (bool), row = target i, column = source j.
        graph: frame graphs of N identities.

    Returns:
        ``edge_index [2, E]``, sorted by target.

    Raises:
        InputError: when the template is for another number of identities.
    """
    check_identities(adjacency, graph)
    return repeated(pairs_of(adjacency), graph)


def check_identities(adjacency: Tensor, graph: Batch) -> None:
    """Refuse a template for another number of identities than the graph has."""
    nodes = layout_of(graph).nodes
    if tuple(adjacency.shape) != (nodes, nodes):
        raise InputError("adjacency", f"[{nodes}, {nodes}]", list(adjacency.shape))


def pairs_of(adjacency: Tensor) -> Tensor:
    """Source and target ``[2, pairs]`` of what an adjacency ``[N, N]`` joins, sorted by target.

    How many there are depends on the values, which compilers do not know: a builder whose template
    is always the same finds its pairs when it is made.
    """
    target, source = adjacency.nonzero(as_tuple=True)
    return torch.stack([source, target])


def repeated(pairs: Tensor, graph: Batch) -> Tensor:
    """Pairs of identities ``[2, pairs]`` as edges of every frame, between the nodes present."""
    layout, place = layout_of(graph), slots(graph)
    device = graph.node_id.device
    first = torch.arange(layout.graphs, device=device) * layout.nodes
    pair = pairs.to(device, non_blocking=True)[:, None, :] + first[:, None]  # [2, G, pairs]
    edges = pair.flatten(1)
    if place is None:
        return edges
    row = torch.full((layout.slots,), -1, dtype=torch.long, device=device)
    row = row.index_copy(0, place, torch.arange(place.numel(), device=device))
    edges = row[edges]  # rows of the two ends; −1 where absent
    return edges[:, (edges >= 0).all(dim=0)]
