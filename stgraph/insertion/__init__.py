r"""Put blocks into any CNN at named layers, without a line of the CNN changed.

A *block* is a module ``(features [B, T, C, H, W], state=None, **hints)`` that returns a named tuple
with ``features`` of the same shape and a ``state``; ``causal`` says whether a frame's output
depends on this frame and earlier ones only. :class:`~stgraph.GraphBlock`,
:class:`~stgraph.backbones.TemporalShift` and :class:`~stgraph.backbones.NonLocalBlock` are blocks,
and so is any module of yours that does the same.

A forward needs a place for what comes out of the blocks, and a CNN's modules are no such place. So
each call copies, shallowly, the few modules on the way to a block, puts the blocks around the
copies together with what this call knows, and runs the copy of the CNN. All weights are the CNN's
own; the CNN itself is never written to, two calls may run at once, and a stretch that activation
checkpointing runs again finds its call. Only what a compiler writes down needs no copies.
"""

from stgraph.insertion.inserted import Inserted, InsertedOutput, insert, remove
from stgraph.insertion.places import Place

__all__ = ["Inserted", "InsertedOutput", "Place", "insert", "remove"]
