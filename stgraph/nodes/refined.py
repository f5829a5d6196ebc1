"""Windows that follow, whose sizes and places a network corrects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import InputError
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, normalise, pool, separable, tent, window_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.nodes.mean_shift import MeanShiftRegions, MeanShiftState
from stgraph.nodes.window_regions import gates
from stgraph.precision import precise

__all__ = ["RefinedRegions"]


class RefinedRegions(NodeExtractor):
    r"""Windows that follow what they find, corrected by what is seen there.

    :class:`MeanShiftRegions` say where window n is, with centre c and half-size s; as in
    :class:`DynamicRegions` gated offsets, of what it pools, say where the region is and how large:

    .. math::
        (o_h, o_w, Δ_y, Δ_x) = α ⊙ (W\, \mathrm{norm}(\textstyle\sum_p K_n(p) x(p)) + b), \qquad
        s' = s\, e^{g \tanh(o / g)}, \qquad c' = c + r\, s \tanh(Δ)

    The windows themselves go on from where they were, so what is learnt does not lead them astray.
    At the start, with gates of 0, regions are the windows. Of no paper: DyReG's sizes and offsets
    around windows that follow in place of anchors that stand.

    The graph gets one field more, ``window [V, 4]``: half-height, half-width, centre row and centre
    column of the regions in cells.

    Args:
        channels: C, channels of the feature maps.
        edges: edge builder.
        follow: the windows, without edges; nine of :class:`MeanShiftRegions` by default.
        growth: g, largest exponent of a size; with 0 regions keep the sizes of their windows.
        reach: r, largest offset in half-sizes; with 0 they keep the places.
        profile: profile of the regions' kernels on an axis.
        alpha: initial gates of (o_h, o_w, Δ_y, Δ_x).

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes; the state is that of the
        windows.

    Raises:
        InputError: on windows of other channels or with edges of their own, a growth or reach
            below 0, or both 0, which leaves nothing to learn.

    Examples:
        >>> graph, _ = RefinedRegions(channels=8)(torch.rand(2, 4, 8, 12, 12))
        >>> graph.window[0, :2].tolist()  # as large as the windows are
        [2.0, 2.0]
    """

    def __init__(
        self,
        channels: int,
        edges: EdgeBuilder | None = None,
        follow: MeanShiftRegions | None = None,
        growth: float = 0.7,
        reach: float = 0.5,
        profile: AxisProfile = tent,
        alpha: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(channels, edges)
        self.follow = MeanShiftRegions(channels) if follow is None else follow
        if self.follow.channels != channels:
            raise InputError("follow", f"windows of {channels} channels", self.follow.channels)
        if self.follow.edges is not None:
            raise InputError("follow", "windows without edges, which `edges` makes", "some")
        for name, value in (("growth", growth), ("reach", reach)):
            if not 0 <= value < math.inf:
                raise InputError(name, "a number of at least 0", value)
        if not growth and not reach:
            raise InputError("growth, reach", "one of them above 0", (growth, reach))
        self.growth, self.reach = float(growth), float(reach)
        self.profile = profile
        self.norm = nn.LayerNorm(channels)
        self.offset = nn.Linear(channels, 4)
        self.alpha = gates(alpha)

    @property
    def of_frames(self) -> bool:
        """Whether its windows need the frames of the video beside the features."""
        return self.follow.of_frames

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Those of its windows."""
        return self.follow.example_hints(features)

    def regions(
        self,
        features: Tensor,
        state: MeanShiftState | None = None,
        frame_mask: Tensor | None = None,
        frames: Tensor | None = None,
    ) -> tuple[Regions, MeanShiftState]:
        """Correct the windows; the state is where these are at last."""
        found, state = self.follow.regions(features, state, frame_mask, frames)
        height, width = features.shape[-2:]
        seen = pool(features, normalise(found.kernel)[0].to(features.dtype))  # [B, T, N, C]
        offset = precise(self.alpha * self.offset(self.norm(seen)))  # [B, T, N, 4]
        size, centre = torch.split(found.extra["window"], 2, dim=-1)
        centre = centre + self.reach * size * offset[..., 2:].tanh()
        if self.growth:
            size = size * (self.growth * (offset[..., :2] / self.growth).tanh()).exp()
        rows, columns = centre.unbind(-1)  # kept on the map, as windows that are predicted are
        centre = torch.stack([rows.clamp(0, height - 1), columns.clamp(0, width - 1)], dim=-1)
        return Regions(
            separable(self.profile, centre, size, height, width),
            window_box(centre, size, height, width),
            extra={"window": torch.cat([size, centre], dim=-1)},
        ), state

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        profile = getattr(self.profile, "__name__", repr(self.profile))
        return f"{self.channels}, growth={self.growth}, reach={self.reach}, profile={profile}"
