"""Many graphs in one: their fields one after another, and where those of each begin.

This is how PyG's ``InMemoryDataset`` holds graphs: for each field a tensor with the rows of all
graphs, ``edge_index`` counted within each, and boundaries ``slices``. So a shard that was written
here is read by ``InMemoryDataset.load`` too, without this library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError
from stgraph.graph import Layout, layout_of

__all__ = ["LAYOUT", "Packed", "Packer", "as_contract", "graph_at", "joined"]

LAYOUT = "layout"
"""Of frame graphs: frame number, frames of the clip, N, H and W, a row a graph."""
_HALVES = (torch.float16, torch.bfloat16)


class Packed(NamedTuple):
    """Graphs one after another."""

    fields: dict[str, Any]
    """Tensors with the rows of all graphs, and lists with a word for each."""
    slices: dict[str, Tensor]
    """Where the rows of each graph begin, and the last ones end ``[G + 1]``, for each field."""

    @property
    def graphs(self) -> int:
        """Number of graphs."""
        return next((len(begin) - 1 for begin in self.slices.values()), 0)


class Packer:
    """Takes batches of graphs, and gives all of their graphs one after another."""

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}
        self._counts: dict[str, list[Tensor]] = {}
        self.graphs = 0

    def add(self, batch: Batch, rows: Mapping[str, tuple[Any, Tensor]]) -> None:
        """Add the graphs of a batch.

        Args:
            batch: graphs; taken are the fields that single graphs have, and the layout of frames.
            rows: further fields, and how many rows of them each graph has ``[G]``.

        Raises:
            InputError: when there are other fields than in the batches before.
        """
        found = {**_fields(batch), **rows}
        if self._values and found.keys() != self._values.keys():
            raise InputError("fields", f"{sorted(self._values)}, as before", sorted(found))
        for name, (value, counts) in found.items():
            kept = value.detach().cpu() if isinstance(value, Tensor) else list(value)
            self._values.setdefault(name, []).append(kept)
            self._counts.setdefault(name, []).append(counts.cpu())
        self.graphs += batch.num_graphs

    def packed(self) -> Packed:
        """Return all that was added."""
        counts = {name: torch.cat(parts) for name, parts in self._counts.items()}
        values = {name: _cat(name, parts) for name, parts in self._values.items()}
        return Packed(values, {name: _bounds(count) for name, count in counts.items()})


def joined(parts: Sequence[Packed]) -> Packed:
    """Graphs of several shards as one.

    Raises:
        InputError: when they differ in their fields or the sizes of these.
    """
    first = parts[0]
    for part in parts:
        if part.fields.keys() != first.fields.keys():
            raise InputError("fields", sorted(first.fields), sorted(part.fields))
    try:
        fields = {name: _cat(name, [part.fields[name] for part in parts]) for name in first.fields}
    except (RuntimeError, TypeError) as error:
        raise InputError("fields", "fields of one shape in all shards", error) from error
    counts = {
        name: torch.cat([part.slices[name].diff() for part in parts]) for name in first.fields
    }
    return Packed(fields, {name: _bounds(count) for name, count in counts.items()})


def graph_at(packed: Packed, number: int) -> Data:
    """A copy of one graph, as :func:`as_contract` gives it.

    Examples:
        >>> packed = Packed({"x": torch.arange(5.0)[:, None]}, {"x": torch.tensor([0, 2, 5])})
        >>> graph_at(packed, 1).x.flatten()
        tensor([2., 3., 4.])
    """
    data = Data()
    for name, value in packed.fields.items():
        begin, end = packed.slices[name][number : number + 2].tolist()
        if isinstance(value, list):
            data[name] = value[begin]
        else:
            data[name] = value.narrow(_along(name), begin, end - begin).clone()
    return as_contract(data)


def as_contract(data: Data) -> Data:
    """Turn what is stored of one graph into what graphs have: their layout, and single precision.

    Values that are stored in halves become floats, which changes none of them.
    """
    stored = data.to_dict().get(LAYOUT)
    if isinstance(stored, Tensor):
        frame, frames, nodes, height, width = stored.flatten().tolist()
        data[LAYOUT] = Layout(1, 1, nodes, height, width, (frame, 1, frames))
    for name, value in data.to_dict().items():
        if isinstance(value, Tensor) and value.dtype in _HALVES:
            data[name] = value.float()
        elif isinstance(value, list) and len(value) == 1 and name != LAYOUT:
            data[name] = value[0]  # of a set of one graph PyG hands on all there is
    return data


def _fields(batch: Batch) -> dict[str, tuple[Any, Tensor]]:
    """Fields of single graphs with their numbers of rows; ``edge_index`` within each graph."""
    found: dict[str, tuple[Any, Tensor]] = {}
    for name, begin in batch._slice_dict.items():
        value, counts = batch[name], begin.cpu().diff()
        if name == LAYOUT:
            found[name] = (_layouts(batch), counts)
        elif name == "edge_index":
            first = (
                batch._inc_dict[name].to(value.device).repeat_interleave(counts.to(value.device))
            )
            found[name] = (value - first, counts)
        else:
            found[name] = (value, counts)
    return found


def _layouts(batch: Batch) -> Tensor:
    layout = layout_of(batch)
    sizes = (layout.nodes, layout.height, layout.width)
    rows = [(t, length, *sizes) for length in layout.lengths for t in range(length)]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, 5)


def _along(name: str) -> int:
    return -1 if name == "edge_index" else 0


def _cat(name: str, parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], list):
        return [word for part in parts for word in part]
    return torch.cat(list(parts), dim=_along(name))


def _bounds(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
