"""Variables of a TensorFlow checkpoint, as a mapping or a file of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgraph.checks import InputError, dense
from stgraph.reading import read_npz

__all__ = ["Source", "variables_of"]

Source = str | Path | Mapping[str, Any]
"""An ``.npz``; or arrays or tensors by the names of variables."""


def variables_of(source: Source) -> dict[str, Tensor]:
    """Arrays as tensors on the CPU, by their names; what is no array of numbers is an empty one.

    Raises:
        InputError: when there is no such file, it is no ``.npz``, or holds objects; when a tensor
            in a mapping is not dense, or something else there makes no array.
    """
    arrays = source if isinstance(source, Mapping) else read_npz(source, name="source")
    found = {str(name): _tensor(f"source[{name!r}]", value) for name, value in arrays.items()}
    if not found:
        raise InputError("source", "arrays by the names of variables", "none")
    return found


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return dense(name, value).detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # of lists that are no array
        raise InputError(name, "an array", type(value).__name__) from error
    if array.dtype.kind not in "fiub":
        return torch.empty(0)  # a name or a setting: no weight, and so skipped
    # A copy: tensors of an array that is read-only, or of another machine's byte order, are none.
    return torch.tensor(array.astype(array.dtype.newbyteorder("=")))
