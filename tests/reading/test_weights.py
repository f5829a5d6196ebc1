"""Files of weights whose words are forged, one by one."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch._utils import _rebuild_tensor_v2

from stgraph.checks import InputError
from stgraph.reading import read_safetensors, read_torch
from stgraph.reading.pickles import look_through
from stgraph.reading.weights import PICKLE

EXPECTED = "weights"


def everything() -> dict[str, Any]:
    """What checkpoints have: kinds of numbers, views, plain values."""
    values = torch.randn(6, 4)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.bool)
    more = (torch.complex64, torch.complex128, torch.int16, torch.int32, torch.int64)
    return {
        "kinds": {str(kind): torch.ones(3, dtype=kind) for kind in (*kinds, *more)},
        "views": [values[1:], values.t(), values[::2, 1], values[0].expand(5, 4)],
        "parameter": nn.Parameter(torch.zeros(2)),
        "state_dict": nn.BatchNorm1d(3).state_dict(),
        "empty": torch.empty(0, 3),
        "number": torch.tensor(3.0),
        "sparse": torch.eye(3).to_sparse(),
        "plain": [
            1,
            2.5,
            "text",
            None,
            True,
            (3,),
            {4},
            b"bytes",
            OrderedDict(a=1),
            torch.Size([2]),
        ],
        "about": [torch.float32, torch.device("cpu")],
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        dense = [value.to_dense() if value.is_sparse else value for value in (one, other)]
        return one.dtype == other.dtype and torch.equal(*dense)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize("today", [True, False])
def test_what_was_saved_comes_back(tmp_path: Path, today: bool) -> None:
    given = everything()
    torch.save(given, tmp_path / "a.pt", _use_new_zipfile_serialization=today)
    assert same(given, read_torch(tmp_path / "a.pt", EXPECTED))


class Called:
    """What is saved as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


FORGED = {
    "zeros": (lambda: Called(bytearray, 10**12), "does not load"),
    "tensor": (lambda: Called(torch.FloatTensor, 10**12), "Unsupported: torch.FloatTensor"),
    "code": (lambda: Called(setattr, Called, "ran", True), "Unsupported: builtins.setattr"),
}


@pytest.mark.parametrize("today", [True, False])
@pytest.mark.parametrize("case", ["zeros", "tensor", "code"])
def test_calls_of_what_takes_memory_or_runs_are_refused(
    tmp_path: Path, case: str, today: bool
) -> None:
    make, message = FORGED[case]
    torch.save({"a": make()}, tmp_path / "a.pt", _use_new_zipfile_serialization=today)
    with pytest.raises(InputError, match=message):
        read_torch(tmp_path / "a.pt", EXPECTED)


def replaced(path: Path, change: dict[bytes, bytes]) -> None:
    """Change words in the pickle of a file, with the checksums made right again."""
    with zipfile.ZipFile(path) as archive:
        found = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in found.items():
            if name.endswith("data.pkl"):
                for old, new in change.items():
                    assert data.count(old) == 1, data
                    data = data.replace(old, new)
            archive.writestr(name, data)


def whole(number: int) -> bytes:
    return pickle.BININT + number.to_bytes(4, "little", signed=True)


NUMBERS, SIZES, STRIDES = b"K\x0ctq", b"K\x03K\x04\x86", b"K\x04K\x01\x86"  # 12, (3, 4), (4, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # numbers that torch would read beyond its memory
        ({NUMBERS: whole(2**31 - 1) + b"tq"}, r"2147483647 numbers in 48 bytes of storage 0"),
        ({NUMBERS: whole(-12) + b"tq"}, "-12 numbers in 48 bytes"),
        ({SIZES: whole(2**31 - 1) + b"K\x04\x86"}, "a tensor .* beyond its 12 stored"),
        ({SIZES: whole(-1) + b"K\x04\x86"}, "a tensor of sizes"),
        ({SIZES: b"K\x03\x85"}, "of sizes"),
        ({STRIDES: b"K\x05K\x01\x86"}, "beyond its 12 stored numbers"),
        ({SIZES: b"K\x01K\x0d\x86"}, r"a tensor \[1, 13\] beyond its 12 stored"),  # by one
        ({STRIDES: whole(-4) + b"K\x01\x86"}, "of sizes .* and strides"),
        # a view of one number, larger than any memory
        (
            {SIZES: whole(2**30) + whole(2**10) + b"\x86", STRIDES: b"K\x00K\x00\x86"},
            "tensors of 4398046511104 bytes in a file of",
        ),
    ],
)
def test_forged_sizes_are_refused(tmp_path: Path, change: dict[bytes, bytes], message: str) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(3, 4)}, path)
    replaced(path, change)
    with pytest.raises(InputError, match=message):
        read_torch(path, EXPECTED)


def test_packed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(2**22)}, path)
    with zipfile.ZipFile(path) as archive:
        found = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 2**17
    with pytest.raises(InputError, match="is packed in another way"):
        read_torch(path, EXPECTED)


class Former(pickle.Pickler):
    """Writes the former format by hand, since PyTorch itself no longer writes views of storages."""

    def persistent_id(self, thing: Any) -> Any:
        if isinstance(thing, View):
            return "storage", torch.FloatStorage, "0", "cpu", 4, ("1", thing.begin, thing.numbers)
        return None


class View(NamedTuple):
    begin: int
    numbers: int


def of_view(view: View, size: int, keys: Any = ("0",)) -> bytes:
    """A file of a storage of 0, 1, 2, 3, with a tensor of the first ones that a view of it has."""
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    tensor = Called(_rebuild_tensor_v2, view, 0, (size,), (1,), False, OrderedDict())
    Former(file, protocol=2).dump({"a": tensor})
    pickle.dump(list(keys), file, protocol=2)
    return file.getvalue() + (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()


@pytest.mark.parametrize("view", [(0, 4), (1, 3), (1, 2), (3, 1), (4, 0), (2, 0)])
def test_views_of_storages_of_the_former_format(tmp_path: Path, view: tuple[int, int]) -> None:
    (tmp_path / "a.pt").write_bytes(of_view(View(*view), view[1]))
    found = read_torch(tmp_path / "a.pt", EXPECTED)["a"]
    assert found.tolist() == list(range(view[0], sum(view)))


@pytest.mark.parametrize("view", [(0, 5), (1, 4), (4, 1), (5, 0), (-1, 2), (2, -1)])
def test_views_beyond_storages_of_the_former_format_are_refused(
    tmp_path: Path, view: tuple[int, int]
) -> None:
    (tmp_path / "a.pt").write_bytes(of_view(View(*view), 0))
    with pytest.raises(InputError, match="a view beyond storage 0"):
        read_torch(tmp_path / "a.pt", EXPECTED)


@pytest.mark.parametrize(
    ("first", "refused"), [(12, None), (2**31 - 1, 2**31 - 1), (-1, -1), (11, 12)]
)
def test_forged_storages_of_the_former_format_are_refused(
    tmp_path: Path, first: int, refused: int | None
) -> None:
    """The first tensor says how many numbers the storage has, the next ones ask for no more."""
    path, numbers = tmp_path / "a.pt", torch.arange(12, dtype=torch.uint8)
    torch.save({"a": numbers[:6], "b": numbers[6:]}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"K\x0cNtq") == 2
    path.write_bytes(data.replace(b"K\x0cNtq", whole(first) + b"Ntq", 1))
    if refused is None:
        assert read_torch(path, EXPECTED)["b"].tolist() == [*range(6, 12)]
        return
    with pytest.raises(InputError, match=rf"{refused} numbers of storage .* in"):
        read_torch(path, EXPECTED)


def test_a_tensor_without_memory_takes_none(tmp_path: Path) -> None:
    torch.save({"a": torch.empty(10**9, 10**3, device="meta")}, tmp_path / "a.pt")
    assert read_torch(tmp_path / "a.pt", EXPECTED)["a"].is_meta


def test_safetensors_come_back_with_their_words(tmp_path: Path) -> None:
    given = {"a": torch.randn(2, 3), "b": torch.arange(3)}
    save_file(given, tmp_path / "a.safetensors", metadata={"k": "v"})
    tensors, words = read_safetensors(tmp_path / "a.safetensors", EXPECTED)
    assert same(given, {name: tensors[name] for name in given})
    assert words == {"k": "v"}
    data = (tmp_path / "a.safetensors").read_bytes()
    for forged in (b"\xff" * 8, (2**40).to_bytes(8, "little"), b""):
        (tmp_path / "a.safetensors").write_bytes(forged + data[8:])
        with pytest.raises(InputError, match=r"a\.safetensors: expected weights, got a file that"):
            read_safetensors(tmp_path / "a.safetensors", EXPECTED)


def test_numbers_without_storages_of_their_own_come_back(tmp_path: Path) -> None:
    """They are stored as bytes, of which a pickle says how many make a number."""
    given = {str(kind): torch.ones(3, 4).to(kind) for kind in (torch.uint16, torch.float8_e5m2)}
    torch.save(given, tmp_path / "a.pt")
    found = read_torch(tmp_path / "a.pt", EXPECTED)
    for name, value in given.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name].view(torch.uint8), value.view(torch.uint8))
    torch.save(given["torch.uint16"], tmp_path / "a.pt")
    replaced(tmp_path / "a.pt", {SIZES: b"K\x01K\x0d\x86"})
    with pytest.raises(InputError, match=r"a tensor \[1, 13\] beyond its 12 stored"):
        read_torch(tmp_path / "a.pt", EXPECTED)


@pytest.mark.parametrize(("size", "most"), [(1, 2**30), (2**24, 2**30), (2**24 + 4, 2**30 + 256)])
def test_views_have_a_gibibyte_together_or_64_times_their_file(size: int, most: int) -> None:
    def looked(numbers: int) -> None:
        views = [torch.zeros(1).expand(part) for part in (numbers - numbers // 2, numbers // 2)]
        torch.save(views, buffer := io.BytesIO())
        with zipfile.ZipFile(buffer) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith("data.pkl"))
            look_through(io.BytesIO(archive.read(name)), lambda *_: None, size)

    looked(most // 4)
    with pytest.raises(ValueError, match=f"tensors of {most + 4} bytes in a file of {size}"):
        looked(most // 4 + 1)


def test_pickles_and_headers_are_no_longer_than_they_may_be(tmp_path: Path) -> None:
    """To the byte: names and sizes take no more of any file."""

    def pickled(length: int) -> int:
        torch.save({"a": "x" * length}, tmp_path / "a.pt")
        with zipfile.ZipFile(tmp_path / "a.pt") as archive:
            return next(one.file_size for one in archive.infolist() if "data.pkl" in one.filename)

    most = PICKLE - pickled(1000) + 1000
    assert pickled(most) == PICKLE
    assert len(read_torch(tmp_path / "a.pt", EXPECTED)["a"]) == most
    pickled(most + 1)
    with pytest.raises(InputError, match="no pickle of weights"):
        read_torch(tmp_path / "a.pt", EXPECTED)
    for length in (PICKLE, PICKLE + 8):
        header = b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}'.ljust(length)
        path = tmp_path / "a.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header + b"\7")
        if length == PICKLE:
            assert read_safetensors(path, EXPECTED)[0]["a"].tolist() == [7]
    with pytest.raises(InputError, match="a header without an end"):
        read_safetensors(path, EXPECTED)


def test_the_last_pickle_of_the_former_format_is_looked_at_too(tmp_path: Path) -> None:
    content = of_view(View(0, 4), 4, [Called(setattr, Called, "ran", True)])
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"Unsupported: builtins\.setattr"):
        read_torch(tmp_path / "a.pt", EXPECTED)
