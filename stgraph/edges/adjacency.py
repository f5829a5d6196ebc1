"""The edges of frame graphs in the forms that other libraries want.

Matrices are those of the whole batch, ``[V, V]`` and block diagonal; an edge from j to i stands in
row j and column i, as in PyG, scipy and networkx, so that what nodes receive is ``A.T @ x``.
"""

from __future__ import annotations

import warnings
from typing import Any

import networkx as nx
import scipy.sparse
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError
from stgraph.graph import attach_edges, attach_fields, edge_fields, frame_of, layout_of

__all__ = [
    "edge_list",
    "frames_to_networkx",
    "sort_edges",
    "to_csr",
    "to_edge_index",
    "to_networkx",
    "to_scipy",
]


def edge_list(graph: Data) -> Tensor:
    """Edges ``[2, E]`` as a plain tensor, also where the graph carries an ``EdgeIndex``.

    Raises:
        InputError: when the graph has no edges, or is no frame graph.
    """
    layout_of(graph)
    edge_index = getattr(graph, "edge_index", None)
    if edge_index is None:
        raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
    plain: Tensor = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    return plain


def sort_edges(graph: Batch) -> Batch:
    """Return the frame graphs with edges, and fields of edges, sorted by target, then by source.

    The builders of this room sort so themselves.

    Examples:
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(1, 1, 3, 8)}, Layout(1, 1, 3, 4, 4))
        >>> graph = attach_edges(graph, torch.tensor([[0, 2, 1], [2, 0, 0]]))
        >>> sort_edges(graph).edge_index
        tensor([[1, 2, 0],
                [0, 0, 2]])
    """
    edges = edge_list(graph)
    order = _order(edges, first=1)
    fields = {name: value[order] for name, value in edge_fields(graph).items()}
    return attach_fields(attach_edges(graph, edges[:, order]), edges=fields)


def to_edge_index(graph: Data) -> EdgeIndex:
    """Edges as PyG's ``EdgeIndex``, sorted by target (``"col"``), with size and pointers cached.

    Both compressed forms are cached, by target and by source, so that PyG's layers need not sort.
    The order is that of :func:`sort_edges`: where a builder of this room made the edges, or that
    function sorted them, ``edge_attr`` fits as it is.

    Examples:
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(1, 2, 3, 8)}, Layout(1, 2, 3, 4, 4))
        >>> edge_index = to_edge_index(FullEdges()(graph))
        >>> edge_index.sparse_size(), edge_index.sort_order
        ((6, 6), 'col')
    """
    edges = edge_list(graph)
    nodes = graph.node_id.size(0)
    edges = edges[:, _order(edges, first=1)]
    return EdgeIndex(edges, sparse_size=(nodes, nodes), sort_order="col").fill_cache_()


def to_csr(graph: Data, weight: Tensor | None = None) -> Tensor:
    """Adjacency as torch's sparse CSR tensor ``[V, V]``; row = source, column = target.

    Args:
        graph: frame graphs with edges.
        weight: values of the edges ``[E]`` or ``[E, 1]``, for example ``graph.edge_attr`` or the
            attention of a layer; 1 in the type of the features otherwise.

    Raises:
        InputError: on a graph without edges, or weights of another shape.
    """
    edges, values = edge_list(graph), _values(graph, weight)
    nodes = graph.node_id.size(0)
    order = _order(edges, first=0)
    source, target = edges[:, order]
    begin = torch.searchsorted(source, torch.arange(nodes + 1, device=source.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            begin, target, values[order], size=(nodes, nodes), check_invariants=False
        )


def to_scipy(graph: Data, weight: Tensor | None = None) -> scipy.sparse.csr_array:
    """Adjacency as ``scipy.sparse.csr_array [V, V]``; row = source, column = target.

    Args:
        graph: frame graphs with edges.
        weight: see :func:`to_csr`; numpy has no bfloat16, which becomes single precision.

    Raises:
        InputError: on a graph without edges, or weights of another shape.

    Examples:
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(1, 2, 3, 8)}, Layout(1, 2, 3, 4, 4))
        >>> to_scipy(FullEdges()(graph)).shape
        (6, 6)
    """
    edges, values = edge_list(graph).cpu(), _values(graph, weight).detach().cpu()
    if values.dtype in {torch.bfloat16, torch.float16}:  # scipy.sparse has neither
        values = values.float()
    nodes = graph.node_id.size(0)
    entries = (values.numpy(), tuple(edges.numpy()))
    return scipy.sparse.csr_array(entries, shape=(nodes, nodes))


def to_networkx(graph: Data, weight: Tensor | None = None) -> nx.DiGraph[int]:
    """The whole batch as one networkx graph.

    Args:
        graph: frame graphs with edges.
        weight: ``weight`` of the edges ``[E]`` or ``[E, 1]``.

    Returns:
        A ``DiGraph`` of the rows 0..V−1, with ``frame`` (number of the frame graph), ``node_id``
        and ``time`` of every node.

    Raises:
        InputError: on a graph without edges, or weights of another shape.
    """
    out: nx.DiGraph[int] = nx.DiGraph()
    out.add_nodes_from(enumerate(_node_data(graph)))
    out.add_edges_from(_edge_data(graph, weight))
    return out


def frames_to_networkx(graph: Data, weight: Tensor | None = None) -> list[nx.DiGraph[int]]:
    """Every frame as a networkx graph of its own, with nodes numbered from 0 in each.

    Args:
        graph: frame graphs with edges.
        weight: see :func:`to_networkx`.

    Returns:
        A graph a frame in the order of the batch, frames without nodes among them.

    Examples:
        >>> from stgraph.edges import GridEdges
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(1, 2, 14, 8)}, Layout(1, 2, 14, 6, 6))
        >>> [str(one) for one in frames_to_networkx(GridEdges()(graph))]
        ['DiGraph with 14 nodes and 90 edges', 'DiGraph with 14 nodes and 90 edges']
    """
    out: list[nx.DiGraph[int]] = [nx.DiGraph() for _ in range(layout_of(graph).graphs)]
    place = []  # of a row: its graph, and its number there
    for data in _node_data(graph):
        one = out[data["frame"]]
        place.append((one, one.number_of_nodes()))
        one.add_node(one.number_of_nodes(), **data)
    for source, target, data in _edge_data(graph, weight):
        (one, start), (other, end) = place[source], place[target]
        if one is not other:
            raise InputError("edge_index", "both ends of an edge in one frame", "across frames")
        one.add_edge(start, end, **data)
    return out


def _node_data(graph: Data) -> list[dict[str, int]]:
    fields = {"frame": frame_of(graph), "node_id": graph.node_id, "time": graph.time}
    columns = (value.tolist() for value in fields.values())
    return [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]


def _edge_data(graph: Data, weight: Tensor | None) -> list[tuple[int, int, dict[str, Any]]]:
    ends = edge_list(graph).t().tolist()
    if weight is None:
        return [(source, target, {}) for source, target in ends]
    values = _values(graph, weight).tolist()
    return [
        (source, target, {"weight": value})
        for (source, target), value in zip(ends, values, strict=True)
    ]


def _values(graph: Data, weight: Tensor | None) -> Tensor:
    """Values of the edges ``[E]``."""
    edges = edge_list(graph).size(1)
    if weight is None:
        return torch.ones(edges, dtype=graph.x.dtype, device=graph.x.device)
    if not isinstance(weight, Tensor) or tuple(weight.shape) not in {(edges,), (edges, 1)}:
        got = list(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise InputError("weight", f"[{edges}] or [{edges}, 1]", got)
    return weight.reshape(edges)


def _order(edges: Tensor, first: int) -> Tensor:
    """The order ``[E]`` of edges by their end ``first``, then by the other."""
    order = edges[1 - first].argsort(stable=True)
    return order[edges[first, order].argsort(stable=True)]
