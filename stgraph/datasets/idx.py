"""IDX files, the format MNIST comes in: a magic number, the sizes, then the bytes."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError

__all__ = ["read"]

_UINT8 = 0x08


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of 8-bit values, gzipped if its name ends in ``.gz``.

    The header is big-endian: two zero bytes, the type (8 for bytes), the number of dimensions,
    then each size in 4 bytes.

    Args:
        path: the file.
        dimensions: how many dimensions it must have (3 for images, 1 for labels).

    Returns:
        A writable array of the sizes the file names.

    Raises:
        InputError: for a file that cannot be unpacked, of another magic number, or with fewer or
            more bytes than its sizes say.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(str(path), "a readable file", error) from error
    magic = bytes((0, 0, _UINT8, dimensions))
    if data[:4] != magic:
        raise InputError(
            str(path),
            f"an IDX file of bytes in {dimensions} dimensions (magic 0x{magic.hex()})",
            f"magic 0x{data[:4].hex()}",
        )
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise InputError(str(path), f"a header of {start} bytes", f"{len(data)} bytes")
    sizes = np.frombuffer(data[4:start], ">u4").tolist()
    if len(data) != start + prod(sizes):
        raise InputError(
            str(path), f"{start + prod(sizes)} bytes for sizes {sizes}", f"{len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes).copy()
