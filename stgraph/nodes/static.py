"""Windows that are learned once for a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import integer
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.window_regions import WindowRegions, gates
from stgraph.nodes.windows import FixedSizeWindows, WindowRule, centre_anchors

__all__ = ["StaticRegions"]


class StaticRegions(WindowRegions):
    r"""Windows of learned positions, the same for all clips and frames (DyReG, "Static").

    Every region has a learned vector where :class:`DynamicRegions` has what it sees,

    .. math:: (o_h, o_w, Δ_y, Δ_x)_i = α ⊙ (W z_i + b)

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions.
        edges: edge builder.
        width: D, width of the vectors z.
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres; sizes are fixed by default, as in the paper.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.
        alpha: initial gates of (o_h, o_w, Δ_y, Δ_x).

    Examples:
        >>> sum(p.numel() for p in StaticRegions(channels=32).parameters())
        424
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        width: int = 32,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = centre_anchors,
        alpha: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        rule = FixedSizeWindows() if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)
        self.z = nn.Parameter(torch.empty(num_nodes, integer("width", width)))
        self.offset = nn.Linear(width, 4)
        self.alpha = gates(alpha)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors at the scale that normalised descriptors have."""
        nn.init.normal_(self.z)
        self.offset.reset_parameters()

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The same windows in every frame; there is no state."""
        return self.place(self.alpha * self.offset(self.z), features), None
