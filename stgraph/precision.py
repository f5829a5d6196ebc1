"""In what precision the library computes: sums in single at least, also where autocast is on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["is_cast", "precise", "precise_type", "uncast"]

_PRECISE = frozenset({torch.float32, torch.float64})


def precise_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of a type are summed.

    Single precision for half, whole numbers and truth values; single and double as they are.
    """
    return dtype if dtype in _PRECISE else torch.promote_types(dtype, torch.float32)


def precise(x: Tensor) -> Tensor:
    """Values in the type that sums are made in: see :func:`precise_type`.

    A half has 11 bits or 8, so a running sum stops to grow at 2048 or 256 times what is added, and
    one of fp16 ends at 65504.
    """
    return x if x.dtype in _PRECISE else x.to(precise_type(x.dtype))


def is_cast(device: torch.device) -> bool:
    """Whether autocast is on for a device; the meta device knows of none."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def uncast(device: torch.device) -> AbstractContextManager[object]:
    """Within it autocast makes no products in half precision."""
    return torch.autocast(device.type, enabled=False) if is_cast(device) else nullcontext()
