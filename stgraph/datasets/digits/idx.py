"""IDX files, the format MNIST comes in: a magic number, the sizes, then the bytes."""

from __future__ import annotations

import gzip
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError
from stgraph.reading import fill, opened, size_of, unpacked_at_most

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
            more bytes than its sizes say. The sizes are read first, and no memory is taken for
            what such a file cannot hold.
    """
    start = 4 + 4 * dimensions
    packed = path.suffix == ".gz"
    with opened(path, "an IDX file") as raw:
        size = size_of(raw)
        with gzip.GzipFile(fileobj=raw) if packed else nullcontext(raw) as file:
            header = file.read(start)
            sizes = _sizes(str(path), header, dimensions)
            whole = start + prod(sizes)
            if not packed and size != whole:
                raise InputError(str(path), f"{whole} bytes for sizes {sizes}", f"{size} bytes")
            if whole > (most := unpacked_at_most(size)):
                came = f"sizes {sizes}, {whole} bytes"
                raise InputError(str(path), f"at most {most} bytes in {size} packed ones", came)
            values = np.empty(sizes, np.uint8)
            fill(cast(IO[bytes], file), values.reshape(-1).data)
    return values


def _sizes(name: str, header: bytes, dimensions: int) -> list[int]:
    """The sizes in a header."""
    magic = bytes((0, 0, _UINT8, dimensions))
    if header[:4] != magic:
        expected = f"an IDX file of bytes in {dimensions} dimensions (magic 0x{magic.hex()})"
        raise InputError(name, expected, f"magic 0x{header[:4].hex()}")
    if len(header) < 4 + 4 * dimensions:
        raise InputError(name, f"a header of {4 + 4 * dimensions} bytes", f"{len(header)} bytes")
    return [int(side) for side in np.frombuffer(header[4:], ">u4")]
