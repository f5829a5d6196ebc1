from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets.digits import idx

VALUES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
HEADER = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4)
WHOLE = HEADER + VALUES.tobytes()
PACKED = gzip.compress(WHOLE, mtime=0)  # without the time, which would be part of names of tests


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED if name.endswith(".gz") else WHOLE)
    read = idx.read(path, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, VALUES)
    assert read.flags.writeable


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WHOLE[:-1], r"expected 40 bytes for sizes \[2, 3, 4\], got 39 bytes"),
        (WHOLE + b"\0", "expected 40 bytes .*, got 41 bytes"),
        (HEADER[:9], "expected a header of 16 bytes, got 9 bytes"),
        (b"", "magic 0x00000803.*, got magic 0x$"),
        (struct.pack(">4B1I", 0, 0, 8, 1, 24) + VALUES.tobytes(), "got magic 0x00000801"),
        (struct.pack(">4B3I", 0, 0, 13, 3, 2, 3, 4) + VALUES.tobytes(), "got magic 0x00000d03"),
        (PACKED, "got magic 0x1f8b"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 4), "expected 7378697"),
    ],
    ids=["short", "long", "header alone", "nothing", "labels", "floats", "packed", "huge"],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        idx.read(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        PACKED[:-9],
        PACKED[:-8] + bytes(8),
        PACKED[:12] + b"\xff\xff" + PACKED[14:],
        WHOLE,
        b"",
    ],
    ids=["truncated", "of another checksum", "corrupt", "not packed", "empty"],
)
def test_a_broken_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"images\.gz: expected"):
        idx.read(path, 3)
