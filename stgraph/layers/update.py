"""Updates: what node i becomes of itself and of what it gathered."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from stgraph.checks import integer
from stgraph.layers.norm import FrameNorm

__all__ = ["AddUpdate", "MLPUpdate", "Update"]


class Update(nn.Module):
    """What an update is: ``(v [V, C], m [V, C]) → [V, C]``, and a norm over the frame's nodes.

    Args:
        channels: C.
        norm: maker of the norm, or ``None``.
    """

    norm: FrameNorm | None

    def __init__(self, channels: int, norm: Callable[[int], FrameNorm] | None = FrameNorm) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.norm = None if norm is None else norm(channels)

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """New node features, before the norm."""
        raise NotImplementedError


class AddUpdate(Update):
    r"""The node plus what it gathered, :math:`v_i + m_i` (official DyReG code)."""

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return x + message


class MLPUpdate(Update):
    r"""An MLP of both, :math:`\mathrm{MLP}([v_i \| m_i])`, with ReLU after each layer (RSTG).

    Args:
        channels: C.
        layers: linear layers, at least 1; RSTG has 2.
        norm: maker of the norm over a frame's nodes, or ``None``.

    Example:
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
        widths = [2 * channels] + [channels] * integer("layers", layers)
        self.mlp = nn.Sequential(
            *[
                part
                for before, after in pairwise(widths)
                for part in (nn.Linear(before, after), nn.ReLU())
            ]
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He initialisation: nodes keep their scale through ReLU, however many rounds."""
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, message: Tensor) -> Tensor:
        """See :class:`Update`."""
        return self.mlp(torch.cat([x, message], dim=-1))  # type: ignore[no-any-return]
