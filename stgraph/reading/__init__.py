"""Files from elsewhere, read within bounds: nothing in them runs, and all damage is told.

Whoever reads a file, of any kind, reads it here. It is a plain file; what it unpacks to is bounded
by its size, and found out before memory is taken; and all that can be wrong with it is an
:class:`~stgraph.checks.InputError` that names it.
"""

from stgraph.reading.arrays import read_npz
from stgraph.reading.building import memory, within_memory
from stgraph.reading.files import (
    FLOOR,
    RATIO,
    digest,
    fill,
    opened,
    reason,
    size_of,
    unpacked_at_most,
)
from stgraph.reading.pieces import JsonPieces
from stgraph.reading.text import check_yaml, parse_json, read_json, read_text, read_yaml
from stgraph.reading.weights import read_safetensors, read_torch

__all__ = [
    "FLOOR",
    "RATIO",
    "JsonPieces",
    "check_yaml",
    "digest",
    "fill",
    "memory",
    "opened",
    "parse_json",
    "read_json",
    "read_npz",
    "read_safetensors",
    "read_text",
    "read_torch",
    "read_yaml",
    "reason",
    "size_of",
    "unpacked_at_most",
    "within_memory",
]
