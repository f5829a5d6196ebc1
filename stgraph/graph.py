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
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError, shape

__all__ = [
    "Layout",
    "attach_edges",
    "frame_graphs",
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

        All graphs of one batch in their order give that batch's layout back; any other selection
        is a batch of one-frame clips.

        Raises:
            InputError: when the parts differ in N, H or W.
        """
        sizes = {(part.nodes, part.height, part.width) for part in parts}
        if len(sizes) != 1:
            raise InputError("layout", "graphs of one (nodes, height, width)", sorted(sizes))
        clips, frames = len(parts), 1
        first = parts[0].origin
        if first is not None and [part.origin for part in parts] == [
            (number, *first[1:]) for number in range(first[1] * first[2])
        ]:
            clips, frames = first[1:]
        return Layout(clips, frames, *sizes.pop())


def layout_of(graph: Data) -> Layout:
    """Layout of a frame graph or of a batch of them, however it was batched.

    Raises:
        InputError: when the graph carries none, so is no frame graph.
    """
    layout = graph.layout if "layout" in graph else None
    if isinstance(layout, list) and layout:  # what PyG's collate makes of plain objects
        return Layout.join(layout)
    if not isinstance(layout, Layout):
        raise InputError("graph", "frame graphs with a `layout` (see stgraph.graph)", repr(graph))
    return layout


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
    batch = Batch(_base_cls=Data, **flat)
    batch.layout = layout
    batch.batch, batch.ptr = assignment, ptr
    none = torch.zeros(graphs, dtype=torch.long)
    batch._num_graphs = graphs
    batch._slice_dict = dict.fromkeys(flat, slices) | {"layout": torch.arange(graphs + 1)}
    batch._inc_dict = dict.fromkeys(flat, none) | {"layout": none}
    return batch


def attach_edges(graph: Batch, edge_index: Tensor, edge_attr: Tensor | None = None) -> Batch:
    """Return the graph with these edges: a shallow copy, the fields are shared.

    Args:
        graph: frame graphs.
        edge_index: source j and target i of every edge ``[2, E]``, both ends in one frame,
            sorted by frame (so that single graphs can be cut out again).
        edge_attr: edge features ``[E, …]``.

    Raises:
        InputError: on another shape or type.
    """
    edges = shape("edge_index", edge_index, "2 E")[1]
    if edge_index.dtype != torch.long:
        raise InputError("edge_index", "a tensor of int64", edge_index.dtype)
    if edge_attr is not None and (edge_attr.dim() < 1 or edge_attr.size(0) != edges):
        raise InputError("edge_attr", f"[{edges}, ...]", list(edge_attr.shape))
    out = copy(graph)
    count = torch.zeros(graph.num_graphs + 1, dtype=torch.long, device=edge_index.device)
    owner = graph.batch.index_select(0, edge_index[1])
    slices = count.index_add(0, owner + 1, torch.ones_like(owner)).cumsum(0)
    out.edge_index = edge_index
    out._slice_dict = dict(graph._slice_dict) | {"edge_index": slices}
    out._inc_dict = dict(graph._inc_dict) | {"edge_index": graph.ptr[:-1]}
    if edge_attr is not None:
        out.edge_attr = edge_attr
        out._slice_dict["edge_attr"] = slices
        out._inc_dict["edge_attr"] = torch.zeros(graph.num_graphs, dtype=torch.long)
    return out


def slots(graph: Batch) -> Tensor | None:
    """Slot :math:`(bT + t)N + n` of every row ``[V]``; ``None`` where row v is slot v.

    Rows are sorted by (clip, frame, identity), so V = B·T·N says that all slots are taken in order.
    """
    layout = layout_of(graph)
    if graph.node_id.size(0) == layout.slots:
        return None
    return graph.batch * layout.nodes + graph.node_id  # type: ignore[no-any-return]


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
    """Check everything that the contract promises of a batch of frame graphs, and return it.

    This reads values, so it waits for the device: call it in tests and on graphs of your own.

    Raises:
        InputError: naming the field, what was expected and what came.

    Example:
        >>> x = torch.zeros(1, 2, 3, 8)
        >>> graph = frame_graphs({"x": x}, Layout(1, 2, 3, 4, 4))
        >>> validate(graph).num_graphs
        2
    """
    layout = layout_of(graph)
    rows = graph.node_id.size(0)
    if graph.num_graphs != layout.graphs:
        raise InputError("num_graphs", f"{layout.graphs} (clips × frames)", graph.num_graphs)
    for name, value in graph.to_dict().items():
        if name in {"layout", "edge_index", "edge_attr", "ptr"} or not isinstance(value, Tensor):
            continue
        if value.dim() < 1 or value.size(0) != rows:
            raise InputError(name, f"[{rows}, ...] (a row a node)", list(value.shape))
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(name, "finite values", "NaN or infinity")
    if rows:
        low, high = int(graph.node_id.min()), int(graph.node_id.max())
        if low < 0 or high >= layout.nodes:
            raise InputError("node_id", f"ids in 0..{layout.nodes - 1}", f"{low}..{high}")
        place = graph.batch * layout.nodes + graph.node_id
        if not bool((place.diff() > 0).all()):
            raise InputError(
                "node_id", "rows sorted by (clip, frame, id), an id once a frame", "not"
            )
    if "kernel" in graph:
        shape("kernel", graph.kernel, f"{rows} {layout.height} {layout.width}")
    if "edge_index" in graph:
        source, target = graph.edge_index
        if (
            source.numel()
            and not 0 <= int(graph.edge_index.min()) <= int(graph.edge_index.max()) < rows
        ):
            raise InputError("edge_index", f"nodes in 0..{rows - 1}", "others")
        owner = graph.batch[target]
        if not bool((graph.batch[source] == owner).all()):
            raise InputError(
                "edge_index", "both ends of an edge in one frame", "edges across frames"
            )
        if not bool((owner.diff() >= 0).all()):
            raise InputError("edge_index", "edges sorted by frame", "another order")
        if torch.unique(source * rows + target).numel() != source.numel():
            raise InputError("edge_index", "every edge once", "repeated edges")
    return graph
