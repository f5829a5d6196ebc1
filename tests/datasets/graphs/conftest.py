"""A small graph data set, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stgraph.datasets.graphs.packing import Packer
from stgraph.datasets.graphs.shards import write_shard
from stgraph.datasets.graphs.sheet import INDEX, SKIPPED, Shard, Skipped, write_rows, write_sheet
from stgraph.edges import FullEdges
from stgraph.graph import Layout, frame_graphs
from stgraph.reading import digest


def _packer(clips: int, seed: int = 0, frames: int = 3) -> Packer:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, frames, 2, 4, generator=random)
    mask = torch.rand(clips, frames, 2, generator=random) < 0.8
    pos = torch.rand(clips, frames, 2, 2, generator=random)
    batch = FullEdges()(frame_graphs({"x": x, "pos": pos}, Layout(clips, frames, 2, 5, 6), mask))
    made = Packer()
    each = torch.ones(clips * frames, dtype=torch.long)
    label = torch.arange(clips).repeat_interleave(frames)
    made.add(
        batch, {"y": (label % 3, each), "clip": (label, each), "name": (["a"] * len(each), each)}
    )
    return made


@pytest.fixture
def packer() -> Callable[..., Packer]:
    """Frame graphs of clips in which a node is absent now and then."""
    return _packer


@pytest.fixture
def write_set() -> Callable[..., Path]:
    """Write a data set of a shard for each packer, and return its folder."""
    return _write_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set of 2 shards, of 2 and of 3 clips of 3 frames."""
    return _write_set(tmp_path / "graphs", [_packer(2), _packer(3, seed=1)])


def _write_set(root: Path, packers: list[Packer]) -> Path:
    (root / "raw").mkdir(parents=True)
    rows = []
    for number, one in enumerate(packers):
        packed = one.packed()
        path = write_shard(root / "raw" / f"graphs_{number:06d}.pt", packed)
        sizes = packed.fields["x"].size(0), packed.fields["edge_index"].size(1)
        size = path.stat().st_size
        rows.append(Shard(path.name, one.graphs // 3, one.graphs, *sizes, size, digest(path)))
    names = ("clips", "graphs", "nodes", "edges")
    counts = {name: sum(getattr(row, name) for row in rows) for name in names}
    files = {
        INDEX: write_rows(root / INDEX, Shard, rows),
        SKIPPED: write_rows(root / SKIPPED, Skipped, [Skipped(7, "b,c", 'no "video"')]),
    }
    facts = {"counts": counts, "files": files, "graphs": "frames"}
    write_sheet(root, {**facts, "num_classes": 5, "label_names": list("abcde")})
    return root


@pytest.fixture
def change(root: Path) -> Callable[..., None]:
    """Change what the datasheet says."""

    def write(**facts: object) -> None:
        path = root / "datasheet.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return write
