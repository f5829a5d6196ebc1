r"""The data contract: frame graphs, a plain PyG ``Batch`` of B·T graphs.

A clip of T frames with N node identities gives T graphs, one a frame; B clips give a ``Batch`` of
B·T graphs in clip-major order, frame number :math:`bT + t`. Its fields, over the V nodes that are
present, sorted by (clip, frame, identity):

=============  ============  ===================================================================
``x``          ``[V, C]``    node features
``pos``        ``[V, 2]``    centre (x, y) of the node's box, in 0..1 of the frame
``box``        ``[V, 4]``    box (x1, y1, x2, y2), in 0..1 of the frame
``kernel``     ``[V, H, W]`` pooling kernel; sums to 1, or is 0 when empty
``mass``       ``[V]``       what the raw kernel summed to: the raw kernel is ``kernel · mass``
``node_id``    ``[V]``       identity in 0..N−1: the same id in two frames is the same node
``time``       ``[V]``       frame number in the clip
``edge_index`` ``[2, E]``    edges, source j to target i (set by an edge builder)
``batch``      ``[V]``       number of the frame graph; ``ptr [B·T + 1]`` its boundaries
``layout``                   a small :class:`Layout`: the sizes as plain numbers
=============  ============  ===================================================================

An extractor may add fields of its own, ``[V, …]``. Where all identities are present, V = B·T·N and
the dense view of a field is a reshape; otherwise it is one scatter. Nothing here loops over graphs
in Python, and nothing waits for the device unless a mask leaves nodes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError, shape

__all__ = [
    "Layout",
    "attach_edges",
    "frame_graphs",
    "frame_of",
    "from_dense",
    "layout_of",
    "presence",
    "slots",
    "to_dense",
    "validate",
]


@dataclass(frozen=True)
class Layout:
    """Sizes of a batch of frame graphs, as plain numbers that no device has to be asked for.

    Args:
        clips: B.
        frames: T.
        nodes: N, node identities of a clip.
        height: rows H of the feature map.
        width: columns W of the feature map.
        origin: for a single graph taken out of a batch, ``(its number, B, T)`` there.
    """

    clips: int
    frames: int
    nodes: int
    height: int
    width: int
    origin: tuple[int, int, int] | None = None

    @property
    def graphs(self) -> int:
        """Number of frame graphs, B·T."""
        return self.clips * self.frames

    @property
    def slots(self) -> int:
        """Number of node slots, B·T·N: the nodes there would be if all were present."""
        return self.clips * self.frames * self.nodes

    def __getitem__(self, number: int) -> Layout:
        """Layout of one frame graph; ``Batch.get_example`` asks for it."""
        origin = (int(number) % self.graphs, self.clips, self.frames)
        return Layout(1, 1, self.nodes, self.height, self.width, origin)

    @staticmethod
    def join(parts: list[Layout]) -> Layout:
        """Layout of a batch made of single graphs.

        Whole clips, one after another with their frames in order, are clips again, whatever
        batches they come from; any other selection is a batch of one-frame clips.

        Raises:
            InputError: when the parts differ in N, H or W.
        """
        sizes = {(part.nodes, part.height, part.width) for part in parts}
        if len(sizes) != 1:
            raise InputError("layout", "graphs of one (nodes, height, width)", sorted(sizes))
        if any(part.graphs != 1 for part in parts):
            # PyG numbers the frames of such a batch by those that have nodes, and so wrongly.
            expected = "single graphs; batch [frame for clip in clips for frame in clip[:]]"
            raise InputError("graph", expected, "a batch of batches")
        length = parts[0].origin[2] if parts[0].origin else 1
        numbers = [part.origin[0] if part.origin else 0 for part in parts]
        whole = len(parts) % length == 0 and all(
            (part.origin or (0, 1, 1))[2] == length
            and number % length == place % length
            and number - numbers[place - place % length] == place % length
            for place, (part, number) in enumerate(zip(parts, numbers, strict=True))
        )
        if not whole:
            length = 1
        return Layout(len(parts) // length, length, *sizes.pop())


def layout_of(graph: Data) -> Layout:
    """Layout of a frame graph or of a batch of them, however it was batched.

    Raises:
        InputError: when the graph carries none, so is no frame graph.
    """
    layout = getattr(graph, "layout", None)
    if isinstance(layout, list) and layout:  # what PyG's collate makes of plain objects
        return Layout.join([Layout.join(p) if isinstance(p, list) else p for p in layout])
    if not isinstance(layout, Layout):
        raise InputError("graph", "frame graphs with a `layout` (see stgraph.graph)", repr(graph))
    return layout


# To make one, PyG reads signatures each time; to copy one is much cheaper.
_EMPTY = Batch(_base_cls=Data)


# Tracing a compiler through PyG's dynamic classes fails; the graph is built outside of it.
@torch.compiler.disable
def frame_graphs(
    fields: Mapping[str, Tensor], layout: Layout, mask: Tensor | None = None, clock: int = 0
) -> Batch:
    """Batch dense node fields into frame graphs, without edges.

    Args:
        fields: node fields by name, each ``[B, T, N, …]``; at least ``x``.
        layout: the sizes.
        mask: which nodes are present ``[B, T, N]`` (bool); ``None`` when all are. Leaving nodes
            out makes V depend on the data: with a mask on an accelerator this waits for it once.
        clock: number of the first frame, for a clip that comes in pieces.

    Returns:
        A ``Batch`` of B·T graphs as the module's table says.

    Raises:
        InputError: when a field or the mask has other leading sizes than the layout.
    """
    clips, frames, nodes = layout.clips, layout.frames, layout.nodes
    lead = (clips, frames, nodes)
    for name, value in fields.items():
        if tuple(value.shape[:3]) != lead:
            raise InputError(name, f"[{clips}, {frames}, {nodes}, ...]", list(value.shape))
    device = fields["x"].device
    graphs = layout.graphs
    number = torch.arange(layout.slots, device=device)  # slot (b·T + t)·N + n
    own = {
        "node_id": number % nodes,
        "time": torch.div(number, nodes, rounding_mode="floor") % frames + clock,
        "batch": torch.div(number, nodes, rounding_mode="floor"),
    }
    flat = {name: value.flatten(0, 2) for name, value in fields.items()} | own
    if mask is None:
        ptr = torch.arange(graphs + 1, device=device) * nodes
        slices = torch.arange(graphs + 1) * nodes
    else:
        shape("mask", mask, f"{clips} {frames} {nodes}")
        if mask.dtype != torch.bool:
            raise InputError("mask", "a tensor of bool", mask.dtype)
        kept = mask.flatten().nonzero().squeeze(1).to(device)
        flat = {name: value.index_select(0, kept) for name, value in flat.items()}
        count = mask.flatten(0, 1).sum(dim=1).to(device)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        slices = ptr
    assignment = flat.pop("batch")
    batch = copy(_EMPTY)
    for name, value in flat.items():
        batch[name] = value
    batch.layout = layout
    batch.batch, batch.ptr = assignment, ptr
    none = torch.zeros(graphs, dtype=torch.long)
    batch._num_graphs = graphs
    batch._slice_dict = dict.fromkeys(flat, slices) | {"layout": torch.arange(graphs + 1)}
    batch._inc_dict = dict.fromkeys(flat, none) | {"layout": none}
    return batch


@torch.compiler.disable
def attach_edges(
    graph: Batch, edge_index: Tensor, edge_attr: Tensor | None = None, check: bool = True
) -> Batch:
    """Return the graph with these edges: a shallow copy, the fields are shared.

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
    if check and edge_index.device.type == "cpu":
        _validate_edges(edge_index, graph.batch)
    out = copy(graph)
    owner = graph.batch.index_select(0, edge_index[1])  # sorted, so each graph is a run
    numbers = torch.arange(graph.num_graphs + 1, device=owner.device)
    slices = torch.searchsorted(owner, numbers)
    out.edge_index = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    out._slice_dict = dict(graph._slice_dict) | {"edge_index": slices}
    out._inc_dict = dict(graph._inc_dict) | {"edge_index": graph.ptr[:-1]}
    if edge_attr is None:  # those of other edges
        for fields in (out, out._slice_dict, out._inc_dict):
            if "edge_attr" in fields:
                del fields["edge_attr"]
    else:
        out.edge_attr = edge_attr
        out._slice_dict["edge_attr"] = slices
        out._inc_dict["edge_attr"] = torch.zeros(graph.num_graphs, dtype=torch.long)
    return out


def frame_of(graph: Data) -> Tensor:
    """Number of the frame graph of every row ``[V]``; a single graph is frame 0."""
    batch: Tensor | None = getattr(graph, "batch", None)
    return torch.zeros_like(graph.node_id) if batch is None else batch


def slots(graph: Batch) -> Tensor | None:
    """Slot :math:`(bT + t)N + n` of every row ``[V]``; ``None`` where row v is slot v.

    Rows are sorted by (clip, frame, identity), so V = B·T·N says that all slots are taken in order.
    """
    layout = layout_of(graph)
    if graph.node_id.size(0) == layout.slots:
        return None
    place: Tensor = frame_of(graph) * layout.nodes + graph.node_id
    return place


def to_dense(x: Tensor, graph: Batch) -> Tensor:
    """Dense view ``[B, T, N, …]`` of rows ``[V, …]``; absent nodes are 0.

    Raises:
        InputError: when ``x`` has another number of rows than the graph has nodes.
    """
    layout = layout_of(graph)
    if x.size(0) != graph.node_id.size(0):
        raise InputError("x", f"[{graph.node_id.size(0)}, ...] (a row a node)", list(x.shape))
    place = slots(graph)
    if place is not None:
        x = x.new_zeros(layout.slots, *x.shape[1:]).index_copy(0, place, x)
    return x.reshape(layout.clips, layout.frames, layout.nodes, *x.shape[1:])


def from_dense(dense: Tensor, graph: Batch) -> Tensor:
    """Rows ``[V, …]`` of a dense view ``[B, T, N, …]``: the inverse of :func:`to_dense`."""
    layout = layout_of(graph)
    lead = (layout.clips, layout.frames, layout.nodes)
    if tuple(dense.shape[:3]) != lead:
        raise InputError("dense", f"[{', '.join(map(str, lead))}, ...]", list(dense.shape))
    flat, place = dense.flatten(0, 2), slots(graph)
    return flat if place is None else flat.index_select(0, place)


def presence(graph: Batch) -> Tensor | None:
    """Which identities are present in which frame ``[B, T, N]`` (bool); ``None`` when all are."""
    if slots(graph) is None:
        return None
    return to_dense(torch.ones_like(graph.node_id, dtype=torch.bool), graph)


def validate(graph: Batch) -> Batch:
    """Check what the contract promises of frame graphs, and return them.

    Sizes, order and identities of the rows, finite values, boxes, kernels, and edges. This reads
    values, so it waits for the device: call it in tests and on graphs of your own.

    Raises:
        InputError: naming the field, what was expected and what came.

    Examples:
        >>> x = torch.zeros(1, 2, 3, 8)
        >>> graph = frame_graphs({"x": x}, Layout(1, 2, 3, 4, 4))
        >>> validate(graph).num_graphs
        2
    """
    layout, frame = layout_of(graph), frame_of(graph)
    rows = graph.node_id.size(0)
    graphs = getattr(graph, "num_graphs", 1)
    if graphs != layout.graphs:
        raise InputError("num_graphs", f"{layout.graphs} (clips × frames)", graphs)
    for name, value in graph.to_dict().items():
        if name in {"layout", "edge_index", "edge_attr", "ptr"} or not isinstance(value, Tensor):
            continue
        if value.dim() < 1 or value.size(0) != rows:
            raise InputError(name, f"[{rows}, ...] (a row a node)", list(value.shape))
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(name, "finite values", "NaN or infinity")
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
        shape("kernel", graph.kernel, f"{rows} {layout.height} {layout.width}")
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
    if "edge_index" in graph:
        _validate_edges(graph.edge_index, frame)
        if "edge_attr" in graph and graph.edge_attr.size(0) != graph.edge_index.size(1):
            expected = f"[{graph.edge_index.size(1)}, ...] (a row an edge)"
            raise InputError("edge_attr", expected, list(graph.edge_attr.shape))
    return graph


def _validate_edges(edge_index: Tensor, frame: Tensor) -> None:
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
