"""What the extractors of windows share: anchors, the rule of windows, the kernel's profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, node_count, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, separable, window_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.nodes.windows import FixedSizeWindows, WindowRule, Windows
from stgraph.precision import precise

__all__ = ["WindowRegions", "gates"]


def gates(alpha: Sequence[float]) -> nn.Parameter:
    """Gates of (o_h, o_w, Δ_y, Δ_x), shared by the regions ``[4]``.

    Raises:
        InputError: when there are not 4.
    """
    if len(alpha) != 4:
        raise InputError("alpha", "4 gates (height, width, row, column)", list(alpha))
    return nn.Parameter(torch.tensor([float(a) for a in alpha]))


class WindowRegions(NodeExtractor):
    r"""Regions that are windows with a kernel (DyReG); a subclass says where they are.

    A subclass finds offsets :math:`(o_h, o_w, Δ_y, Δ_x)` and hands them to :meth:`place`: the rule
    of windows turns them into a centre and a half-size, and the profile into pooling weights. The
    graph gets one field more, ``window [V, 4]``: half-height, half-width, centre row and centre
    column in cells, as the official code orders them.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions.
        edges: edge builder.
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.

    Raises:
        InputError: when the profile has a size of its own that the rule does not give.
    """

    anchor: Tensor

    def __init__(
        self,
        channels: int,
        num_nodes: int,
        edges: EdgeBuilder | None,
        profile: AxisProfile,
        windows: WindowRule,
        anchors: Callable[[int], Tensor],
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.profile = profile
        self.windows = windows
        size = getattr(profile, "half_size", None)
        if size is not None and isinstance(windows, (Windows, FixedSizeWindows)):
            rule = FixedSizeWindows.of(size, windows.inside)
            if windows != rule:
                raise InputError("windows", f"{rule} with {profile}", windows)
        placed = anchors(num_nodes)
        shape("anchors", placed, num_nodes, 2)
        self.register_buffer("anchor", placed, persistent=False)

    def place(self, offset: Tensor, features: Tensor) -> Regions:
        """Regions of windows.

        Args:
            offset: predictions of the windows, ``[B, T, N, 4]`` or what expands to it.
            features: the maps ``[B, T, C, H, W]``, for their sizes.
        """
        clips, frames, _, height, width = features.shape
        # Positions in cells need more than the 8 bits of bfloat16's mantissa.
        centre, size = self.windows(precise(offset), self.anchor, height, width)

        def everywhere(field: Tensor, *sizes: int) -> Tensor:
            return field.expand(clips, frames, self.num_nodes, *sizes)

        kernel = separable(self.profile, centre, size, height, width)
        return Regions(
            kernel=everywhere(kernel, height, width),
            box=everywhere(window_box(centre, size, height, width), 4),
            extra={"window": everywhere(torch.cat([size, centre], dim=-1), 4)},
        )

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        profile = getattr(self.profile, "__name__", repr(self.profile))
        return f"{self.channels}, num_nodes={self.num_nodes}, profile={profile}, {self.windows}"
