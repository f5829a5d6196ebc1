"""Building what a configuration describes, within the memory that there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stgraph.checks import InputError
from stgraph.reading.files import reason

__all__ = ["memory", "within_memory"]

LARGEST_TENSOR = 1 << 31
"""Bytes of one tensor of a model: 500 million numbers."""
_MADE = {
    getattr(torch, name)
    for name in (
        *("arange", "empty", "empty_permuted", "empty_strided", "eye", "full", "linspace"),
        *("logspace", "ones", "rand", "randint", "randn", "randperm", "zeros"),
        *("tril_indices", "triu_indices"),
    )
}
_MADE_LIKE = {
    getattr(Tensor, name) for name in ("new_empty", "new_full", "new_ones", "new_zeros", "repeat")
}


def memory() -> int:
    """Bytes of memory that this process may have: the machine's, or what it is limited to."""
    limits = []
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (AttributeError, OSError, ValueError):  # another system, or no limit
        pass
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit

        limits += [limit for limit in getrlimit(RLIMIT_AS) if limit != RLIM_INFINITY]
    except ImportError:  # another system
        pass
    return min(limits, default=1 << 34)


@contextmanager
def within_memory(name: str) -> Iterator[None]:
    """Build what a configuration describes, unless it would take more than half of the memory.

    What a part allocates is measured on the meta device first, so a number with zeros too many is
    refused before the memory for it is taken, whoever wrote the part. One tensor has at most 2 GiB.

    Args:
        name: how what is built is called.

    Raises:
        InputError: when tensors of the sizes that are asked for cannot be, or are too large
            together.

    Examples:
        >>> with within_memory("model"):
        ...     torch.nn.Linear(10**7, 10**7)
        Traceback (most recent call last):
        stgraph.checks.InputError: model: expected tensors of at most ... bytes, got ...
    """
    try:
        with _Measured(name, memory() // 2):
            yield
    except (MemoryError, OverflowError, RuntimeError, TypeError) as error:
        words = ("overflow", "memory", "negative dimension")
        if isinstance(error, MemoryError | OverflowError) or any(
            word in str(error).lower() for word in words
        ):
            raise InputError(name, "sizes that fit into memory", reason(error)) from error
        raise


class _Measured(TorchFunctionMode):
    """Adds up the sizes of new tensors before they are made."""

    def __init__(self, name: str, at_most: int) -> None:
        super().__init__()
        self.name, self.at_most, self.total = name, at_most, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, if what it makes fits."""
        kwargs = kwargs or {}
        if func in _MADE or func in _MADE_LIKE:
            if func in _MADE:
                twin = func(*args, **{**kwargs, "device": "meta"})
            else:
                twin = func(torch.empty_like(args[0], device="meta"), *args[1:], **kwargs)
            self.total += twin.nbytes
            for size, most in ((twin.nbytes, LARGEST_TENSOR), (self.total, self.at_most)):
                if size > most:
                    came = f"{size}, with one {list(twin.shape)}"
                    raise InputError(self.name, f"tensors of at most {most} bytes", came)
        return func(*args, **kwargs)
