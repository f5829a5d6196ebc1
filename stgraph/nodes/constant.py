"""Windows that stay where they are for the length of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from stgraph.checks import positive
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.generators import LargeGenerator, check_generator
from stgraph.nodes.window_regions import WindowRegions, gates
from stgraph.nodes.windows import FixedSizeWindows, WindowRule, centre_anchors

__all__ = ["ConstantRegions"]


class ConstantRegions(WindowRegions):
    r"""Windows placed once a clip, by the mean of its frames (DyReG, "constant-time").

    .. math::
        z = \mathrm{norm}\Bigl(g\bigl(\tfrac{1}{T} \sum_t x_t\bigr)\Bigr), \quad
        (o_h, o_w, Δ_y, Δ_x) = α ⊙ (W z + b)

    There is no recurrence. Since the mean needs the whole clip, the extractor is not causal.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions.
        edges: edge builder.
        generator: module ``[F, C, H, W] → [F, N, D]`` with ``out_channels`` D; by default a
            :class:`LargeGenerator` for maps of 16×16 (others are pooled to that size first).
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres; sizes are fixed by default, as in the paper.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.
        alpha: initial gates of (o_h, o_w, Δ_y, Δ_x).
        eps: ε of its norm.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes.
    """

    causal = False

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        generator: nn.Module | None = None,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = centre_anchors,
        alpha: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        eps: float = 1e-5,
    ) -> None:
        rule = FixedSizeWindows() if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)
        self.generator = LargeGenerator(channels, num_nodes) if generator is None else generator
        width = check_generator(self.generator, channels, num_nodes)
        self.norm = nn.GroupNorm(1, width, positive("eps", eps))  # over (nodes, width) of a clip
        self.offset = nn.Linear(width, 4)
        self.alpha = gates(alpha)

    def regions(
        self, features: Tensor, state: Any = None, frame_mask: Tensor | None = None
    ) -> tuple[Regions, Any]:
        """One placement for all frames; there is no state."""
        if frame_mask is None:
            mean = features.mean(dim=1)  # [B, C, H, W]
        else:  # frames that do not exist are 0
            frames = frame_mask.sum(dim=1).clamp_min(1).to(features.device, non_blocking=True)
            mean = features.sum(dim=1) / frames[:, None, None, None]
        described = self.generator(mean)  # [B, N, D]
        z = self.norm(described.transpose(1, 2)).transpose(1, 2)
        offset = self.alpha * self.offset(z)
        return self.place(offset[:, None], features), None  # [B, 1, N, 4]
