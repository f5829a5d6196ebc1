"""Windows that are drawn to what stands out inside them, and stay on it from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stgraph.checks import InputError, positive, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, normalise, profiles, separable, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.competition import Competition
from stgraph.nodes.saliency import Energy, Saliency, check_saliency
from stgraph.nodes.window_regions import WindowRegions
from stgraph.nodes.windows import FixedSizeWindows, WindowRule, grid_anchors
from stgraph.precision import precise

__all__ = ["MeanShiftRegions", "MeanShiftState"]


class MeanShiftState(NamedTuple):
    """What :class:`MeanShiftRegions` remember."""

    centre: Tensor
    """Last centres (row, column) ``[B, N, 2]`` in cells of the features."""
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
    variance. Where nothing is salient inside a window it stays where it is, and K alone takes
    their place. Everything is differentiable and causal, and has no parameters but those of the
    saliency. Mean shift is Fukunaga and Hostetler's (1975), and Comaniciu, Ramesh and Meer's for
    following (2003); neither RSTG nor DyReG has it.

    The saliency may have finer cells than the features: windows then move, and boxes are measured,
    on its map. One of the frames themselves gets them as the hint ``frames``, which a
    :class:`~stgraph.classifiers.GraphClassifier` hands on by itself. The graph gets one field more,
    ``window [V, 4]``: see :class:`WindowRegions`.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, windows.
        edges: edge builder.
        saliency: what draws the windows; the mean squared feature by default.
        moves: a factor on the windows' sizes for each move of a frame.
        settling: the same for the first frame of a clip; as ``moves`` by default. Windows that
            begin wider find what lies farther from their anchors.
        competition: how windows that meet divide a cell; by default each sees all of it.
        sampling: profile of other pooling weights around the centre, with the windows' size;
            :class:`~stgraph.kernels.Bilinear` reads the features at the centre alone.
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
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        saliency: Saliency | None = None,
        moves: Sequence[float] = (1.0, 1.0, 1.0),
        settling: Sequence[float] | None = None,
        competition: Competition | None = None,
        sampling: AxisProfile | None = None,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = grid_anchors,
    ) -> None:
        rule = FixedSizeWindows(cells=0.0) if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)
        self.saliency = check_saliency(Energy() if saliency is None else saliency)
        self.moves = _factors("moves", moves)
        self.settling = self.moves if settling is None else _factors("settling", settling)
        self.competition = competition
        self.sampling = sampling

    @property
    def of_frames(self) -> bool:
        """Whether it needs the frames of the video beside the features."""
        return self.saliency.of_frames

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Frames three times as large as the features, where the saliency looks at them."""
        if not self.saliency.of_frames:
            return {}
        clips, count = features.shape[:2]
        frames = F.interpolate(features.detach().flatten(0, 1), scale_factor=3.0, mode="bilinear")
        width = int(getattr(self.saliency, "in_channels", 1))
        return {"frames": frames[:, :width].reshape(clips, count, width, *frames.shape[2:])}

    def shares(
        self, centre: Tensor, size: Tensor, saliency: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What each window sees, as factors.

        Args:
            centre: centres (row, column) ``[..., N, 2]`` in cells of the saliency.
            size: half-sizes (rows, columns) ``[N, 2]`` in cells of the saliency.
            saliency: of every cell ``[..., h, w]``.

        Returns:
            Weights of rows ``[..., N, h]`` and columns ``[..., N, w]``, and a map for all
            ``[..., h, w]``; their product is what a window sees of each cell.
        """
        height, width = saliency.shape[-2:]
        rows, columns = profiles(self.profile, centre, size, height, width)
        peak = self.profile(torch.zeros_like(size)[..., None], size[..., None])  # [N, 2, 1]
        rows, columns = rows / peak[:, 0], columns / peak[:, 1]
        if self.competition is None:
            return rows, columns, saliency
        return self.competition(rows, columns, saliency)

    def shift(self, centre: Tensor, size: Tensor, saliency: Tensor) -> Tensor:
        """Move windows once.

        Args:
            centre: centres (row, column) ``[B, N, 2]`` in cells of the saliency.
            size: half-sizes (rows, columns) ``[N, 2]`` in cells of the saliency.
            saliency: of every cell ``[B, h, w]``.

        Returns:
            The centroids of what is salient in the windows ``[B, N, 2]``; where nothing is, the
            centres as they are.
        """
        along = _along_axes(*self.shares(centre, size, saliency))
        moved = torch.stack([_moments(axis)[0] for axis in along], dim=-1)
        return torch.where(_any(along[0])[..., None], moved, centre)

    def follow(
        self,
        start: Tensor,
        size: Tensor,
        saliency: Tensor,
        settle: bool,
        frame_mask: Tensor | None = None,
    ) -> Tensor:
        """Move windows from frame to frame.

        Args:
            start: centres before the first frame ``[B, N, 2]`` in cells of the saliency.
            size: half-sizes ``[N, 2]`` in cells of the saliency.
            saliency: of every cell ``[B, T, h, w]``.
            settle: whether the first frame is a clip's first.
            frame_mask: which frames exist ``[B, T]``; behind its end a clip keeps its windows.

        Returns:
            Centres ``[B, T, N, 2]``.
        """
        centre, path = start, []
        for t, frame in enumerate(saliency.unbind(1)):
            before = centre
            for factor in self.settling if settle and t == 0 else self.moves:
                centre = self.shift(centre, factor * size, frame)
            if frame_mask is not None:
                exists = frame_mask[:, t, None, None].to(centre.device, non_blocking=True)
                centre = torch.where(exists, centre, before)
            path.append(centre)
        return torch.stack(path, dim=1)

    def regions(
        self,
        features: Tensor,
        state: MeanShiftState | None = None,
        frame_mask: Tensor | None = None,
        frames: Tensor | None = None,
    ) -> tuple[Regions, MeanShiftState]:
        """Move the windows frame by frame; the state is where they are at last."""
        clips, _, _, height, width = features.shape
        if state is not None and not isinstance(state, MeanShiftState):
            raise InputError("state", "the MeanShiftState of an earlier call", type(state).__name__)
        saliency, remembered = self._salient(features, frames, state, frame_mask)
        start, size = self.windows(
            saliency.new_zeros(self.num_nodes, 4), self.anchor.to(saliency), height, width
        )
        finer = (saliency.size(-2) / height, saliency.size(-1) / width)
        fine = torch.cat([saliency.new_full((1,), times) for times in finer])  # cells in a cell
        if state is None:
            centre = start.expand(clips, -1, -1)
        else:
            shape("state.centre", state.centre, clips, self.num_nodes, 2)
            centre = state.centre.to(saliency)
        centre, fine_size = (centre + 0.5) * fine - 0.5, fine * size
        centres = self.follow(centre, fine_size, saliency, state is None, frame_mask)
        seen = self.shares(centres, fine_size, saliency)
        window = profiles(self.profile, centres, fine_size, *saliency.shape[-2:])
        along = _along_axes(*seen)
        there = _any(along[0])[..., None]  # [B, T, N, 1]
        box = _box(*(torch.where(there, *pair) for pair in zip(along, window, strict=True)))
        centres = (centres + 0.5) / fine - 0.5
        if self.sampling is None:
            kernel = seen[0][..., :, None] * seen[1][..., None, :] * seen[2][..., None, :, :]
            alone = window[0][..., :, None] * window[1][..., None, :]
            kernel = _resized(torch.where(there[..., None], kernel, alone), height, width)
        else:
            kernel = separable(self.sampling, centres, size, height, width)
        extra = {"window": torch.cat([size.expand_as(centres), centres], dim=-1)}
        last = centres[:, -1].clone()
        return Regions(kernel, box, extra=extra), MeanShiftState(last, remembered)

    def _salient(
        self,
        features: Tensor,
        frames: Tensor | None,
        state: MeanShiftState | None,
        frame_mask: Tensor | None,
    ) -> tuple[Tensor, Any]:
        """The saliency ``[B, T, h, w]``, and what it remembers."""
        clips, count = features.shape[:2]
        maps = features
        if self.saliency.of_frames:
            if frames is None:
                name = type(self.saliency).__name__
                raise InputError("frames", f"the video [B, T, c, h, w], for {name}", "none")
            shape("frames", frames, clips, count, "c h w")
            maps = frames
        before = None if state is None else state.saliency
        saliency, after = self.saliency(maps, before, frame_mask)
        shape("saliency", saliency, clips, count, "h w")
        return precise(saliency), after

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        options = f"moves={self.moves}, settling={self.settling}"
        return f"{super().extra_repr()}, {options}, {self.competition}, sampling={self.sampling}"


def _factors(name: str, factors: Sequence[float]) -> tuple[float, ...]:
    if not factors:
        raise InputError(name, "at least one factor", list(factors))
    return tuple(positive(name, float(factor)) for factor in factors)


def _along_axes(rows: Tensor, columns: Tensor, saliency: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of rows ⊗ columns ⊙ saliency over the columns and over the rows ``[..., N, cells]``."""
    # Two matrix products: N maps are never made.
    return rows * (columns @ saliency.transpose(-2, -1)), columns * (rows @ saliency)


def _moments(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance ``[...]`` of the indices of an axis's cells ``[..., cells]``."""
    share = normalise(weight[..., None])[0][..., 0]
    cells = torch.arange(weight.size(-1), device=weight.device, dtype=share.dtype)
    mean = share @ cells
    return mean, (share * (cells - mean[..., None]).square()).sum(dim=-1)


def _box(rows: Tensor, columns: Tensor) -> Tensor:
    """Box of a kernel of these sums, as :func:`~stgraph.kernels.moment_box` has it ``[..., 4]``."""
    ends = []
    for along in (rows, columns):
        mean, variance = _moments(along)
        half = math.sqrt(3) * (variance + 1 / 12).sqrt()
        ends.append(((mean + 0.5 - half) / along.size(-1), (mean + 0.5 + half) / along.size(-1)))
    (y1, y2), (x1, x2) = ends
    return torch.stack([x1, y1, x2, y2], dim=-1).clamp(0, 1)


def _resized(kernel: Tensor, height: int, width: int) -> Tensor:
    """Kernels ``[B, T, N, h, w]`` on a map of other cells, each the mean of what it covers."""
    if kernel.shape[-2:] == (height, width):
        return kernel
    return F.adaptive_avg_pool2d(kernel.flatten(0, 1), (height, width)).view(
        *kernel.shape[:3], height, width
    )


def _any(along: Tensor) -> Tensor:
    """Whether there is a mass ``[...]`` that :func:`~stgraph.kernels.normalise` divides by."""
    return along.sum(dim=-1) > math.sqrt(torch.finfo(along.dtype).tiny)
