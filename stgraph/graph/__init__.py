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
``time``       ``[V]``       frame number in the clip, from 0 on
``edge_index`` ``[2, E]``    edges, source j to target i (set by an edge builder)
``batch``      ``[V]``       number of the frame graph; ``ptr [B·T + 1]`` the boundaries
``layout``                   a small :class:`Layout`: the sizes as plain numbers
=============  ============  ===================================================================

An extractor may add fields of its own, ``[V, …]``. Where all identities are present, V = B·T·N and
the dense view of a field is a reshape; otherwise it is one scatter. Nothing here loops over graphs
in Python, and nothing waits for the device unless a mask leaves nodes out. Further fields, of
nodes, edges or single graphs, come by :func:`attach_fields`.

**Clips of different lengths** (see :mod:`stgraph.padding`) give a graph for every frame that
exists, F together, and none for padding: frame numbers, ``batch`` and ``ptr`` run over these, V
counts their nodes, ``time`` counts the frames of a clip that exist, and ``layout.lengths`` says how
many each has. The dense view ``[B, T, N, …]`` has the frames of a clip one after another, and 0
behind the shorter ones, so what works along time finds the frame before where it always is;
:func:`presence` and :func:`frame_mask` tell what is there, and :func:`newest` what a clip ends
with.

**Single graphs** can be batched again, clip after clip, of any lengths and from any batches. Frames
that make no whole clips are loose: layers in space take them, and what works along time refuses
them until :func:`as_clips` says what their clips are.
"""

from stgraph.graph.build import as_clips, attach_edges, attach_fields, edge_fields, frame_graphs
from stgraph.graph.layout import Layout, clips_of, layout_of
from stgraph.graph.order import frame_of
from stgraph.graph.validation import validate
from stgraph.graph.views import (
    frame_mask,
    from_dense,
    from_frames,
    in_clips,
    in_frames,
    newest,
    occupied,
    presence,
    slots,
    to_dense,
    to_frames,
    to_maps,
)

__all__ = [
    "Layout",
    "as_clips",
    "attach_edges",
    "attach_fields",
    "clips_of",
    "edge_fields",
    "frame_graphs",
    "frame_mask",
    "frame_of",
    "from_dense",
    "from_frames",
    "in_clips",
    "in_frames",
    "layout_of",
    "newest",
    "occupied",
    "presence",
    "slots",
    "to_dense",
    "to_frames",
    "to_maps",
    "validate",
]
