from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.reading import read_npz

ARRAYS = {
    "a": np.arange(6, dtype=np.int16).reshape(2, 3),
    "column": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big": np.arange(5, dtype=">f4"),
    "none": np.zeros((0, 4), bool),
    "number": np.array(7),
    "text": np.array(["one", "three"]),
}


def npy(values: np.ndarray, **forged: object) -> bytes:
    """An array as in a file, with a header that says something else."""
    buffer = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(values) | forged
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + values.tobytes()


def npz(path: Path, *members: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path: Path, save: object) -> None:
    save(tmp_path / "some.npz", **ARRAYS)
    read = read_npz(tmp_path / "some.npz")
    assert list(read) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert np.array_equal(read[name], values)
        assert read[name].dtype == values.dtype.newbyteorder("=")
        assert read[name].flags.writeable
    assert list(read_npz(tmp_path / "some.npz", ["number", "a"])) == ["number", "a"]


SMALL = np.arange(4, dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(SMALL, shape=(2**33,)), r"a: \[8589934592\] of uint8 in 4 bytes"),
        (npy(SMALL, shape=(2**40, 2**40)), "of uint8 in 4 bytes"),
        (npy(SMALL, shape=(2**62, 0)), "of uint8 in 4 bytes"),
        (npy(SMALL, shape=(-4,)), r"\[-4\] of uint8"),
        (npy(SMALL, shape=(-1, -4)), r"\[-1, -4\] of uint8(?! in)"),
        (npy(SMALL, shape=(3,)), r"\[3\] of uint8 in 4 bytes"),
        (npy(SMALL, descr="|O"), r"\[4\] of object"),
        (npy(SMALL, descr=[("x", "<f4")]), r"\[4\] of \["),
        (npy(SMALL, descr="<U0", shape=(2**40,)), r"of <U0"),
        (npy(SMALL, descr="(" * 900), "a: "),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a: "),
        (b"\x93NUMPY\x09\x00" + npy(SMALL)[8:], r"header of version \(9, 0\)"),
        (b"", "a: "),
    ],
)
def test_a_header_that_lies_is_told(tmp_path: Path, data: bytes, message: str) -> None:
    path = npz(tmp_path / "forged.npz", ("a.npy", data))
    with pytest.raises(InputError, match=rf"forged\.npz: expected an \.npz .*{message}"):
        read_npz(path)


def test_archives_that_unpack_without_an_end_are_refused(tmp_path: Path) -> None:
    zeros = npy(np.zeros(2**26, np.uint8))
    path = npz(tmp_path / "bomb.npz", ("a.npy", zeros), ("b.npy", SMALL.tobytes()))
    assert path.stat().st_size < 2**17
    with pytest.raises(InputError, match=r"unpacks to 6710\d+ bytes, more than 67108864 in a f"):
        read_npz(path, ["b"])


def test_other_archives_are_refused(tmp_path: Path) -> None:
    for packing in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with pytest.raises(InputError, match=r"'a\.npy' is packed in another way"):
            read_npz(npz(tmp_path / "other.npz", ("a.npy", npy(SMALL)), packing=packing))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = npz(tmp_path / "twice.npz", ("a.npy", npy(SMALL)), ("a.npy", npy(SMALL)))
    with pytest.raises(InputError, match="two members of one name"):
        read_npz(twice)
    np.save(tmp_path / "array.npy", SMALL)
    with pytest.raises(InputError, match=r"expected an \.npz file of arrays"):
        read_npz(tmp_path / "array.npy")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", a=SMALL)
    with pytest.raises(InputError, match=r"path: expected fields a, b, got none of \['b'\] in"):
        read_npz(tmp_path / "some.npz", ["a", "b"], name="path")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_headers_of_both_versions_are_read_up_to_a_length(
    tmp_path: Path, version: tuple[int, int]
) -> None:
    count = 2 if version == (1, 0) else 4  # bytes of the header's own length
    told = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }"
    for length in (128, 1024, 1025):
        start = b"\x93NUMPY" + bytes(version) + length.to_bytes(count, "little")
        data = start + told.ljust(length - 1) + b"\n" + SMALL.tobytes()
        path = npz(tmp_path / "some.npz", ("a.npy", data))
        if length <= 1024:
            assert np.array_equal(read_npz(path)["a"], SMALL)
            continue
        with pytest.raises(InputError, match=r"a: Header info length .* is large"):
            read_npz(path)
