"""Copies of batches that share their fields, in steps that a compiler follows.

``copy.copy`` of a batch copies its storage in ways that ``torch.compile`` does not know; field by
field it sees nothing but dictionaries of tensors, and graphs are made inside of compiled code.
"""

from __future__ import annotations

import weakref

from torch_geometric.data import Batch, Data

__all__ = ["copied", "empty"]

# To make one, PyG reads signatures each time; to copy one is much cheaper.
_EMPTY = Batch(_base_cls=Data)


def empty() -> Batch:
    """A batch without fields."""
    return copied(_EMPTY)


def copied(batch: Batch) -> Batch:
    """A batch with the same fields, whose changes do not change the other.

    Examples:
        >>> one = Batch.from_data_list([Data(num_nodes=1)])
        >>> other = copied(one)
        >>> other.y = 5
        >>> "y" in other, "y" in one
        (True, False)
    """
    out, storage = _bare(batch), _bare(batch._store)
    vars(out).update(vars(batch))
    vars(storage).update(vars(batch._store))
    vars(storage).pop("_cached_attr", None)  # PyG's own copies leave it out too
    vars(storage)["_mapping"] = dict(batch._store._mapping)
    vars(storage)["_parent"] = weakref.ref(out)
    vars(out)["_store"] = storage
    return out


def _bare(thing: object) -> object:
    kind = type(thing)
    return kind.__new__(kind)
