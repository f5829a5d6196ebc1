"""A graph over the identities, given once: from a tensor, from networkx, from scipy.sparse."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import InputError, flag, shape
from stgraph.edges.base import EdgeBuilder, check_identities, pairs_of, repeated
from stgraph.precision import precise

__all__ = ["TemplateEdges"]


class TemplateEdges(EdgeBuilder):
    """One graph over the N identities, the same in every frame, between the nodes present.

    A skeleton of joints, a map of places, or whatever is known before. From other libraries:
    :meth:`from_networkx`, :meth:`from_scipy`.

    Args:
        adjacency: ``[N, N]`` (bool), row = target i, column = source j.
        weight: weights of the edges ``[N, N]``, which become ``edge_attr [E, 1]`` in the type
            of the node features; those of pairs without an edge are not read.

    Raises:
        InputError: on another shape or type, weights that are not finite; at the call, on graphs
            of another number of identities.

    Examples:
        >>> TemplateEdges(torch.ones(3, 3, dtype=torch.bool))
        TemplateEdges(nodes=3, edges=9, weighted=False)
    """

    def __init__(self, adjacency: Tensor, weight: Tensor | None = None) -> None:
        nodes = shape("adjacency", adjacency, "N N")[0]
        if adjacency.dtype != torch.bool:
            raise InputError("adjacency", "a tensor of bool", adjacency.dtype)
        if not nodes:
            raise InputError("adjacency", "at least one node", list(adjacency.shape))
        if weight is not None:
            shape("weight", weight, nodes, nodes)
            if weight.is_complex() or not bool(weight[adjacency].isfinite().all()):
                raise InputError("weight", "finite real numbers", "others")
            weight = precise(weight.detach().cpu())
        self._adjacency, self._weight = adjacency.detach().cpu(), weight
        self._pairs = pairs_of(self._adjacency)

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any], weight: str | None = None) -> TemplateEdges:
        """Builder of a networkx graph whose nodes are the identities 0..N−1.

        Args:
            graph: a ``Graph``, whose edges go both ways, or a ``DiGraph``, whose edge (j, i) goes
                from j to i.
            weight: name of an attribute of every edge, a number, for ``edge_attr``.

        Raises:
            InputError: on multigraphs, other labels, or an edge without that number.

        Examples:
            >>> TemplateEdges.from_networkx(nx.path_graph(4))
            TemplateEdges(nodes=4, edges=6, weighted=False)
        """
        if not isinstance(graph, nx.Graph) or graph.is_multigraph():
            raise InputError("graph", "a networkx Graph or DiGraph", type(graph).__name__)
        nodes = graph.number_of_nodes()
        if set(graph) != set(range(nodes)):
            strange = sorted(map(repr, set(graph) - set(range(nodes))))
            raise InputError("graph", f"nodes labelled 0..{nodes - 1}", ", ".join(strange[:4]))
        adjacency = torch.zeros(nodes, nodes, dtype=torch.bool, device="cpu")
        values = torch.zeros(nodes, nodes, dtype=torch.float64, device="cpu")
        for source, target, data in graph.edges(data=True):
            ways = (
                [(target, source)] if graph.is_directed() else [(target, source), (source, target)]
            )
            for way in ways:
                adjacency[way] = True
                if weight is not None:
                    values[way] = _number(data.get(weight), weight, source, target)
        return cls(adjacency, None if weight is None else values)

    @classmethod
    def from_scipy(cls, matrix: Any, weighted: bool = False) -> TemplateEdges:
        """Builder of a scipy.sparse matrix or array, whose entry (j, i) is an edge from j to i.

        Every stored entry is an edge, a stored zero too; entries stored twice are added, as scipy
        does. Rows are sources, as in networkx, in ``scipy.sparse.csgraph`` and in PyG.

        Args:
            matrix: ``[N, N]``, of any sparse format.
            weighted: whether the entries become ``edge_attr``.

        Raises:
            InputError: on dense or complex or not square matrices, or entries that are not finite.

        Examples:
            >>> TemplateEdges.from_scipy(scipy.sparse.eye_array(4), weighted=True)
            TemplateEdges(nodes=4, edges=4, weighted=True)
        """
        flag("weighted", weighted)
        if not scipy.sparse.issparse(matrix):
            raise InputError("matrix", "a scipy.sparse matrix or array", type(matrix).__name__)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise InputError("matrix", "[N, N]", list(matrix.shape))
        if matrix.dtype.kind not in "biuf":
            raise InputError("matrix", "real numbers", matrix.dtype)
        entries = scipy.sparse.coo_array(matrix, copy=True)
        entries.sum_duplicates()
        values = torch.from_numpy(entries.data.astype(np.float64))
        if not bool(values.isfinite().all()):
            raise InputError("matrix", "finite entries", "NaN or infinity")
        nodes = matrix.shape[0]
        source, target = (torch.from_numpy(end.astype(np.int64)) for end in entries.coords)
        adjacency = torch.zeros(nodes, nodes, dtype=torch.bool, device="cpu")
        adjacency[target, source] = True
        weight = torch.zeros(nodes, nodes, dtype=torch.float64, device="cpu")
        weight[target, source] = values
        return cls(adjacency, weight if weighted else None)

    @classmethod
    def example(cls, nodes: int) -> TemplateEdges:
        """A ring: see :meth:`EdgeBuilder.example`."""
        return cls.from_networkx(nx.cycle_graph(nodes))

    def edges(self, graph: Batch) -> Tensor | tuple[Tensor, Tensor]:
        """See :class:`EdgeBuilder`."""
        check_identities(self._adjacency, graph)
        edge_index = repeated(self._pairs, graph)
        if self._weight is None:
            return edge_index
        source, target = graph.node_id[edge_index]
        # In double up to here: the type of the features is known only now.
        weight = self._weight.to(graph.x.dtype).to(graph.x.device, non_blocking=True)
        return edge_index, weight[target, source][:, None]

    def __repr__(self) -> str:
        nodes, edges = self._adjacency.size(0), int(self._adjacency.sum())
        weighted = self._weight is not None
        return f"{type(self).__name__}(nodes={nodes}, edges={edges}, weighted={weighted})"


def _number(value: Any, name: str, source: int, target: int) -> float:
    """The value of an edge's attribute, if it is a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        where = f"{value!r} on edge ({source}, {target})"
        raise InputError("graph", f"a finite number `{name}` on every edge", where)
    return number
