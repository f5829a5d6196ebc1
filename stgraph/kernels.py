r"""Pooling kernels of regions, and the two adjoint maps that they define.

A kernel gives every cell of an H×W map a weight :math:`K_n(p) \ge 0` for node n. All kernels here
are separable, :math:`K_n(p) = k_n(p_y)\,k_n(p_x)`, and differ in the profile of one axis. Cells
have the indices 0 … H−1; a *window* has its ``centre`` (row, column) and half-sizes ``size``
(rows, columns), both in cells, each ``[..., 2]``.

Pooling reads node features off a map and spreading writes them back. With the same kernel they
are adjoint, :math:`\langle \mathrm{pool}(x), v\rangle = \langle x, \mathrm{spread}(v)\rangle`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from stgraph.checks import InputError, positive
from stgraph.precision import precise
from stgraph.shares import Shares

__all__ = [
    "AxisProfile",
    "Bilinear",
    "Gaussian",
    "LogLinear",
    "area",
    "area_weights",
    "boxcar",
    "enclosing_box",
    "moment_box",
    "normalise",
    "pool",
    "profiles",
    "separable",
    "spread",
    "tent",
    "window_box",
]

# Any, which is a tensor [..., H]: with the type itself the command line would take no class whose
# instances are profiles, but look for classes of tensors.
AxisProfile = Callable[[Tensor, Tensor], Any]
"""``(distance, size) → weight``: the profile of one axis; distances of cells to the centre."""


def tent(distance: Tensor, size: Tensor) -> Tensor:
    r"""Linear profile :math:`k(d) = \max(0, s - |d|)` (DyReG, the kernel of its best model).

    Args:
        distance: signed distances of the cells to the centre ``[..., H]``, in cells.
        size: half-size s ``[..., 1]``, in cells.

    Returns:
        Weights ``[..., H]``.

    Examples:
        >>> tent(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.5]))
        tensor([0.5000, 1.5000, 0.5000])
    """
    return (size - distance.abs()).clamp_min(0)


def boxcar(distance: Tensor, size: Tensor) -> Tensor:
    r"""Box profile: the share of each cell that the window :math:`[-s, s]` covers.

    .. math:: k(d) = |[d - ½, d + ½] ∩ [-s, s]|

    Cells in the window weigh 1, cells at its two edges a share, so the profile is differentiable in
    centre and size. It is the :func:`area` kernel of the window's box.

    Args:
        distance: signed distances of the cells to the centre ``[..., H]``, in cells.
        size: half-size s ``[..., 1]``, in cells.

    Returns:
        Weights ``[..., H]`` in 0..1.

    Examples:
        >>> boxcar(torch.tensor([-2.0, -1.0, 0.0, 1.0]), torch.tensor([1.25]))
        tensor([0.0000, 0.7500, 1.0000, 0.7500])
    """
    high = torch.minimum(distance + 0.5, size)
    return (high - torch.maximum(distance - 0.5, -size)).clamp(0, 1)


@dataclass(frozen=True)
class Gaussian:
    r"""Gaussian profile :math:`k(d) = \exp(-d^2 / (2σ^2))` with :math:`σ = s / r` (DyReG).

    The paper has r = 1; its older official code divided sizes by 2.2.

    Args:
        sigmas: r, how many standard deviations the half-size s > 0 is.

    Examples:
        >>> Gaussian()(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0]))
        tensor([1.0000, 0.6065, 0.1353])
    """

    sigmas: float = 1.0

    def __post_init__(self) -> None:
        positive("sigmas", self.sigmas)

    def __call__(self, distance: Tensor, size: Tensor) -> Tensor:
        """Weights ``[..., H]`` at ``distance [..., H]`` for half-sizes ``[..., 1]``."""
        size = size.clamp_min(1e-6)  # a window without size is a point, not 0/0
        return (-0.5 * (distance * self.sigmas / size).square()).exp()


@dataclass(frozen=True)
class LogLinear:
    r"""Log-linear profile :math:`k(d) = \log(1 + τ \max(0, s - |d|))` (DyReG).

    The larger the temperature τ, the flatter the window; DyReG tried 1, 7 and 20.

    Args:
        tau: τ.

    Examples:
        >>> LogLinear(7.0)(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0]))
        tensor([2.0794, 1.5041, 0.0000])
    """

    tau: float = 1.0

    def __post_init__(self) -> None:
        positive("tau", self.tau)

    def __call__(self, distance: Tensor, size: Tensor) -> Tensor:
        """Weights ``[..., H]`` at ``distance [..., H]`` for half-sizes ``[..., 1]``."""
        return (self.tau * tent(distance, size)).log1p()


@dataclass(frozen=True)
class Bilinear:
    r"""Bilinear sampling at the centre, :math:`k(d) = \max(0, 1 - |d|)` (DyReG's ablation).

    The tent of half-size exactly 1, whatever the window; extractors take it only with a rule of
    windows that says the same.

    Examples:
        >>> Bilinear()(torch.tensor([-0.75, 0.25, 1.25]), torch.tensor([4.0]))
        tensor([0.2500, 0.7500, 0.0000])
    """

    half_size: ClassVar[float] = 1.0

    def __call__(self, distance: Tensor, size: Tensor) -> Tensor:
        """Weights ``[..., H]`` at ``distance [..., H]``; sizes give their shape only."""
        return tent(distance, torch.full_like(size, self.half_size))


def separable(
    profile: AxisProfile, centre: Tensor, size: Tensor, height: int, width: int
) -> Tensor:
    r"""Kernel on a map: the outer product of the profiles of its two axes.

    .. math:: K(p) = k(p_y - c_y;\, s_y)\; k(p_x - c_x;\, s_x)

    Args:
        profile: profile of an axis, for example :func:`tent`.
        centre: centres (row, column) ``[..., 2]`` in cells.
        size: half-sizes (rows, columns) ``[..., 2]`` in cells.
        height: rows H of the map.
        width: columns W of the map.

    Returns:
        Weights ``[..., H, W]``, not normalised.
    """
    rows, columns = profiles(profile, centre, size, height, width)
    return rows[..., :, None] * columns[..., None, :]  # [..., H, W]


def profiles(
    profile: AxisProfile, centre: Tensor, size: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The two factors of :func:`separable`: weights of rows ``[..., H]`` and columns ``[..., W]``.

    Args:
        profile: profile of an axis.
        centre: centres (row, column) ``[..., 2]`` in cells.
        size: half-sizes (rows, columns) ``[..., 2]`` in cells.
        height: rows H of the map.
        width: columns W of the map.
    """
    rows, columns = (
        profile(
            torch.arange(cells, device=centre.device, dtype=centre.dtype)
            - centre[..., axis, None],  # [..., cells]
            size[..., axis, None],
        )
        for axis, cells in enumerate((height, width))
    )
    return rows, columns


def area(box: Tensor, height: int, width: int) -> Tensor:
    r"""Area kernel: the share of each cell that a box covers.

    .. math:: K(p) = |[p_y, p_y{+}1] \cap [y_1 H, y_2 H]| \cdot |[p_x, p_x{+}1] \cap [x_1 W, x_2 W]|

    Normalised, pooling with it is the exact fractional-overlap average ("area resize") that RSTG
    reads its grids with; raw, spreading with it is the area resize back to the map (official code
    of RSTG: its 27 shipped filter files equal this formula).

    Args:
        box: boxes (x1, y1, x2, y2) ``[..., 4]`` in 0..1 of the frame.
        height: rows H of the map.
        width: columns W of the map.

    Returns:
        Weights ``[..., H, W]`` in 0..1, not normalised.
    """

    def overlap(low: Tensor, high: Tensor, cells: int) -> Tensor:
        edge = torch.arange(cells, device=box.device, dtype=box.dtype)
        low, high = low[..., None] * cells, high[..., None] * cells
        return (torch.minimum(edge + 1, high) - torch.maximum(edge, low)).clamp(0, 1)

    rows = overlap(box[..., 1], box[..., 3], height)
    columns = overlap(box[..., 0], box[..., 2], width)
    return rows[..., :, None] * columns[..., None, :]  # [..., H, W]


def area_weights(
    source: int,
    target: int,
    low: float = 0.0,
    high: float = 1.0,
    like: Tensor | None = None,
) -> Tensor:
    r"""The matrix that resizes an axis by area: the share of each new cell that an old one covers.

    .. math:: W_{ij} = |[i, i{+}1] \cap [s_j, s_{j+1}]|\, / \,(s_{j+1} - s_j) \text{ of cell } i
        \text{ in new cell } j, \quad s_j = n (low + (high - low)\, j / m)

    Rows sum to 1 where the stretch lies within the axis. So a resized mask is the share of each
    cell that the mask covers, exactly, to more cells and to fewer.

    Args:
        source: n, cells of the axis.
        target: m, cells that the stretch becomes.
        low: where the stretch begins, in 0..1 of the axis.
        high: where it ends.
        like: type and device of the matrix are this tensor's.

    Returns:
        Weights ``[target, source]``.

    Examples:
        >>> area_weights(3, 2)
        tensor([[0.6667, 0.3333, 0.0000],
                [0.0000, 0.3333, 0.6667]])
    """
    like = torch.empty(0) if like is None else precise(like)
    step = torch.arange(target + 1, dtype=like.dtype, device=like.device) / target
    edge = (source * (low + (high - low) * step))[:, None]  # [target + 1, 1]
    cell = torch.arange(source, dtype=like.dtype, device=like.device)  # [source]
    covered = torch.minimum(cell + 1, edge[1:]) - torch.maximum(cell, edge[:-1])
    weights: Tensor = covered.clamp_min(0) / (edge[1:] - edge[:-1])
    return weights


def window_box(centre: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """Box of a window: centre ± half-size, clipped to the frame.

    That is the full support of a tent and of a box profile. A cell of index p spans [p, p + 1], so
    the centre c of a window lies at (c + 1/2) / H.

    Args:
        centre: centres (row, column) ``[..., 2]`` in cells.
        size: half-sizes (rows, columns) ``[..., 2]`` in cells.
        height: rows H of the map.
        width: columns W of the map.

    Returns:
        Boxes (x1, y1, x2, y2) ``[..., 4]`` in 0..1.
    """
    low, high = centre + 0.5 - size, centre + 0.5 + size
    box = torch.stack(
        [
            low[..., 1] / width,
            low[..., 0] / height,
            high[..., 1] / width,
            high[..., 0] / height,
        ],
        dim=-1,
    )
    return box.clamp(0, 1)


def moment_box(kernel: Tensor) -> Tensor:
    r"""Box of a kernel of any shape: the even rectangle with the same mean and variance.

    .. math:: μ = \sum_p k(p)\,(p + ½), \quad σ^2 = \sum_p k(p)\,(p + ½ - μ)^2 + \tfrac{1}{12},
        \quad μ ± \sqrt{3}\,σ

    on each axis, with k the kernel's normalised sums along the other one, and 1/12 the variance
    inside a cell. Exact for kernels that weigh whole cells of a rectangle alike; clipped to the
    frame. An empty kernel gets half a cell in the corner.

    Args:
        kernel: weights ≥ 0 ``[..., H, W]``.

    Returns:
        Boxes (x1, y1, x2, y2) ``[..., 4]`` in 0..1.

    Examples:
        >>> moment_box(torch.tensor([[0.0, 1.0, 1.0, 0.0]] * 2)).round(decimals=4)
        tensor([0.2500, 0.0000, 0.7500, 1.0000])
    """
    kernel, _ = normalise(kernel)
    ends = []
    for axis in (-2, -1):  # rows, then columns
        share = kernel.sum(dim=-3 - axis)  # [..., cells]
        cells = share.size(-1)
        place = torch.arange(cells, device=share.device, dtype=share.dtype) + 0.5
        mean = (share * place).sum(-1)
        variance = (share * (place - mean[..., None]).square()).sum(-1) + 1 / 12
        half = math.sqrt(3) * variance.sqrt()
        ends.append((((mean - half) / cells), ((mean + half) / cells)))
    (y1, y2), (x1, x2) = ends
    return torch.stack([x1, y1, x2, y2], dim=-1).clamp(0, 1)


def enclosing_box(kernel: Tensor) -> Tensor:
    """Box of a kernel of any shape: the smallest one with all cells that weigh something.

    Args:
        kernel: weights ``[..., H, W]``; those above 0 count.

    Returns:
        Boxes (x1, y1, x2, y2) ``[..., 4]`` in 0..1; all 0 of a kernel without weights.

    Examples:
        >>> enclosing_box(torch.tensor([[0.0, 0.2, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
        tensor([0.2500, 0.0000, 0.7500, 0.5000])
    """
    found = kernel.detach() > 0
    ends = []
    for axis in (-1, -2):  # columns, then rows
        some = found.any(dim=-3 - axis).to(torch.uint8)  # [..., cells]
        cells = some.size(-1)
        last = cells - some.flip(-1).argmax(dim=-1)  # argmax finds the first
        ends.append((some.argmax(dim=-1) / cells, last * some.amax(dim=-1) / cells))
    (x1, x2), (y1, y2) = ends
    return torch.stack([x1, y1, x2, y2], dim=-1)


def normalise(kernel: Tensor) -> tuple[Tensor, Tensor]:
    r"""Scale kernels to sum to 1 over the map; an empty kernel stays 0, with gradient 0.

    Computed in single precision at least, whatever the kernel's type: an epsilon such as the
    official 1e-37 is 0 in half precision, and a wide kernel's sum overflows it. The gradient of the
    normalised kernel is 0 also where the mass is so small (under 1e-19) that it would be no number:
    1 over it, times a scale of losses.

    Args:
        kernel: weights ≥ 0 ``[..., H, W]``.

    Returns:
        The normalised kernel ``[..., H, W]`` and the mass ``[...]``, what each summed to.
    """
    shares, mass = Shares.of(precise(kernel))
    return shares, mass


def _same_map(name: str, x: Tensor, kernel: Tensor) -> None:
    if x.shape[-2:] != kernel.shape[-2:]:
        raise InputError(name, f"a map of {list(kernel.shape[-2:])} cells", list(x.shape[-2:]))


def pool(features: Tensor, kernel: Tensor) -> Tensor:
    r"""Pool a map into nodes, :math:`v_n = \sum_p K_n(p)\, x(p)`.

    Args:
        features: maps ``[..., C, H, W]``.
        kernel: weights ``[..., N, H, W]``.

    Returns:
        Node features ``[..., N, C]``.

    Raises:
        InputError: when map and kernel have different cells.
    """
    _same_map("features", features, kernel)
    # Maps come first, so that their gradient lies in memory as they do. PyTorch 2.13 reads a
    # transposed one of a single map in the wrong order behind a batch norm in evaluation.
    pooled = features.flatten(-2) @ kernel.flatten(-2).transpose(-2, -1)  # [..., C, N]
    return pooled.transpose(-2, -1)


def spread(nodes: Tensor, kernel: Tensor) -> Tensor:
    r"""Spread nodes over a map, :math:`y(p) = \sum_n K_n(p)\, v_n`: the adjoint of :func:`pool`.

    Args:
        nodes: node features ``[..., N, C]``.
        kernel: weights ``[..., N, H, W]``.

    Returns:
        Maps ``[..., C, H, W]``.
    """
    cells = nodes.transpose(-2, -1) @ kernel.flatten(-2)  # [..., C, H·W]
    return cells.reshape(*cells.shape[:-1], *kernel.shape[-2:])
