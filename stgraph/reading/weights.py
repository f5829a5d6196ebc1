"""Files of weights, looked through before any of them is loaded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import torch
from safetensors import safe_open
from torch import Tensor
from torch.serialization import safe_globals

from stgraph.reading.files import members, opened, size_of
from stgraph.reading.pickles import Stored, look_through

__all__ = ["read_safetensors", "read_torch"]

PICKLE = 1 << 23
"""Bytes of a pickle or header, which has names and sizes, not values: 50,000 tensors or so."""
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # how files begin that torch.save writes, and once wrote


def read_torch(
    path: str | Path,
    expected: str,
    name: str | None = None,
    safe: Sequence[Any] = (),
    lazily: bool = False,
) -> Any:
    """Read a file that ``torch.save`` wrote, onto the CPU: tensors and plain values alone.

    Before anything is loaded the file is looked through. What is stored is no more than the file
    has, each tensor lies within its storage, and nothing is called but what makes tensors. So it
    takes the memory of the file's size, and no more by what is forged in it.

    Args:
        path: the file, in the format of today or that of before PyTorch 1.6.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.
        safe: what else may be in it, as for ``torch.serialization.safe_globals``.
        lazily: leave the values on the disk until they are used (a file of before PyTorch 1.6 has
            no place to leave them). They are this process's own: writing to them leaves the file.

    Returns:
        What was saved.

    Raises:
        InputError: when there is no such file, or it is damaged, or holds anything else.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"a": torch.ones(2)}, f"{folder}/some.pt")
        ...     read_torch(f"{folder}/some.pt", "weights")
        {'a': tensor([1., 1.])}
    """
    with opened(path, expected, name) as file, safe_globals(list(safe)):
        size, begin = size_of(file), file.read(4)
        file.seek(0)
        if begin == _ZIP:
            _look_through_archive(file, size)
        elif begin[:1] == _PICKLE:
            _look_through_pickles(file, size)
        else:
            raise ValueError("not what torch.save writes")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)


def read_safetensors(
    path: str | Path, expected: str, name: str | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a file of safetensors, and the words beside them.

    Args:
        path: the file.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.

    Returns:
        Tensors by name, and the file's metadata.

    Raises:
        InputError: when there is no such file, or it is damaged.
    """
    with opened(path, expected, name) as file:
        if int.from_bytes(file.read(8), "little") > PICKLE:
            raise ValueError("a header without an end")
        with safe_open(path, framework="pt") as tensors:
            found = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
            return found, tensors.metadata() or {}


def _look_through_archive(file: BinaryIO, size: int) -> None:
    """Check a file of today: an archive of a pickle, and a member for each storage."""
    with ZipFile(file) as archive:
        found = members(archive, size, packed=False)
        folder = next(iter(found), "").partition("/")[0]
        info = found.get(f"{folder}/data.pkl")
        if info is None or info.file_size > PICKLE:
            raise ValueError("no pickle of weights")

        def storage(stored: Stored, key: object, _: object) -> None:
            there = found[f"{folder}/data/{key}"].file_size
            if not 0 <= stored.numbers * stored.itemsize <= there:
                raise ValueError(f"{stored.numbers} numbers in {there} bytes of storage {key}")

        look_through(io.BytesIO(archive.read(info)), storage, size)


def _look_through_pickles(file: BinaryIO, size: int) -> None:
    """Check a file of before: three small pickles, that of weights, keys, then the storages."""
    known: dict[object, int] = {}

    def storage(stored: Stored, key: object, view: Any) -> None:
        asked = stored.numbers * stored.itemsize
        known.setdefault(key, asked)
        if not 0 <= asked <= known[key] or sum(known.values()) > size:
            raise ValueError(f"{stored.numbers} numbers of storage {key} in {size} bytes")
        if view is not None:
            _, begin, numbers = view
            if begin < 0 or not 0 <= numbers <= stored.numbers - begin:
                raise ValueError(f"a view beyond storage {key}")

    pickles = io.BytesIO(file.read(PICKLE))
    for _ in range(5):
        look_through(pickles, storage, size)
