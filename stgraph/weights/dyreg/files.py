"""Files of weights as the official code of TSM and DyReG writes them, read without running them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from stgraph.checks import InputError, dense
from stgraph.reading import read_torch

__all__ = ["Source", "weights_of", "whole"]

Source = str | Path | Mapping[str, Any]
"""A file that ``torch.save`` wrote; or what is in it, with or without ``state_dict`` around it."""

_KINDS = [np.dtype(kind) for kind in "?bhilqBHILQefd"]


def _scalar(kind: np.dtype[Any], data: bytes) -> float:
    """A number that numpy pickled: the best accuracy so far, in many files."""
    return float(np.frombuffer(data, kind, count=1)[0])


# A safer twin of numpy's own function, under the two names that it has in files.
_SAFE: list[Any] = [
    *((_scalar, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")),
    np.dtype,
    *{type(kind) for kind in _KINDS},
]


def whole(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor if it has all of its values, since a model is built of its size.

    Raises:
        InputError: when it is not dense, or a view that says to be larger than what is stored.
    """
    if dense(name, tensor).untyped_storage().nbytes() < tensor.nbytes:
        raise InputError(name, "a dense tensor with all of its values", list(tensor.shape))
    return tensor


def weights_of(source: Source) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU, by the names that they have there.

    Raises:
        InputError: when there is no such file, when it is not a checkpoint of weights, or when it
            holds more than tensors and plain values.
    """
    expected = "a checkpoint of tensors and plain values, which torch.save wrote"
    found: Any = source
    if not isinstance(source, Mapping):
        found = read_torch(source, expected, "source", _SAFE)
    state = found.get("state_dict", found) if isinstance(found, Mapping) else found
    came = "what was passed" if isinstance(source, Mapping) else str(source)
    if not isinstance(state, Mapping):
        raise InputError("source", "a state dict", f"{came}, with {type(state).__name__}")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    weights = {name: whole(name, tensor).detach().cpu() for name, tensor in tensors.items()}
    if not weights:
        raise InputError("source", "a state dict", f"{came}, without a tensor by name")
    return weights
