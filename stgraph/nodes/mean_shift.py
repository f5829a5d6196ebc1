"""Windows that are drawn to what stands out inside them, and stay on it from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stgraph.checks import InputError, shape, times
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, moment_box, normalise, precise, profiles, separable, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.saliency import Energy, Saliency, check_saliency
from stgraph.nodes.window_regions import WindowRegions
from stgraph.nodes.windows import FixedSizeWindows, WindowRule, grid_anchors

__all__ = ["MeanShiftRegions", "MeanShiftState"]


class MeanShiftState(NamedTuple):
    """What :class:`MeanShiftRegions` remember."""

    centre: Tensor
    """Last centres (row, column) ``[B, N, 2]`` in cells."""
    saliency: Any
    """What the saliency remembers."""


torch.serialization.add_safe_globals([MeanShiftState])


class MeanShiftRegions(WindowRegions):
    r"""Windows that move to the centroid of what is salient inside them (mean shift).

    With a saliency :math:`a(p) \ge 0` of every cell and the window's kernel K, a few times a frame:

    .. math::
        c ← \sum_p K(p - c)\, a(p)\, p \Big/ \sum_p K(p - c)\, a(p)

    The first frame starts at the anchors, any other one where the windows were in the last, so a
    window follows what it lies on as long as that moves by less than its half-size a frame. Pooling
    weights are :math:`K(p - c)\,a(p)`, and the box is the even rectangle with their mean and
    variance. Where nothing is salient inside a window it stays where it is, and pools with K alone.
    Everything is differentiable, causal and without parameters but for those of the saliency. Mean
    shift is Fukunaga and Hostetler's (1975), and Comaniciu, Ramesh and Meer's for following (2003);
    neither RSTG nor DyReG has it.

    The graph gets one field more, ``window [V, 4]``: see :class:`WindowRegions`.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, windows.
        edges: edge builder.
        saliency: what draws the windows; the mean squared feature by default.
        iterations: moves a frame.
        profile: profile of the kernel on an axis.
        windows: rule for sizes and first centres, called with predictions of 0; half-sizes of a
            sixth of the map by default.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes; the state is a
        :class:`MeanShiftState`.

    Examples:
        A spot that moves by a cell a frame, and the window nearest to it:

        >>> import torch
        >>> frames = torch.zeros(1, 3, 1, 12, 12)
        >>> for t in range(3):
        ...     frames[0, t, 0, 5, 5 + t] = 1
        >>> graph, _ = MeanShiftRegions(channels=1, num_nodes=9)(frames)
        >>> graph.window.view(3, 9, 4)[:, 4, 2:]
        tensor([[5., 5.],
                [5., 6.],
                [5., 7.]])
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 16,
        edges: EdgeBuilder | None = None,
        saliency: Saliency | None = None,
        iterations: int = 3,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = grid_anchors,
    ) -> None:
        rule = FixedSizeWindows(cells=0.0) if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)
        self.saliency = check_saliency(Energy() if saliency is None else saliency)
        self.iterations = times("iterations", iterations)

    def shift(self, centre: Tensor, size: Tensor, saliency: Tensor) -> Tensor:
        """Move windows once.

        Args:
            centre: centres (row, column) ``[B, N, 2]`` in cells.
            size: half-sizes (rows, columns) ``[N, 2]`` in cells.
            saliency: of every cell ``[B, H, W]``.

        Returns:
            The centroids of what is salient in the windows ``[B, N, 2]``; where nothing is, the
            centres as they are.
        """
        height, width = saliency.shape[-2:]
        rows, columns = profiles(self.profile, centre, size, height, width)  # [B, N, cells]
        # Sums over the window, an axis at a time: the kernel itself is not needed here.
        along_rows = rows * (columns @ saliency.transpose(1, 2))  # [B, N, H]
        along_columns = columns * (rows @ saliency)  # [B, N, W]
        moved = torch.stack([_mean(along_rows), _mean(along_columns)], dim=-1)
        return torch.where(_any(along_rows.sum(-1))[..., None], moved, centre)

    def regions(
        self,
        features: Tensor,
        state: MeanShiftState | None = None,
        frame_mask: Tensor | None = None,
    ) -> tuple[Regions, MeanShiftState]:
        """Move the windows frame by frame; the state is where they are at last."""
        clips, frames, _, height, width = features.shape
        if state is not None and not isinstance(state, MeanShiftState):
            raise InputError("state", "the MeanShiftState of an earlier call", type(state).__name__)
        before = None if state is None else state.saliency
        saliency, remembered = self.saliency(features, before, frame_mask)
        shape("saliency", saliency, f"{clips} {frames} {height} {width}")
        saliency = precise(saliency)
        start, size = self.windows(
            saliency.new_zeros(self.num_nodes, 4), self.anchor.to(saliency), height, width
        )
        if state is None:
            centre = start.expand(clips, -1, -1)
        else:
            shape("state.centre", state.centre, f"{clips} {self.num_nodes} 2")
            centre = state.centre.to(saliency)
        path = []
        for t, frame in enumerate(saliency.unbind(1)):
            before = centre
            for _ in range(self.iterations):
                centre = self.shift(centre, size, frame)
            if frame_mask is not None:  # behind its end a clip keeps its windows
                exists = frame_mask[:, t, None, None].to(centre.device, non_blocking=True)
                centre = torch.where(exists, centre, before)
            path.append(centre)
        centres = torch.stack(path, dim=1)  # [B, T, N, 2]
        window = separable(self.profile, centres, size, height, width)  # [B, T, N, H, W]
        kernel = window * saliency[:, :, None]
        found = _any(kernel.sum(dim=(-2, -1)))[..., None, None]
        kernel = torch.where(found, kernel, window)
        extra = {"window": torch.cat([size.expand_as(centres), centres], dim=-1)}
        regions = Regions(kernel, moment_box(kernel), extra=extra)
        return regions, MeanShiftState(centre.clone(), remembered)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{super().extra_repr()}, iterations={self.iterations}"


def _mean(weight: Tensor) -> Tensor:
    """Mean index ``[...]`` of the cells of an axis ``[..., cells]``."""
    share, _ = normalise(weight[..., None])
    cells = torch.arange(weight.size(-1), device=weight.device, dtype=share.dtype)
    return share[..., 0] @ cells


def _any(mass: Tensor) -> Tensor:
    """Whether a mass is one that :func:`~stgraph.kernels.normalise` divides by."""
    return mass > torch.finfo(mass.dtype).tiny ** 0.5
