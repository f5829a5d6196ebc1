"""Files of graphs: written so that equal graphs make equal files, and read within bounds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgraph.checks import InputError, dense
from stgraph.datasets.graphs.packing import LAYOUT, Packed
from stgraph.reading import read_torch
from stgraph.writing import write_whole

__all__ = ["check_count", "read_shard", "write_shard"]

_EXPECTED = "a shard of graphs"


def write_shard(path: str | Path, packed: Packed) -> Path:
    """Write graphs into a file, whole or not at all; equal graphs make equal files.

    The file is what ``torch.save`` writes of ``(fields, slices)``: tensors, lists of words and
    nothing else.
    """
    buffer = io.BytesIO()  # a file's own name would become part of what is in it
    torch.save((packed.fields, packed.slices), buffer)
    return write_whole(path, buffer.getvalue())


def read_shard(path: str | Path, lazily: bool = False) -> Packed:
    """Read a file of graphs: tensors and words alone, which fit together.

    Args:
        path: the file.
        lazily: leave values on the disk until they are used.

    Raises:
        InputError: naming the file, when it is missing, damaged or no such file.
    """
    found = read_torch(path, _EXPECTED, lazily=lazily)
    try:
        return _checked(found)
    except ValueError as error:  # that of a single field too, which does not name the file
        raise InputError(str(path), _EXPECTED, f"a file that {error}") from error


def _checked(found: Any) -> Packed:
    if not (isinstance(found, tuple) and len(found) == 2):
        raise ValueError(f"holds a {type(found).__name__}")
    fields, slices = found
    if not (isinstance(fields, dict) and isinstance(slices, dict) and "x" in fields):
        raise ValueError("has no fields of graphs")
    if fields.keys() != slices.keys() or not all(isinstance(name, str) for name in fields):
        raise ValueError("has fields without boundaries")
    graphs = {len(begin) for begin in slices.values() if isinstance(begin, Tensor) and begin.dim()}
    if len(graphs) != 1:
        raise ValueError("has fields of different numbers of graphs")
    for name, value in fields.items():
        _check_bounds(name, _rows(name, value), slices[name])
    if LAYOUT in fields and (
        list(fields[LAYOUT].shape[1:]) != [5] or not bool((slices[LAYOUT].diff() == 1).all())
    ):
        raise ValueError("has layouts that are none")
    _check_edges(fields, slices)
    return Packed(fields, slices)


def _rows(name: str, value: Any) -> int:
    """How many rows a field has."""
    if isinstance(value, list):
        if not all(isinstance(word, str) for word in value):
            raise ValueError(f"has other things than words in {name}")
        return len(value)
    _dense(name, value)
    whole = not (value.is_floating_point() or value.is_complex())
    if name == "edge_index":
        if value.dim() != 2 or value.size(0) != 2 or value.dtype != torch.long:
            raise ValueError(f"has an edge_index {list(value.shape)} of {value.dtype}")
        return int(value.size(1))
    if value.dim() == 0 or (name == LAYOUT and not whole):
        raise ValueError(f"has no rows in {name}")
    return int(value.size(0))


def _dense(name: str, value: Any) -> None:
    try:
        dense(name, value)
    except InputError as error:
        raise ValueError(f"has no dense numbers: {error}") from error


def _check_bounds(name: str, rows: int, begin: Any) -> None:
    if not isinstance(begin, Tensor) or begin.dim() != 1 or begin.dtype != torch.long:
        raise ValueError(f"has no boundaries of {name}")
    _dense(name, begin)
    if int(begin[0]) != 0 or int(begin[-1]) != rows or bool((begin.diff() < 0).any()):
        raise ValueError(f"has boundaries of {name} that are not those of its {rows} rows")


def _check_edges(fields: dict[str, Any], slices: dict[str, Tensor]) -> None:
    """Check that edges end at nodes, and that what is of edges or nodes has a row for each."""
    for name, begin in slices.items():
        for kind, same in (("edge_attr", "edge_index"), ("edge_type", "edge_index"), ("pos", "x")):
            if name == kind and not (same in slices and torch.equal(begin, slices[same])):
                raise ValueError(f"has another number of rows in {name} than in {same}")
    if "edge_index" in fields:
        counts = slices["edge_index"].diff()
        nodes = slices["x"].diff().repeat_interleave(counts)
        ends = fields["edge_index"]
        if bool(((ends < 0) | (ends >= nodes)).any()):
            raise ValueError("has edges to nodes that are not there")


def check_count(path: Path, packed: Packed, graphs: int) -> None:
    """Check that a shard has as many graphs as the data set says.

    Raises:
        InputError: when it has not.
    """
    if packed.graphs != graphs:
        raise InputError(str(path), f"a shard of {graphs} graphs", f"one of {packed.graphs}")
