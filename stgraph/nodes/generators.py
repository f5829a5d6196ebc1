"""Region generators: from a frame's map to a descriptor for each region it will have.

Both are DyReG's (paper and official code): the large one, an hour-glass of convolutions with a
fully connected map for every region, and the small one ("lite"), masks that regions compete for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, flag, integer, node_count, positive, shape
from stgraph.kernels import pool
from stgraph.nodes.convolutions import Pointwise, normed_convolution

__all__ = [
    "LargeGenerator",
    "SmallGenerator",
    "check_generator",
    "official_small_generator",
    "sinusoid",
]


def check_generator(generator: nn.Module, channels: int, num_nodes: int) -> int:
    """Check that a generator fits an extractor, and return the width D of its descriptors.

    Raises:
        InputError: when it is made for other channels or regions, or has no ``out_channels``.
    """
    for name, wanted in (("channels", channels), ("num_nodes", num_nodes)):
        made_for = getattr(generator, name, wanted)
        if made_for != wanted:
            raise InputError("generator", f"one of {name}={wanted}", f"{name}={made_for}")
    if not isinstance(width := getattr(generator, "out_channels", None), int):
        raise InputError("generator", "a module with `out_channels`", type(generator).__name__)
    return width


class _Plan(NamedTuple):
    """Strides and paddings of the large generator for a map of a certain size."""

    halve: bool
    first: tuple[int, int]
    second: tuple[int, int]


def _plan(side: int) -> _Plan:
    """The official choice by size: ≤ 10, 11–20, 21–50 cells, and halved first above that."""
    if side <= 10:
        return _Plan(False, (1, 0), (1, 1))
    if side <= 20:
        return _Plan(False, (2, 0), (1, 1))
    return _Plan(side > 50, (2, 0), (2, 0))


class LargeGenerator(nn.Module):
    r"""The large ("hour-glass") generator: f, then a fully connected map :math:`g_i` a region.

    1×1 convolution C → 32; a: 3×3, 32 → 32; b: 3×3, 32 → 16; transposed 3×3, 16 → 32, plus the
    output of a; head: 3×3, 32 → 16, an M×M map; :math:`g`: 16·M² → N·D. Every convolution of f is
    followed by ReLU and a normalisation over (channels, rows, columns). Strides follow the size
    that the weights are made for; a map of another size is average-pooled to that size first, as
    the official code does at test time.

    Args:
        channels: C, channels of the maps.
        num_nodes: N, regions.
        out_channels: D, width of a region's descriptor.
        size: side of the square map that the weights are made for.
        eps: ε of its norms.

    Shapes:
        ``[F, C, H, W]`` → ``[F, N, D]``.

    Raises:
        InputError: when ``size`` is under 5 cells.

    Examples:
        >>> sum(p.numel() for p in LargeGenerator(32, 9, 32, size=16).parameters())
        250528
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        out_channels: int = 32,
        size: int = 16,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if integer("size", size) < 5:
            raise InputError("size", "a map of at least 5 cells a side", size)
        self.channels = integer("channels", channels)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.out_channels = integer("out_channels", out_channels)
        self.size = size
        halve, (stride_a, pad_a), (stride_b, pad_b) = _plan(size)
        self.halve = halve
        self.project = Pointwise(channels, 32)
        self.a = nn.Conv2d(32, 32, 3, stride_a, pad_a)
        self.b = nn.Conv2d(32, 16, 3, stride_b, pad_b)
        self.up = nn.ConvTranspose2d(16, 32, 3, stride_b, pad_b)
        self.head = nn.Conv2d(32, 16, 3, stride_b, pad_b)
        self.norm_project = nn.GroupNorm(1, 32, positive("eps", eps))
        self.norm_a = nn.GroupNorm(1, 32, eps)
        self.norm_b = nn.GroupNorm(1, 16, eps)
        self.norm_up = nn.GroupNorm(1, 32, eps)
        self.norm_head = nn.GroupNorm(1, 16, eps)

        def convolved(side: int, stride: int, pad: int) -> int:
            return (side + 2 * pad - 3) // stride + 1

        inner = convolved(size // 2 if halve else size, stride_a, pad_a)
        self.side = convolved(inner, stride_b, pad_b)  # M
        self.regions = nn.Linear(16 * self.side**2, num_nodes * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if x.shape[-2:] != (self.size, self.size):
            x = F.adaptive_avg_pool2d(x, self.size)  # [F, C, size, size]
        x = self.project(x).relu()
        if self.halve:
            x = F.max_pool2d(x, 2)
        a = self.norm_a(normed_convolution(self.norm_project, self.a, x).relu())
        b = self.norm_b(self.b(a).relu())
        up = self.norm_up(self.up(b, output_size=a.shape[-2:]).relu()) + a
        head = self.norm_head(self.head(up).relu())  # [F, 16, M, M]
        described: Tensor = self.regions(head.flatten(1))
        return described.view(-1, self.num_nodes, self.out_channels)


def sinusoid(channels: int, height: int, width: int, like: Tensor) -> Tensor:
    r"""Sinusoidal position map: half of the channels for rows, half for columns.

    For the coordinate u in 0..1 and c = C/2 channels on its axis, slot k is
    :math:`\sin(u / 10000^{k/c})` for even k and :math:`\cos(u / 10000^{k/c})` for odd k (official
    DyReG code, small generator).

    Args:
        channels: C, an even number.
        height: rows H.
        width: columns W.
        like: a tensor of the wanted type and device.

    Returns:
        ``[C, H, W]``.
    """
    half = channels // 2
    slot = torch.arange(half, device=like.device, dtype=like.dtype)
    period = torch.pow(10000.0, slot / half)

    def axis(cells: int) -> Tensor:
        u = torch.linspace(0, 1, cells, device=like.device, dtype=like.dtype)
        phase = u / period[:, None]  # [C/2, cells]
        return torch.where(slot[:, None] % 2 == 0, phase.sin(), phase.cos())

    rows = axis(height)[:, :, None].expand(-1, -1, width)
    columns = axis(width)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows, columns])


class SmallGenerator(nn.Module):
    r"""The small ("lite") generator: regions compete for every location.

    .. math::
        d_n = W_u \sum_p \operatorname{softmax}_n(W_m x(p))_n \, (x(p) + W_s\, \mathrm{sin}(p))

    It fits maps of any size.

    Args:
        channels: C, channels of the maps, an even number.
        num_nodes: N, regions.
        out_channels: D, width of a region's descriptor.
        size: side of the square map that others are average-pooled to first, as the official code
            does at test time; ``None`` takes maps as they are.
        positions: map ``[C, size, size]`` in place of the sinusoid; it does not learn.
        spare_norm: whether to keep the scale and shift of a norm that the official code makes and
            never runs, so that its files load key by key and its count of parameters is met; they
            take no part and do not learn.

    Shapes:
        ``[F, C, H, W]`` → ``[F, N, D]``.

    Raises:
        InputError: on an odd number of channels, or positions without a size or of another shape.
    """

    positions: Tensor | None

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        out_channels: int = 32,
        size: int | None = None,
        positions: Tensor | None = None,
        spare_norm: bool = False,
    ) -> None:
        super().__init__()
        if channels % 2:
            raise InputError("channels", "an even number", channels)
        self.channels = integer("channels", channels)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.out_channels = integer("out_channels", out_channels)
        self.size = None if size is None else integer("size", size)
        if positions is not None:
            if size is None:
                raise InputError("size", "the side of the map of positions", size)
            shape("positions", positions, channels, size, size)
        self.register_buffer("positions", positions)
        self.masks = nn.Conv2d(channels, num_nodes, 1)
        self.position = nn.Conv2d(channels, channels, 1)
        self.update = nn.Linear(channels, out_channels)
        self.spare: nn.GroupNorm | None = None
        if flag("spare_norm", spare_norm):
            self.spare = nn.GroupNorm(1, channels).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shape("x", x, "F", self.channels, "H W")
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            x = F.adaptive_avg_pool2d(x, self.size)
        height, width = x.shape[-2:]
        mask = self.masks(x).softmax(dim=1)  # [F, N, H, W]
        where = self.positions
        if where is None:
            where = sinusoid(self.channels, height, width, x)
        x = x + self.position(where)
        return self.update(pool(x, mask))  # type: ignore[no-any-return]


def official_small_generator(
    channels: int, num_nodes: int, out_channels: int, size: int
) -> SmallGenerator:
    """:class:`SmallGenerator` as the official code makes it, for maps of one size.

    Other maps are pooled to that size, and the norm that is never run is kept.

    Args:
        channels: C, channels of the maps, an even number.
        num_nodes: N, regions.
        out_channels: D, width of a region's descriptor.
        size: side of the map.
    """
    return SmallGenerator(channels, num_nodes, out_channels, size, spare_norm=True)
