"""Archives of arrays, ``.npz``, whose headers are read before their data."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from stgraph.checks import InputError
from stgraph.reading.files import fill, members, opened, reason, size_of

__all__ = ["read_npz"]

_KINDS = "biufcUS"  # numbers and text; objects, records and times are refused
_HEADER = 1024  # characters; one of a plain array has 128
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(
    path: str | Path, fields: Iterable[str] | None = None, name: str | None = None
) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file, packed or not.

    Of each member the header is read first, and no memory is taken for a shape that the member
    does not have the bytes for. Nothing is unpickled.

    Args:
        path: the file.
        fields: which arrays to read, all of which must be there; every one of them when absent.
        name: how the argument is called where the path was passed; the path itself when absent.

    Returns:
        Arrays by name, in the machine's order of bytes.

    Raises:
        InputError: when there is no such file, it is no such archive, unpacks to more than
            :func:`~stgraph.reading.unpacked_at_most` says, or an array is missing, holds objects or
            has another size than its header says.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/some.npz", a=np.arange(3), b=np.zeros((2, 2)))
        ...     read_npz(f"{folder}/some.npz", fields=["a"])
        {'a': array([0, 1, 2])}
    """
    with opened(path, "an .npz file of arrays", name) as file:
        size = size_of(file)
        with ZipFile(file) as archive:
            found = {
                member.removesuffix(".npy"): info
                for member, info in members(archive, size, packed=True).items()
            }
            wanted = list(found if fields is None else fields)
            if missing := [field for field in wanted if field not in found]:
                where = str(path) if name is None else name
                raise InputError(
                    where, f"fields {', '.join(wanted)}", f"none of {missing} in {path}"
                )
            arrays = {}
            for field in wanted:
                with archive.open(found[field]) as member:
                    try:
                        arrays[field] = _array(member, found[field].file_size)
                    except Exception as error:
                        raise ValueError(f"{field}: {reason(error)}") from error
    return arrays


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array in a member of ``size`` bytes."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"a header of version {version}")
    shape, by_column, dtype = _HEADERS[version](file, max_header_size=_HEADER)
    if dtype.kind not in _KINDS or not dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"{list(shape)} of {dtype}")
    count, rest = prod(shape), size - file.tell()
    if count * dtype.itemsize != rest:
        raise ValueError(f"{list(shape)} of {dtype} in {rest} bytes")
    values = np.empty(count, dtype)
    fill(file, values.view(np.uint8).data)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    return values.reshape(shape, order="F" if by_column else "C")
