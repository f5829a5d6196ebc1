"""Edges along time, and whole clips as one space-time graph each.

Frame graphs have edges inside frames only; what happens between frames is for time layers. For
networks that want both in one graph, these functions turn frame graphs of B clips into a plain PyG
batch of B clips. It is no batch of frame graphs any more: use PyG's own layers on it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, HeteroData

from stgraph.checks import InputError, flag
from stgraph.graph import clips_of, presence, slots, to_dense

__all__ = ["SPACE", "TIME", "space_time_graph", "space_time_hetero", "temporal_edges"]

SPACE, TIME = 0, 1
"""Values of ``edge_type``."""


def temporal_edges(graph: Batch, last_seen: bool = False) -> Tensor:
    """Edges from a node to itself in the next frame of its clip, forward in time.

    Where all nodes are present there are B·(T − 1)·N and nothing waits for the device; where some
    are absent it waits once.

    Args:
        graph: frame graphs.
        last_seen: whether a node that was absent hears from the last frame that it was seen in;
            if not, only from the frame just before.

    Returns:
        ``edge_index [2, E]`` between rows of the batch, sorted by target.

    Examples:
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(1, 3, 2, 8)}, Layout(1, 3, 2, 4, 4))
        >>> temporal_edges(graph)
        tensor([[0, 1, 2, 3],
                [2, 3, 4, 5]])
    """
    flag("last_seen", last_seen)
    number = torch.arange(graph.node_id.size(0), device=graph.node_id.device)
    row, here = to_dense(number, graph), presence(graph)  # [B, T, N]
    target = row[:, 1:]
    if here is None:
        return torch.stack([row[:, :-1], target]).flatten(1)
    seen = row.masked_fill(~here, -1)  # rows grow along time
    source = (seen.cummax(dim=1).values if last_seen else seen)[:, :-1]
    return torch.stack([source, target])[:, here[:, 1:] & (source >= 0)]


def space_time_graph(graph: Batch, last_seen: bool = False) -> Batch:
    """Join the frames of each clip to one graph with edges in space and in time.

    Args:
        graph: frame graphs with edges.
        last_seen: see :func:`temporal_edges`.

    Returns:
        A plain PyG ``Batch`` of B graphs: the node fields, ``edge_index [2, E]`` sorted by target,
        ``edge_type [E]`` (0 space, 1 time), and ``edge_attr`` if the graph has it, which is 0 on
        edges in time. Other fields stay behind.

    Raises:
        InputError: when the graph has no edges.

    Examples:
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(2, 3, 4, 8)}, Layout(2, 3, 4, 5, 5))
        >>> clips = space_time_graph(FullEdges()(graph))
        >>> clips.num_graphs, clips[0].edge_type.bincount()
        (2, tensor([48,  8]))
    """
    space, time = _space(graph), temporal_edges(graph, last_seen)
    edge_index = torch.cat([space, time], dim=1)
    order = edge_index[1].argsort(stable=True)  # of one target, space comes first
    kind = torch.full_like(edge_index[0], SPACE)
    kind[space.size(1) :] = TIME
    edges = {"edge_index": edge_index[:, order], "edge_type": kind[order]}
    if (attr := getattr(graph, "edge_attr", None)) is not None:
        attr = torch.cat([attr, attr.new_zeros(time.size(1), *attr.shape[1:])])
        edges["edge_attr"] = attr[order]
    clip, ptr, slices = _clips(graph)
    nodes = _node_fields(graph)
    out = Batch(**nodes, **edges, batch=clip, ptr=ptr)
    runs = _runs(clip, edge_index[1, order], ptr)
    none = torch.zeros(ptr.numel() - 1, dtype=torch.long)
    out._num_graphs = ptr.numel() - 1
    out._slice_dict = dict.fromkeys(nodes, slices) | dict.fromkeys(edges, runs)
    out._inc_dict = dict.fromkeys([*nodes, *edges], none) | {"edge_index": ptr[:-1]}
    return out


def space_time_hetero(graph: Batch, last_seen: bool = False) -> Batch:
    """Join the frames of each clip to one heterogeneous graph with two relations.

    Args:
        graph: frame graphs with edges.
        last_seen: see :func:`temporal_edges`.

    Returns:
        A PyG ``Batch`` of B ``HeteroData`` with the node type ``"node"``, which has the node
        fields, and the edge types ``("node", "space", "node")``, which has ``edge_attr`` if the
        graph has it, and ``("node", "time", "node")``; each sorted by target. Other fields stay
        behind.

    Raises:
        InputError: when the graph has no edges.

    Examples:
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.graph import Layout, frame_graphs
        >>> graph = frame_graphs({"x": torch.zeros(2, 3, 4, 8)}, Layout(2, 3, 4, 5, 5))
        >>> clips = space_time_hetero(FullEdges()(graph))
        >>> clips[0]["time"].edge_index.shape
        torch.Size([2, 8])
    """
    clip, ptr, slices = _clips(graph)
    graphs = ptr.numel() - 1
    none = torch.zeros(graphs, dtype=torch.long)
    out = Batch(_base_cls=HeteroData)
    nodes = _node_fields(graph)
    out["node"].update(nodes | {"batch": clip, "ptr": ptr})
    slice_dict: dict[object, dict[str, Tensor]] = {"node": dict.fromkeys(nodes, slices)}
    inc_dict: dict[object, dict[str, Tensor]] = {"node": dict.fromkeys(nodes, none)}
    first = ptr[:-1, None, None].expand(-1, 2, 1)  # PyG's form: an increment for each end
    space = _space(graph)
    order = space[1].argsort(stable=True)
    relations = {
        "space": {"edge_index": space[:, order]},
        "time": {"edge_index": temporal_edges(graph, last_seen)},
    }
    if (attr := getattr(graph, "edge_attr", None)) is not None:
        relations["space"]["edge_attr"] = attr[order]
    for name, fields in relations.items():
        relation = ("node", name, "node")
        out[relation].update(fields)
        slice_dict[relation] = dict.fromkeys(fields, _runs(clip, fields["edge_index"][1], ptr))
        inc_dict[relation] = dict.fromkeys(fields, none) | {"edge_index": first}
    out._num_graphs = graphs
    out._slice_dict, out._inc_dict = slice_dict, inc_dict
    return out


def _space(graph: Batch) -> Tensor:
    """Edges inside frames, as a plain tensor."""
    edge_index = getattr(graph, "edge_index", None)
    if edge_index is None:
        raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
    plain: Tensor = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    return plain


def _clips(graph: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Clip of every row ``[V]``, boundaries ``[B + 1]``, and these where slicing reads them."""
    layout = clips_of(graph)
    if not isinstance(graph, Batch):
        raise InputError("graph", "a Batch of frame graphs", type(graph).__name__)
    device, lengths = graph.batch.device, torch.tensor(layout.lengths)
    owner = torch.arange(layout.clips).repeat_interleave(lengths)  # of a frame graph
    clip = owner.to(device, non_blocking=True)[graph.batch]
    first = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])  # [B + 1]
    ptr = graph.ptr[first.to(device, non_blocking=True)]
    return clip, ptr, ptr if slots(graph) is not None else first * layout.nodes


def _node_fields(graph: Batch) -> dict[str, Tensor]:
    """Fields with a row a node."""
    rows = graph.node_id.size(0)
    return {
        name: value
        for name, value in graph.to_dict().items()
        if isinstance(value, Tensor)
        and name not in {"batch", "ptr"}
        and not name.startswith("edge_")
        and value.dim() > 0
        and value.size(0) == rows
    }


def _runs(clip: Tensor, target: Tensor, ptr: Tensor) -> Tensor:
    """Where the edges of each clip begin ``[B + 1]``: they are sorted by target, so by clip."""
    numbers = torch.arange(ptr.numel(), device=ptr.device)
    return torch.searchsorted(clip.index_select(0, target), numbers)
