"""Variables of a TensorFlow checkpoint, as a mapping or a file of arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgraph.checks import InputError

__all__ = ["Source", "read_npz", "variables_of"]

Source = str | Path | Mapping[str, Any]
"""An ``.npz``; or arrays or tensors by the names of variables."""


def variables_of(source: Source) -> dict[str, Tensor]:
    """Arrays as tensors on the CPU, by their names; what is no array of numbers is an empty one.

    Raises:
        InputError: when there is no such file, it is no ``.npz``, or holds objects.
    """
    arrays = source if isinstance(source, Mapping) else read_npz(source)
    found = {str(name): _tensor(value) for name, value in arrays.items()}
    if not found:
        raise InputError("source", "arrays by the names of variables", "none")
    return found


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return torch.empty(0)  # a name or a setting: no weight, and so skipped
    # A copy: tensors of an array that is read-only, or of another machine's byte order, are none.
    return torch.tensor(array.astype(array.dtype.newbyteorder("=")))


def read_npz(file: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of an ``.npz`` by their names; nothing in the file is run.

    Raises:
        InputError: when there is no such file, it is no ``.npz``, or holds objects.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError("source", "a file", f"{file}, where there is none")
    try:
        with np.load(file, allow_pickle=False) as opened:
            if not isinstance(opened, np.lib.npyio.NpzFile):
                raise ValueError("one array without a name")
            return {name: opened[name] for name in opened.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise InputError("source", "an .npz of arrays of numbers", f"{file} ({error})") from error
