"""Every point of the feature map is a node: the graph of the non-local block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stgraph.kernels import window_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.precision import precise_type

__all__ = ["PointNodes"]


class PointNodes(NodeExtractor):
    """Nodes are the cells of the map, row by row: N = H·W identities (Non-local Neural Networks).

    A node's feature is the map's at its cell; its kernel is 1 there and 0 elsewhere, so pooling and
    re-mapping lose nothing. Kernels of all nodes of a frame take (H·W)² numbers, and so do full
    edges: 0.15 MB a frame in single precision on a 14×14 map, 39 MB on 56×56. For larger maps pool
    the features first, or take a grid of cells.

    Args:
        channels: C, channels of the feature maps.
        edges: edge builder.

    Examples:
        >>> import torch
        >>> graph, _ = PointNodes(channels=8)(torch.ones(2, 5, 8, 4, 6))
        >>> graph.num_graphs, tuple(graph.x.shape), tuple(graph.kernel.shape)
        (10, (240, 8), (240, 4, 6))
    """

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The same points in every frame; there is no state."""
        clips, frames, _, height, width = features.shape
        nodes = height * width
        dtype = precise_type(features.dtype)
        kernel = torch.eye(nodes, device=features.device, dtype=dtype)
        number = torch.arange(nodes, device=features.device)
        row = torch.div(number, width, rounding_mode="floor")
        centre = torch.stack([row, number % width], dim=-1).to(dtype)
        box = window_box(centre, torch.full_like(centre, 0.5), height, width)  # [N, 4]
        return Regions(
            kernel=kernel.view(nodes, height, width).expand(clips, frames, -1, -1, -1),
            box=box.expand(clips, frames, -1, -1),
            x=features.flatten(3).transpose(2, 3),  # [B, T, N, C]
        ), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}"
