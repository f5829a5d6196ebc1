r"""Pooling kernels of regions, and the two adjoint maps that they define.

A kernel gives every cell of an H×W map a weight :math:`K_n(p) \ge 0` for node n. All kernels here
are separable, :math:`K_n(p) = k_n(p_y)\,k_n(p_x)`, and differ in the profile of one axis. Cells
have the indices 0 … H−1; a *window* has its ``centre`` (row, column) and half-sizes ``size``
(rows, columns), both in cells, each ``[..., 2]``.

Pooling reads node features off a map and spreading writes them back. With the same kernel they
are adjoint, :math:`\langle \mathrm{pool}(x), v\rangle = \langle x, \mathrm{spread}(v)\rangle`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stgraph.checks import InputError

__all__ = [
    "AxisProfile",
    "area",
    "normalise",
    "pool",
    "separable",
    "spread",
    "tent",
    "window_box",
]

AxisProfile = Callable[[Tensor, Tensor], Tensor]
"""``(distance, size) → weight``: the profile of one axis; distances of cells to the centre."""


def tent(distance: Tensor, size: Tensor) -> Tensor:
    r"""Linear profile :math:`k(d) = \max(0, s - |d|)` (DyReG, the kernel of its best model).

    Args:
        distance: signed distances of the cells to the centre ``[..., H]``, in cells.
        size: half-size s ``[..., 1]``, in cells.

    Returns:
        Weights ``[..., H]``.

    Example:
        >>> tent(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.5]))
        tensor([0.5000, 1.5000, 0.5000])
    """
    return (size - distance.abs()).clamp_min(0)


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
    rows, columns = (
        profile(
            torch.arange(cells, device=centre.device, dtype=centre.dtype)
            - centre[..., axis, None],  # [..., cells]
            size[..., axis, None],
        )
        for axis, cells in enumerate((height, width))
    )
    return rows[..., :, None] * columns[..., None, :]  # [..., H, W]


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


def window_box(centre: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """Box of a window: its full support, clipped to the frame.

    A cell of index p spans [p, p + 1], so the centre c of a window lies at (c + 1/2) / H.

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


def normalise(kernel: Tensor) -> tuple[Tensor, Tensor]:
    r"""Scale kernels to sum to 1 over the map; an empty kernel stays 0.

    Computed in single precision at least, whatever the kernel's type: an epsilon such as the
    official 1e-37 is 0 in half precision, and a wide kernel's sum overflows it.

    Args:
        kernel: weights ≥ 0 ``[..., H, W]``.

    Returns:
        The normalised kernel ``[..., H, W]`` and the mass ``[...]``, what each summed to.
    """
    precise = kernel.to(torch.promote_types(kernel.dtype, torch.float32))
    mass = precise.sum(dim=(-2, -1))
    tiny = torch.finfo(precise.dtype).tiny
    return precise / mass.clamp_min(tiny)[..., None, None], mass


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
    return kernel.flatten(-2) @ features.flatten(-2).transpose(-2, -1)


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
