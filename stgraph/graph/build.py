"""Making frame graphs: from dense fields, then with edges and further fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError, integer, shape
from stgraph.graph.layout import Layout, layout_of
from stgraph.graph.order import note_order, versioned
from stgraph.graph.shallow import copied, empty
from stgraph.graph.validation import check_edges
from stgraph.padding import front, take_frames

__all__ = ["as_clips", "attach_edges", "attach_fields", "edge_fields", "frame_graphs"]


def frame_graphs(
    fields: Mapping[str, Tensor],
    layout: Layout,
    mask: Tensor | None = None,
    clock: int | Sequence[int] = 0,
) -> Batch:
    """Batch dense node fields into frame graphs, without edges.

    Args:
        fields: node fields by name, each ``[B, T, N, …]``; at least ``x``. Of clips that are
            shorter than T the first frames are read.
        layout: the sizes.
        mask: which nodes are present ``[B, T, N]`` (bool); ``None`` when all are. Leaving nodes
            out makes V depend on the data: with a mask on an accelerator this waits for it once.
        clock: number of the first frame, for a clip that comes in pieces; or one a clip.

    Returns:
        A ``Batch`` of the frame graphs as :mod:`stgraph.graph` says.

    Raises:
        InputError: when a field or the mask has other leading sizes than the layout.
    """
    clips, frames, nodes = layout.clips, layout.frames, layout.nodes
    lead = (clips, frames, nodes)
    for name, value in fields.items():
        if tuple(value.shape[:3]) != lead:
            raise InputError(name, f"[{clips}, {frames}, {nodes}, ...]", list(value.shape))
    device, graphs = fields["x"].device, layout.graphs
    there = None if layout.exists is None else front(torch.tensor(layout.exists))
    flat = {name: take_frames(value, there).flatten(0, 1) for name, value in fields.items()}
    if mask is not None:
        shape("mask", mask, clips, frames, nodes)
        if mask.dtype != torch.bool:
            raise InputError("mask", "a tensor of bool", mask.dtype)
        mask = take_frames(mask, there)  # [F, N]
    with versioned():
        if mask is None:
            slot = torch.arange(graphs * nodes, device=device)  # f·N + n
        else:
            slot = mask.flatten().nonzero().squeeze(1).to(device)
        frame, node_id = torch.div(slot, nodes, rounding_mode="floor"), slot % nodes
    if mask is None:
        ptr = torch.arange(graphs + 1, device=device) * nodes
        slices = torch.arange(graphs + 1) * nodes
    else:
        flat = {name: value.index_select(0, slot) for name, value in flat.items()}
        count = mask.sum(dim=1).to(device)
        ptr = slices = torch.cat([count.new_zeros(1), count.cumsum(0)])
    times = _times(layout, clock, device)
    flat |= {"node_id": node_id, "time": times.index_select(0, frame)}
    batch = empty()
    for name, value in flat.items():
        batch[name] = value
    batch["layout"], batch["batch"], batch["ptr"] = layout, frame, ptr
    none = torch.zeros(graphs, dtype=torch.long)
    batch._num_graphs = graphs
    batch._slice_dict = dict.fromkeys(flat, slices) | {"layout": torch.arange(graphs + 1)}
    batch._inc_dict = dict.fromkeys(flat, none) | {"layout": none}
    note_order(batch, layout)
    return batch


def _times(layout: Layout, clock: int | Sequence[int], device: torch.device) -> Tensor:
    """Frame number of every frame graph ``[F]``."""
    if layout.exists is None and isinstance(clock, int):
        return torch.arange(layout.graphs, device=device) % layout.frames + clock
    clocks = [clock] * layout.clips if isinstance(clock, int) else clock
    runs = [torch.arange(n) + at for n, at in zip(layout.lengths, clocks, strict=True)]
    return torch.cat(runs).to(device, non_blocking=True)


def attach_edges(
    graph: Batch, edge_index: Tensor, edge_attr: Tensor | None = None, check: bool = True
) -> Batch:
    """Return the graph with these edges: a shallow copy, the fields are shared.

    Fields of other edges, such as ``edge_weight``, stay behind; :func:`attach_fields` brings new
    ones.

    Args:
        graph: frame graphs.
        edge_index: source j and target i of every edge ``[2, E]``, both ends in one frame,
            sorted by frame (so that single graphs can be cut out again). Of an ``EdgeIndex`` the
            plain tensor is kept.
        edge_attr: edge features ``[E, …]``.
        check: whether to check values on the CPU; not needed for edges that are right by the way
            in which they are made.

    Raises:
        InputError: on another shape or type; on the CPU also on ends that do not exist, edges
            across frames, another order or repeated edges. On a GPU reading values would wait for
            the device: :func:`validate` does it there.
    """
    if not isinstance(edge_index, Tensor):
        raise InputError("edge_index", "a tensor [2, E]", type(edge_index).__name__)
    if edge_attr is not None and not isinstance(edge_attr, Tensor):
        raise InputError("edge_attr", "a tensor [E, ...]", type(edge_attr).__name__)
    edges = shape("edge_index", edge_index, "2 E")[1]
    if edge_index.dtype != torch.long:
        raise InputError("edge_index", "a tensor of int64", edge_index.dtype)
    if edge_attr is not None and (edge_attr.dim() < 1 or edge_attr.size(0) != edges):
        raise InputError("edge_attr", f"[{edges}, ...]", list(edge_attr.shape))
    if edge_index.device != graph.batch.device:
        raise InputError("edge_index", f"a tensor on {graph.batch.device}", edge_index.device)
    if check and edge_index.device.type == "cpu" and not torch.compiler.is_compiling():
        check_edges(edge_index, graph.batch)
    out = copied(graph)
    owner = graph.batch.index_select(0, edge_index[1])  # sorted, so each graph is a run
    numbers = torch.arange(graph.num_graphs + 1, device=owner.device)
    slices = torch.searchsorted(owner, numbers)
    out._slice_dict, out._inc_dict = dict(graph._slice_dict), dict(graph._inc_dict)
    for name in edge_fields(graph):  # those of other edges
        for held in (out, out._slice_dict, out._inc_dict):
            if name in held:
                del held[name]
    plain = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    out["edge_index"] = plain
    out._slice_dict["edge_index"], out._inc_dict["edge_index"] = slices, graph.ptr[:-1]
    return out if edge_attr is None else attach_fields(out, edges={"edge_attr": edge_attr})


def edge_fields(graph: Data) -> dict[str, Tensor]:
    """Fields with a row an edge, ``edge_…`` by name, without ``edge_index`` itself."""
    edge_index = getattr(graph, "edge_index", None)
    edges = 0 if edge_index is None else edge_index.size(1)
    fields = {name: graph[name] for name in graph.keys()}  # noqa: SIM118 (a batch iterates otherwise)
    return {
        name: value
        for name, value in fields.items()
        if name.startswith("edge_")
        and name != "edge_index"
        and isinstance(value, Tensor)
        and value.dim() > 0
        and value.size(0) == edges
    }


def attach_fields(
    graph: Batch,
    *,
    nodes: Mapping[str, Tensor] | None = None,
    edges: Mapping[str, Tensor] | None = None,
    graphs: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Return the graph with further fields: a shallow copy, from which single graphs cut theirs.

    A field that is set on a batch as an attribute is no part of its single graphs: PyG leaves out
    what it has no boundaries of. Here they are known.

    Args:
        graph: frame graphs.
        nodes: fields with a row a node ``[V, …]``.
        edges: fields with a row an edge ``[E, …]``, called ``edge_…`` as PyG does.
        graphs: fields with a row a frame graph ``[F, …]``, such as ``y``.

    Raises:
        InputError: on another number of rows, or a name under which PyG renumbers values.

    Examples:
        >>> graph = frame_graphs({"x": torch.zeros(1, 3, 2, 8)}, Layout(1, 3, 2, 4, 4))
        >>> graph = attach_fields(graph, graphs={"y": torch.tensor([5, 6, 7])})
        >>> graph[1].y
        tensor([6])
    """
    out = copied(graph)
    out._slice_dict, out._inc_dict = dict(graph._slice_dict), dict(graph._inc_dict)
    count = layout_of(graph).graphs
    edge_index = getattr(graph, "edge_index", None)
    if edges and edge_index is None:
        raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
    size = 0 if edge_index is None else edge_index.size(1)
    for kind, given, rows, slices in (
        ("a node", nodes, graph.node_id.size(0), graph._slice_dict["node_id"]),
        ("an edge", edges, size, graph._slice_dict.get("edge_index")),
        ("a frame graph", graphs, count, torch.arange(count + 1)),
    ):
        for name, value in (given or {}).items():
            if not isinstance(value, Tensor) or value.dim() < 1 or value.size(0) != rows:
                came = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise InputError(name, f"[{rows}, ...] (a row {kind})", came)
            renumbered = any(word in name for word in ("index", "batch", "face", "ptr"))
            if renumbered or (kind == "an edge") != name.startswith("edge_"):
                free = "a name without index, batch, face and ptr; edge_… for edges, and only those"
                raise InputError("fields", free, repr(name))
            out[name] = value
            out._slice_dict[name] = slices
            out._inc_dict[name] = torch.zeros(count, dtype=torch.long)
    return out


def as_clips(graph: Batch, lengths: int | Sequence[int]) -> Batch:
    """Say which frames of a batch make a clip: a shallow copy of the batch with these clips.

    For frames that make none by themselves: a shuffled or cut selection, batched again.

    Args:
        graph: frame graphs.
        lengths: frames of every clip in the order of the batch, or of all clips alike; 1 takes
            every frame as a clip of its own. ``time`` stays what it was.

    Raises:
        InputError: when the frames of all clips are not those of the batch.

    Examples:
        >>> graph = frame_graphs({"x": torch.zeros(1, 5, 2, 8)}, Layout(1, 5, 2, 4, 4))
        >>> part = Batch.from_data_list([graph[4], graph[0], graph[1]])
        >>> layout_of(as_clips(part, (1, 2))).lengths
        (1, 2)
    """
    layout = layout_of(graph)
    if not isinstance(graph, Batch):
        raise InputError("graph", "a Batch of frame graphs", type(graph).__name__)
    if isinstance(lengths, int):
        lengths = [integer("lengths", lengths)] * (layout.graphs // lengths)
    lengths = [integer("lengths", length, minimum=0) for length in lengths]
    if sum(lengths) != layout.graphs:
        raise InputError("lengths", f"clips of {layout.graphs} frames together", lengths)
    out = copied(graph)
    out.layout = Layout.of_lengths(lengths, layout.nodes, layout.height, layout.width)
    return out
