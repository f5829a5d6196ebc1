"""In what precision the library computes: sums in single at least, also where autocast is on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["is_cast", "precise", "precise_type", "uncast"]

_PRECISE = frozenset({torch.float32, torch.float64})


def precise_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of a type are summed: single precision for half, else the same."""
    return dtype if dtype in _PRECISE else torch.promote_types(dtype, torch.float32)


def precise(x: Tensor) -> Tensor:
    """Half precision as single, anything else as it is: what sums are made in.

    A half has 11 bits or 8, so a running sum stops to grow at 2048 or 256 times what is added, and
    one of fp16 ends at 65504.
    """
    return x.to(precise_type(x.dtype))


def is_cast(device: torch.device) -> bool:
    """Whether autocast is on for a device; the meta device knows of none."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def uncast(device: torch.device) -> AbstractContextManager[object]:
    """Within it autocast makes no products in half precision."""
    return torch.autocast(device.type, enabled=False) if is_cast(device) else nullcontext()
