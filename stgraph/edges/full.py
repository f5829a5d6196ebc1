"""Every node of a frame to every node of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import flag
from stgraph.edges.base import EdgeBuilder, repeated
from stgraph.graph import layout_of, slots

__all__ = ["FullEdges"]


class FullEdges(EdgeBuilder):
    """All ordered pairs of nodes in a frame (DyReG: 9 nodes, fully connected).

    Args:
        loops: whether a node also sends to itself, as in the official DyReG code.
    """

    check = False

    def __init__(self, loops: bool = True) -> None:
        self.loops = flag("loops", loops)

    def edges(self, graph: Batch) -> Tensor:
        """See :class:`EdgeBuilder`."""
        layout = layout_of(graph)
        nodes = layout.nodes
        if self.loops and slots(graph) is None:  # by far the commonest, straight on the device
            target = torch.arange(layout.slots, device=graph.node_id.device)[:, None]
            source = target - target % nodes + target[:nodes, 0]  # [V, N]
            return torch.stack([source, target.expand_as(source)]).flatten(1)
        others = nodes if self.loops else nodes - 1
        target = torch.arange(nodes)[:, None].expand(nodes, others)
        source = torch.arange(others).expand_as(target)
        if not self.loops:  # one further from where the target itself would stand
            source = source + (source >= target)
        return repeated(torch.stack([source, target]).flatten(1), graph)
