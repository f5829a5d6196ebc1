"""Pickles of weights, gone through before they are loaded: nothing is made but names and sizes."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from typing import Any, BinaryIO, NamedTuple

import torch
from torch.serialization import get_safe_globals

from stgraph.reading.files import RATIO

__all__ = ["Stored", "look_through"]

VIEWS = 1 << 30
"""Bytes that tensors may have together, beyond :data:`RATIO` times the file. Views of one storage
count each; an expanded one has more than its storage."""


class Stored(NamedTuple):
    """A storage, as a pickle speaks of it."""

    numbers: int
    itemsize: int


def look_through(file: BinaryIO, storage: Callable[..., None], size: int) -> None:
    """Go through a pickle that ``torch.save`` wrote without making anything of it.

    Args:
        file: where the pickle begins; left where it ends.
        storage: told of each storage: its numbers and itemsize, and what else the pickle says.
        size: bytes of the whole file.

    Raises:
        Exception: of any kind for a damaged pickle; ``UnpicklingError`` where it calls what files
            of weights do not.
    """
    views = 0

    def tensor(stored: Stored, begin: int, sizes: Any, strides: Any, *_: object) -> _Inert:
        nonlocal views
        sizes, strides = tuple(sizes), tuple(strides)
        if len(sizes) != len(strides) or min((begin, *sizes, *strides)) < 0:
            raise ValueError(f"a tensor of sizes {list(sizes)} and strides {list(strides)}")
        last = begin + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        if prod(sizes) and last >= stored.numbers:
            raise ValueError(f"a tensor {list(sizes)} beyond its {stored.numbers} stored numbers")
        views += prod(sizes) * stored.itemsize
        if views > max(VIEWS, RATIO * size):
            raise ValueError(f"tensors of {views} bytes in a file of {size}")
        return _Inert()

    def untyped(stored: Stored, begin: int, sizes: Any, strides: Any, *more: Any) -> _Inert:
        itemsize = more[2].itemsize
        return tensor(Stored(stored.numbers // itemsize, itemsize), begin, sizes, strides)

    makers = {
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_tensor_v3": untyped,
        "torch._utils._rebuild_qtensor": tensor,
    }
    safe = {
        each[1] if isinstance(each, tuple) else f"{each.__module__}.{each.__qualname__}"
        for each in get_safe_globals()
    }

    # The one in C takes memory for the numbers that a pickle gives to its objects.
    class Looker(pickle._Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            full = f"{module}.{name}".replace("__builtin__.", "builtins.")
            if full in makers:
                return makers[full]
            if full in _CALLED:
                return _CALLED[full]
            if full in safe:
                return _Inert
            if module in ("torch", "torch.storage") and name in _STORAGES:
                return _STORAGES[name]
            found = getattr(torch, name, None) if module == "torch" else None
            if isinstance(found, torch.dtype | torch.qscheme) or full in _NAMED:
                return found
            raise pickle.UnpicklingError(f"Unsupported: {full}")

        def persistent_load(self, told: Any) -> Stored:
            what, itemsize, key, _, numbers, *view = told
            if what not in ("storage", b"storage"):
                raise ValueError(f"{what!r} where storages are")
            stored = Stored(int(numbers), int(itemsize))
            part = view[0] if view else None
            storage(stored, key, part)
            return stored if part is None else Stored(int(part[2]), stored.itemsize)

    Looker(_Exact(file), encoding="bytes").load()


class _Exact:
    """A file that has the bytes it is asked for; what a pickle says to have may be too much."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError(f"{size} bytes of a pickle that ends after {len(data)}")
        return data

    def readline(self) -> bytes:
        return self.file.readline()


class _Inert:
    """Stands for an object that may be in a file, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...


def _inert(*_: object) -> _Inert:
    return _Inert()


def _bytes(text: str | bytes = b"", coding: str = "latin1") -> bytes:
    """Bytes, which these pickles have as text; never so many zeros as a number says."""
    if isinstance(text, bytes):
        return text
    if coding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in {coding!r}")
    return text.encode("latin1")


def _first(data: object, *_: object) -> object:
    return data


def _of_type(make: Callable[..., Any], _: object, values: tuple[object, ...], *__: object) -> Any:
    return make(*values)


_CALLED: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": OrderedDict,
    "builtins.set": set,
    "builtins.complex": _inert,
    "builtins.bytearray": _bytes,
    "_codecs.encode": _bytes,
    "torch.Size": tuple,
    "torch.device": _inert,
    "torch.serialization._get_layout": _inert,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_sparse_tensor": _inert,
    "torch._utils._rebuild_meta_tensor_no_storage": _inert,
}
"""Functions that files of weights call, by twins that take no memory."""
_STORAGES = {
    f"{kind}Storage": itemsize
    for itemsize, kinds in {
        1: "Bool Byte Char QInt8 QUInt8 QUInt4x2 QUInt2x4 Untyped",
        2: "Half BFloat16 Short",
        4: "Float Int QInt32",
        8: "Double Long ComplexFloat",
        16: "ComplexDouble",
    }.items()
    for kind in kinds.split()
}
"""Bytes of a number of each kind of storage."""
_NAMED = {"torch.Tensor", "torch.nn.parameter.Parameter"}  # types that a call is told of
