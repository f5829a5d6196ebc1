"""Graph data sets that ``stgraph extract`` wrote: PyG data sets, without video and without a CNN.

A folder holds ``datasheet.json`` and ``README.md``, which say what it is and where it comes from,
and ``raw`` with the shards, their list and that of the clips that were left out. Each graph is a
plain ``Data``:

==============  ====================================================================================
``x``           ``[V, D]`` node features, of the stage that was asked for
``pos``         ``[V, 2]`` centres (x, y) in 0..1 of the frame; ``box [V, 4]`` the boxes
``time``        ``[V]`` frame number in the clip
``node_id``     ``[V]`` the same id in two frames of a clip is the same node
``edge_index``  ``[2, E]``; ``edge_attr [E, K]`` attention, behind what the edge builder gave
``edge_type``   ``[E]`` of whole clips: 0 in space, 1 in time
``y``           ``[1]`` label of the clip; ``logits [1, K]`` the model's answer to it
``clip``        ``[1]`` number of the clip (``index`` in its data set); ``name`` what it is called
``true_box``    true boxes of M objects, where there are any: ``[1, M, 4]`` of a frame,
                ``[T, M, 4]`` of a clip; likewise ``true_present`` and ``true_track``
``layout``      of frame graphs: see :mod:`stgraph.graph`
==============  ====================================================================================

and what else the extractor tells of its nodes. A shard is a file of ``torch.save``, of
``(fields, slices)`` as PyG's ``InMemoryDataset.load`` reads them, with ``weights_only=True``.
"""

from stgraph.datasets.graphs.sheet import Sheet, Skipped
from stgraph.datasets.graphs.stored import InMemoryGraphs, OnDiskGraphs

__all__ = ["InMemoryGraphs", "OnDiskGraphs", "Sheet", "Skipped"]
