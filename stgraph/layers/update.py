"""Updates: what node i becomes of itself and of what it gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, integer, sides, times
from stgraph.layers.initialise import keep_scale
from stgraph.layers.norm import FrameNorm

__all__ = [
    "AddUpdate",
    "MLPUpdate",
    "ReplaceUpdate",
    "ScaleUpdate",
    "SumUpdate",
    "Update",
]


class Update(nn.Module):
    """What an update is: ``(v [V, C], m [V, C]) → [V, C]``, and a norm over the frame's nodes.

    Args:
        channels: C.
        norm: maker of the norm, or ``None``.
    """

    norm: FrameNorm | None

    by_identity: bool = False
    """Whether it treats identities differently; it is then called with ``[G, N, C]`` only."""

    def __init__(self, channels: int, norm: Callable[[int], FrameNorm] | None = FrameNorm) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.norm = None if norm is None else norm(channels)

    def reset_parameters(self) -> None:
        """He initialisation: nodes keep their scale through ReLU, however many rounds."""
        keep_scale(self)

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """New node features, before the norm."""
        raise NotImplementedError


class AddUpdate(Update):
    r"""The node plus what it gathered, :math:`v_i + m_i` (official DyReG code)."""

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return x + message


class ReplaceUpdate(Update):
    r"""No update: the node becomes what it gathered, :math:`m_i`."""

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return message


def _mlp(width: int, channels: int, layers: int) -> nn.Sequential:
    """Linear layers to C channels, each followed by ReLU."""
    widths = [width] + [channels] * times("layers", layers)
    pairs = [(nn.Linear(before, after), nn.ReLU()) for before, after in pairwise(widths)]
    return nn.Sequential(*[part for pair in pairs for part in pair])


class SumUpdate(Update):
    r"""An MLP of the sum, :math:`\mathrm{MLP}(v_i + m_i)`, with ReLU after each layer.

    :class:`AddUpdate` followed by layers, as the official DyReG code can have them.

    Args:
        channels: C.
        layers: linear layers, at least 1.
        norm: maker of the norm over a frame's nodes, or ``None``.
    """

    def __init__(
        self,
        channels: int,
        layers: int = 1,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
    ) -> None:
        super().__init__(channels, norm)
        self.mlp = _mlp(channels, channels, layers)
        self.reset_parameters()

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return self.mlp(x + message)  # type: ignore[no-any-return]


class MLPUpdate(Update):
    r"""An MLP of both, :math:`\mathrm{MLP}([v_i \| m_i])`, with ReLU after each layer (RSTG).

    Args:
        channels: C.
        layers: linear layers, at least 1; RSTG has 2.
        norm: maker of the norm over a frame's nodes, or ``None``.

    Examples:
        >>> sum(p.numel() for p in MLPUpdate(512, norm=None).parameters())
        787456
    """

    def __init__(
        self,
        channels: int,
        layers: int = 2,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
    ) -> None:
        super().__init__(channels, norm)
        self.mlp = _mlp(2 * channels, channels, layers)
        self.reset_parameters()

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return self.mlp(torch.cat([x, message], dim=-1))  # type: ignore[no-any-return]


class ScaleUpdate(Update):
    """An MLP of both for every scale of a multi-scale grid (RSTG's "scalewise" update).

    :class:`MLPUpdate` with parameters of its own for each of the s×s grids.

    Args:
        channels: C.
        scales: grid sides, in the order of the nodes, as :class:`~stgraph.nodes.GridNodes` has
            them.
        layers: linear layers, at least 1; RSTG has 2.
        norm: maker of the norm over a frame's nodes, or ``None``.

    Raises:
        InputError: without scales; on a graph with another number of identities.

    Examples:
        >>> sum(p.numel() for p in ScaleUpdate(512, norm=None).parameters()) // 787456
        3
    """

    by_identity = True

    def __init__(
        self,
        channels: int,
        scales: Sequence[int] = (3, 2, 1),
        layers: int = 2,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
    ) -> None:
        super().__init__(channels, norm)
        self.scales = sides("scales", scales)
        self.mlps = nn.ModuleList(_mlp(2 * channels, channels, layers) for _ in self.scales)
        self.reset_parameters()

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`: ``[G, N, C]``, node n of a frame in place n."""
        cells = [side * side for side in self.scales]
        if x.size(-2) != sum(cells):
            raise InputError("x", f"{sum(cells)} identities (scales {self.scales})", x.size(-2))
        parts = torch.split(torch.cat([x, message], dim=-1), cells, dim=-2)
        return torch.cat([mlp(part) for mlp, part in zip(self.mlps, parts, strict=True)], dim=-2)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, scales={self.scales}"
