"""What the contract promises of frame graphs, checked."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError, shape
from stgraph.graph.layout import layout_of
from stgraph.graph.order import frame_of

__all__ = ["check_edges", "validate"]

_OF_NODES = frozenset({"x", "pos", "box", "kernel", "mass", "node_id", "time", "batch"})


def validate(graph: Batch) -> Batch:
    """Check what the contract promises of frame graphs, and return them.

    Sizes, order and identities of the rows, finite values, boxes, kernels, and edges; further
    fields have a row a node, a row an edge (``edge_weight``, ``edge_type``, all that is called
    ``edge_…``), or belong to single graphs in any way that PyG batches (``y``). This reads values,
    so it waits for the device: call it in tests and on graphs of your own.

    Raises:
        InputError: naming the field, what was expected and what came.

    Examples:
        >>> from stgraph.graph import Layout, frame_graphs
        >>> x = torch.zeros(1, 2, 3, 8)
        >>> graph = frame_graphs({"x": x}, Layout(1, 2, 3, 4, 4))
        >>> validate(graph).num_graphs
        2
    """
    layout, frame = layout_of(graph), frame_of(graph)
    rows = graph.node_id.size(0)
    graphs = getattr(graph, "num_graphs", 1)
    if graphs != layout.graphs:
        raise InputError("num_graphs", f"{layout.graphs} (frames of all clips)", graphs)
    for name, value in graph.to_dict().items():
        if isinstance(value, Tensor) and name not in {"edge_index", "ptr"}:
            _check_field(graph, name, value)
    if "edge_index" in graph:
        check_edges(graph.edge_index, frame)
    if not rows:
        return graph
    low, high = int(graph.node_id.min()), int(graph.node_id.max())
    if low < 0 or high >= layout.nodes:
        raise InputError("node_id", f"ids in 0..{layout.nodes - 1}", f"{low}..{high}")
    if not bool(((frame * layout.nodes + graph.node_id).diff() > 0).all()):
        raise InputError("node_id", "rows sorted by (clip, frame, id), an id once a frame", "not")
    if "time" in graph and int(graph.time.min()) < 0:
        raise InputError("time", "frame numbers from 0 on", int(graph.time.min()))
    if "kernel" in graph:
        shape("kernel", graph.kernel, rows, layout.height, layout.width)
        total = graph.kernel.detach().float().sum(dim=(1, 2))
        off = torch.minimum(total.abs(), (total - 1).abs()).max()
        if bool((graph.kernel < 0).any()) or float(off) > 0.02:  # bfloat16 has 8 bits
            raise InputError("kernel", "weights ≥ 0 that sum to 1, or all 0", "others")
    if "box" in graph:
        x1, y1, x2, y2 = graph.box.unbind(-1)
        inside = (
            (graph.box >= 0).all() & (graph.box <= 1).all() & (x1 <= x2).all() & (y1 <= y2).all()
        )
        if not bool(inside):
            raise InputError("box", "(x1, y1, x2, y2) in 0..1, x1 ≤ x2 and y1 ≤ y2", "others")
    return graph


def _check_field(graph: Data, name: str, value: Tensor) -> None:
    """Check that the rows of a field belong to edges, nodes or single graphs."""
    rows = value.size(0) if value.dim() else None
    if name.startswith("edge_") and not name.startswith("edge_label"):  # PyG's labels of any pairs
        edges = graph.edge_index.size(1) if "edge_index" in graph else 0
        if rows != edges:
            raise InputError(name, f"[{edges}, ...] (a row an edge)", list(value.shape))
        return
    nodes = graph.node_id.size(0)
    if rows != nodes and (name in _OF_NODES or not _of_single_graphs(graph, name, value)):
        raise InputError(name, f"[{nodes}, ...] (a row a node)", list(value.shape))
    numbers = value.is_floating_point() and value.layout == torch.strided
    if numbers and not bool(value.isfinite().all()):
        raise InputError(name, "finite values", "NaN or infinity")


def _of_single_graphs(graph: Data, name: str, value: Tensor) -> bool:
    """Whether a field, like ``y``, has a row a graph, or as many as PyG knows of."""
    if not isinstance(graph, Batch):
        return True
    slices = graph._slice_dict.get(name)
    if slices is None:  # set on the batch
        return value.dim() > 0 and value.size(0) == graph.num_graphs
    axis = graph.__cat_dim__(name, value)
    return bool(slices.numel() == graph.num_graphs + 1 and int(slices[-1]) == value.size(axis))


def check_edges(edge_index: Tensor, frame: Tensor) -> None:
    """Both ends exist and lie in one frame, edges are sorted by frame, and none stands twice."""
    if not edge_index.numel():
        return
    source, target = edge_index
    rows = frame.numel()
    if int(edge_index.min()) < 0 or int(edge_index.max()) >= rows:
        got = f"{int(edge_index.min())}..{int(edge_index.max())}"
        raise InputError("edge_index", f"nodes in 0..{rows - 1}", got)
    if not bool((frame[source] == frame[target]).all()):
        raise InputError("edge_index", "both ends of an edge in one frame", "edges across frames")
    if not bool((frame[target].diff() >= 0).all()):
        raise InputError("edge_index", "edges sorted by frame", "another order")
    number = target * rows + source
    if not bool((number.diff() > 0).all()) and torch.unique(number).numel() != number.numel():
        raise InputError("edge_index", "every edge once", "repeated edges")
