from __future__ import annotations

import io
import pickle
import warnings

import pytest
import torch

from stgraph.reading.pickles import _STORAGES, look_through


@pytest.mark.parametrize("name", _STORAGES)
def test_numbers_of_storages_have_their_bytes(name: str) -> None:
    """What a file is held to before PyTorch opens it."""
    if name == "UntypedStorage":
        assert _STORAGES[name] == 1
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _STORAGES[name] == getattr(torch, name).dtype.itemsize


def test_all_storages_of_pytorch_are_known() -> None:
    known = {name for name in dir(torch) if name.endswith("Storage") and name[:-7]}
    assert known - {"TypedStorage"} == set(_STORAGES)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [b"\x00\xff", bytearray(b"\x00\xff"), bytearray()])
def test_bytes_are_read_as_protocols_write_them(value: object, protocol: int) -> None:
    file = io.BytesIO(pickle.dumps({"told": value}, protocol) + b"more")
    look_through(file, lambda *_: None, len(file.getvalue()))
    assert file.read() == b"more"  # left where the pickle ends
