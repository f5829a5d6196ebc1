"""Graph data sets that ``stgraph extract`` wrote: in memory, and on the disk."""

from __future__ import annotations

import hashlib
import io
import marshal
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, InMemoryDataset

from stgraph.checks import InputError
from stgraph.datasets.graphs.packing import LAYOUT, Packed, as_contract, graph_at, joined
from stgraph.datasets.graphs.shards import check_count, read_shard, write_shard
from stgraph.datasets.graphs.sheet import SHEET, Shard, Sheet, Skipped, read_skipped
from stgraph.reading import digest

__all__ = ["InMemoryGraphs", "OnDiskGraphs"]

Transform = Callable[[Any], Any]
_OPEN = 16  # shards that a process keeps open


class _Described:
    """What both forms tell of themselves, by their datasheet."""

    sheet: Sheet
    transform: Transform | None

    @property
    def raw_file_names(self) -> list[str]:
        """The shards."""
        return [shard.file for shard in self.sheet.shards]

    @property
    def num_classes(self) -> int:
        """Classes of the labels: those of the clips' data set, whichever of them occur here."""
        if self.transform is None and getattr(self, "pre_transform", None) is None:
            return self.sheet.num_classes
        return int(super().num_classes)  # type: ignore[misc]

    @property
    def label_names(self) -> list[str]:
        """The labels in words, where the data set of clips had any."""
        return self.sheet.label_names

    def skipped(self) -> list[Skipped]:
        """The clips that were left out, and why.

        Raises:
            InputError: when their list is missing or damaged.
        """
        return read_skipped(self.sheet.root)

    def frames_of_clips(self) -> list[range]:
        """Numbers of the graphs of each clip, in order: what a loader of whole clips asks for.

        ``DataLoader(dataset, batch_sampler=…)`` over lists of these gives clips to layers along
        time. In a set of space-time graphs each clip has one.
        """
        found: list[range] = []
        begin = 0
        for shard in self.sheet.shards:
            fields = _read(self.sheet, shard, lazily=True).fields
            first = [0] * shard.graphs if LAYOUT not in fields else fields[LAYOUT][:, 0].tolist()
            starts = [begin + at for at, frame in enumerate(first) if frame == 0]
            begin += shard.graphs
            found += map(range, starts, [*starts[1:], begin])
        return found

    def check(self) -> None:
        """Compare all shards with the digests of the datasheet.

        Raises:
            InputError: naming the first one that differs, or is missing.
        """
        for shard in self.sheet.shards:
            _check_digest(self.sheet, shard)


class InMemoryGraphs(_Described, InMemoryDataset):
    """A graph data set in memory.

    Shards are compared with the digests of the datasheet as they are read. With ``pre_transform``
    or ``pre_filter`` what comes out of them is kept in the folder ``processed``, in a file of its
    own for each data set, transform and filter; without them nothing is written.

    Args:
        root: the folder that ``stgraph extract`` wrote.
        transform: called with each graph when it is asked for.
        pre_transform: called with each graph once.
        pre_filter: called with each graph once, before ``pre_transform``; those for which it is
            false are left out.
        force_reload: call ``pre_filter`` and ``pre_transform`` again. They are known by how they
            print, functions by their code.

    Raises:
        InputError: naming the file, when the data set is not complete or a file is damaged.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Transform | None = None,
        force_reload: bool = False,
    ) -> None:
        self.sheet = Sheet.read(root)
        # asked once: what a function has seen may be part of it
        self._kept = _kept(self.sheet, pre_transform, pre_filter)
        super().__init__(str(root), transform, pre_transform, pre_filter, False, force_reload)
        packed = self._read()
        self._data, self.slices = Data.from_dict(packed.fields), packed.slices

    @property
    def processed_file_names(self) -> list[str]:
        """What is kept of filter and transform; nothing without them."""
        return self._kept

    def _process(self) -> None:
        """Filter and transform, where that is asked for and was not done before.

        (PyG's own tells by two pickles in the folder whether it was, and unpickles anything.)
        """
        for path in map(Path, self.processed_paths):
            if self.force_reload or not path.is_file():
                self.process()

    def process(self) -> None:
        """Filter and transform all graphs, and keep what comes out."""
        (path,) = self.processed_paths
        packed = self._shards()
        graphs: Any = (graph_at(packed, number) for number in range(packed.graphs))
        if self.pre_filter is not None:
            graphs = filter(self.pre_filter, graphs)
        if self.pre_transform is not None:
            graphs = map(self.pre_transform, graphs)
        write_shard(path, _collated(list(graphs)))

    def _read(self) -> Packed:
        packed = self._shards() if not self.processed_paths else read_shard(self.processed_paths[0])
        return packed

    def _shards(self) -> Packed:
        parts = []
        for shard in self.sheet.shards:
            _check_digest(self.sheet, shard)
            parts.append(_read(self.sheet, shard))
        if not parts:
            return Packed({"x": torch.zeros(0, 0)}, {"x": torch.zeros(1, dtype=torch.long)})
        return joined(parts)

    def get(self, idx: int) -> Data:
        """One graph; frame graphs have the ``layout`` that those of a model have."""
        return as_contract(super().get(idx))


class OnDiskGraphs(_Described, Dataset):
    """A graph data set on the disk, of which what is asked for is read.

    Graphs can be had in any order: a shard that is used is mapped into memory, and of it the pages
    that a graph lies on are read. So the set may be larger than memory. Workers of a loader have
    shards of their own open.

    Args:
        root: the folder that ``stgraph extract`` wrote.
        transform: called with each graph when it is asked for.
        pre_filter: called with each graph once, here; those for which it is false are left out.

    Raises:
        InputError: naming the file, when the data set is not complete or a file is damaged. Bytes
            that changed within values are found by :meth:`check`, which reads all of them.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Transform | None = None,
        pre_filter: Transform | None = None,
    ) -> None:
        self.sheet = Sheet.read(root)
        self._begin = [0]
        for shard in self.sheet.shards:
            self._begin.append(self._begin[-1] + shard.graphs)
        self._open: OrderedDict[int, Packed] = OrderedDict()
        super().__init__(str(root), transform, None, pre_filter, False)
        if pre_filter is not None:
            kept = [number for number in range(self.len()) if pre_filter(self.get(number))]
            self._indices = kept

    def len(self) -> int:
        """Number of graphs, whatever the filter leaves of them."""
        return self._begin[-1]

    def get(self, idx: int) -> Data:
        """A copy of one graph; frame graphs have the ``layout`` that those of a model have."""
        at = int(torch.searchsorted(torch.tensor(self._begin), idx, right=True)) - 1
        return graph_at(self._shard(at), idx - self._begin[at])

    def _shard(self, at: int) -> Packed:
        packed = self._open.pop(at, None)
        if packed is None:
            packed = _read(self.sheet, self.sheet.shards[at], lazily=True)
        self._open[at] = packed
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return packed

    def __getstate__(self) -> dict[str, Any]:
        """All but the open shards, for the processes of a loader."""
        return {**self.__dict__, "_open": OrderedDict()}


def _read(sheet: Sheet, shard: Shard, lazily: bool = False) -> Packed:
    path = sheet.path(shard)
    if path.is_file() and path.stat().st_size != shard.bytes:
        raise InputError(str(path), f"{shard.bytes} bytes", path.stat().st_size)
    packed = read_shard(path, lazily)
    check_count(path, packed, shard.graphs)
    return packed


def _check_digest(sheet: Sheet, shard: Shard) -> None:
    found = digest(sheet.path(shard), "a shard of graphs")
    if found != shard.sha256:
        expected = f"the file that {sheet.root / 'raw/index.csv'} has the digest of"
        raise InputError(str(sheet.path(shard)), expected, "another")


def _collated(graphs: Sequence[Data]) -> Packed:
    """What comes out of transforms, as it is stored: tensors, and words."""
    if not graphs:
        raise InputError("pre_filter", "one that leaves a graph", "none left")
    graphs = [_plain(graph) for graph in graphs]
    data, slices = InMemoryDataset.collate([*graphs, graphs[0]])  # of a single one PyG makes none
    fields, kept = {}, {}
    for name, value in data.to_dict().items():
        if name not in slices:
            raise InputError("pre_transform", "one whose fields are tensors or words", name)
        begin = slices[name][:-1]
        fields[name] = value[: len(graphs)] if isinstance(value, list) else _cut(data, name, begin)
        kept[name] = begin
    return Packed(fields, kept)


def _cut(data: Data, name: str, begin: Tensor) -> Tensor:
    value: Tensor = data[name]
    along = data.__cat_dim__(name, value) or 0
    if name != "edge_index" and along != 0:
        raise InputError("pre_transform", "one whose fields have a row each", name)
    return value.narrow(along, 0, int(begin[-1])).contiguous()


def _plain(graph: Data) -> Data:
    layout = graph.to_dict().get(LAYOUT)
    if layout is not None:
        frame, _, frames = layout.origin or (0, 1, 1)
        row = [[frame, frames, layout.nodes, layout.height, layout.width]]
        graph[LAYOUT] = torch.tensor(row)
    return graph


def _kept(sheet: Sheet, pre_transform: object, pre_filter: object) -> list[str]:
    """Name of the file of what a filter and a transform make of a data set."""
    if pre_transform is None and pre_filter is None:
        return []
    told = (digest(sheet.root / SHEET), _told(pre_transform), _told(pre_filter))
    return [f"graphs_{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}.pt"]


def _told(part: object, seen: list[object] | None = None) -> str:
    """A part by how it prints, without addresses; a function by its code and what it was given."""
    seen = [] if seen is None else seen
    if isinstance(part, partial):
        named = [one for pair in sorted(part.keywords.items()) for one in pair]
        return " ".join(_told(one, seen) for one in ("partial", part.func, *part.args, *named))
    if isinstance(part, MethodType):
        return f"{_told(part.__self__, seen)} {_told(part.__func__, seen)}"
    if not isinstance(part, FunctionType):
        return re.sub(r" at 0x[0-9a-f]+", "", repr(part))
    name = f"{part.__module__}.{part.__qualname__}"
    if any(part is one for one in seen):  # it calls itself, or is given twice
        return name
    seen.append(part)
    code = io.BytesIO()
    marshal.dump(part.__code__, code)
    given: list[object] = [*(part.__defaults__ or ())]
    given += [value for _, value in sorted((part.__kwdefaults__ or {}).items())]
    given += map(_content, part.__closure__ or ())
    more = " ".join(_told(value, seen) for value in given)
    return f"{name} {hashlib.sha256(code.getvalue()).hexdigest()} {more}"


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was put there so far
        return CellType
