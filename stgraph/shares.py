"""A kernel's shares of its mass, with a backward pass that does not keep the kernel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from stgraph.fused import Fused

__all__ = ["Shares"]


class Shares(Fused):
    """From kernels ``[..., H, W]``, which are not kept, to shares and masses ``[...]``."""

    keeps_inputs = False

    @staticmethod
    def plain(kernel: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`stgraph.kernels.normalise` says."""
        mass = kernel.sum(dim=(-2, -1))
        total = mass[..., None, None]
        tiny = torch.finfo(kernel.dtype).tiny
        full = total > math.sqrt(tiny)
        # Chosen before the division: what flows back from the others is dropped, be it infinite.
        shares = torch.where(full, kernel, kernel.detach())
        return shares / torch.where(full, total, total.detach().clamp_min(tiny)), mass

    @staticmethod
    def value(kernel: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The same, without a choice at every cell."""
        mass = kernel.sum(dim=(-2, -1))
        tiny = torch.finfo(kernel.dtype).tiny
        shares = kernel / mass.clamp_min(tiny)[..., None, None]
        return (shares, mass), (shares, mass)

    @staticmethod
    def slopes(
        inputs: list[Any], kept: tuple[Tensor, Tensor], grads: tuple[Tensor, Tensor]
    ) -> tuple[Tensor]:
        """The gradient of a kernel; 0 of its shares where its mass is next to nothing."""
        (shares, mass), (of_shares, of_mass) = kept, grads
        full = mass > math.sqrt(torch.finfo(mass.dtype).tiny)
        per_mass = full / torch.where(full, mass, 1)
        level = of_mass - (of_shares * shares).sum(dim=(-2, -1)) * per_mass
        return (torch.addcmul(level[..., None, None], of_shares, per_mass[..., None, None]),)
