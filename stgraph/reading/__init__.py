"""Files from elsewhere, read within bounds: nothing in them runs, and no damage is more than told.

Whoever reads a file of any kind reads it here. A file is a plain one of the kind expected, what it
unpacks to is bounded by its size, and all that can be wrong with it is an
:class:`~stgraph.checks.InputError` that names it.
"""

from stgraph.reading.arrays import read_npz
from stgraph.reading.files import (
    FLOOR,
    RATIO,
    opened,
    read_bytes,
    unpacked_at_most,
)

__all__ = [
    "FLOOR",
    "RATIO",
    "opened",
    "read_bytes",
    "read_npz",
    "unpacked_at_most",
]
