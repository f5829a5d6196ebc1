"""Windows that never move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.window_regions import WindowRegions
from stgraph.nodes.windows import WindowRule, Windows, grid_anchors
from stgraph.precision import precise_type

__all__ = ["FixedRegions"]


class FixedRegions(WindowRegions):
    """Windows at their anchors with their initial sizes, without parameters (DyReG, "Fixed").

    They are what :class:`DynamicRegions` starts from. The paper's are the cells of a 3×3 grid; for
    these cells exactly, with the area kernel, take ``GridNodes(channels, (3,))``.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions; a square number for anchors on a grid.
        edges: edge builder.
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres; the official code's by default.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.

    Examples:
        >>> import torch
        >>> graph, _ = FixedRegions(channels=8)(torch.ones(2, 5, 8, 12, 12))
        >>> graph.window[0]
        tensor([4.0000, 4.0000, 2.0000, 2.0000])
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = grid_anchors,
    ) -> None:
        rule = Windows() if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The same windows in every frame; there is no state."""
        dtype = precise_type(features.dtype)
        still = torch.zeros(self.num_nodes, 4, device=features.device, dtype=dtype)
        return self.place(still, features), None
