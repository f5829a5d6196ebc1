"""Whatever becomes of a graph data set, it is read or an InputError names the file."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.graphs import InMemoryGraphs, OnDiskGraphs
from stgraph.datasets.graphs.shards import read_shard
from stgraph.reading import digest


def read_all(root: Path) -> None:
    for graph in OnDiskGraphs(root):
        graph.x.sum(), graph.x[graph.edge_index[1]]
    for graph in InMemoryGraphs(root):
        graph.x.sum()


def what_is_said(root: Path) -> str | None:
    try:
        read_all(root)
        InMemoryGraphs(root).skipped()
    except InputError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["datasheet.json", "raw/index.csv", "raw/skipped.csv", "raw/graphs_000001.pt"]
)
def test_mutated_files(name: str, root: Path) -> None:
    whole, dice = (root / name).read_bytes(), random.Random(name)
    told = 0
    for _ in range(60):
        data = bytearray(whole)
        match dice.randrange(4):
            case 0:
                del data[dice.randrange(len(data)) :]
            case 1:
                at = dice.randrange(len(data))
                data[at : at + 8] = dice.randbytes(dice.randrange(20))
            case 2:
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            case _:
                at = dice.randrange(len(data))
                data[at:at] = data[: dice.randrange(200)]
        (root / name).write_bytes(data)
        shutil.rmtree(root / "processed", ignore_errors=True)
        said = what_is_said(root)
        told += said is not None
        assert said is None or Path(name).name in said or "index.csv" in said
    assert told > 20


@pytest.mark.parametrize("form", [InMemoryGraphs, OnDiskGraphs])
def test_a_missing_shard_is_named(form: type, root: Path) -> None:
    (root / "raw/graphs_000001.pt").unlink()
    with pytest.raises(InputError, match=r"graphs_000001\.pt: expected .* does not exist"):
        list(form(root))


def test_a_changed_value_is_found_by_its_digest(root: Path) -> None:
    path = root / "raw/graphs_000000.pt"
    data = path.read_bytes()
    value = read_shard(path).fields["x"].numpy().tobytes()
    at = data.index(value)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(InputError, match=r"graphs_000000\.pt: expected the file that .*index\.csv"):
        InMemoryGraphs(root)
    with pytest.raises(InputError, match=r"graphs_000000\.pt"):
        OnDiskGraphs(root).check()


@pytest.mark.parametrize(
    "facts",
    [
        {"format": 2},
        {"counts": {"clips": 5}},
        {"counts": []},
        {"files": {}},
        {"graphs": "nodes"},
        {"num_classes": -1},
        {"num_classes": True},
        {"num_classes": 1 << 60},
        {"label_names": "abc"},
        {"label_names": [1]},
    ],
    ids=str,
)
def test_a_datasheet_that_says_something_else(
    facts: dict[str, Any], root: Path, change: Callable[..., None]
) -> None:
    change(**facts)
    with pytest.raises(InputError, match=r"datasheet\.json: expected the datasheet of a graph"):
        InMemoryGraphs(root)


def test_counts_are_compared(root: Path, change: Callable[..., None]) -> None:
    change(counts={"clips": 5, "graphs": 16, "nodes": 1, "edges": 1})
    with pytest.raises(InputError, match=r"index\.csv: expected 16 graphs, as .*, got 15"):
        OnDiskGraphs(root)


def test_a_folder_that_is_not_complete_is_told(root: Path) -> None:
    (root / "datasheet.json").unlink()
    with pytest.raises(InputError, match=r"root: expected a graph data set .* completed"):
        InMemoryGraphs(root)


X, SLICES = torch.zeros(3, 2), torch.tensor([0, 1, 3])
EDGES = {"edge_index": torch.tensor([[0], [0]])}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1], "holds a list"),
        (({"pos": X}, {"pos": SLICES}), "has no fields"),
        (({"x": X}, {"y": SLICES}), "without boundaries"),
        (({"x": X, "y": X}, {"x": SLICES, "y": torch.tensor([0, 3])}), "different numbers"),
        (({"x": X}, {"x": torch.tensor([0, 2, 1])}), "boundaries of x that are not"),
        (({"x": X}, {"x": torch.tensor([0, 4, 3])}), "boundaries of x that are not"),
        (({"x": X}, {"x": torch.tensor([0.0, 1, 3])}), "no boundaries of x"),
        (({"x": [1, 2]}, {"x": SLICES}), "other things than words in x"),
        (({"x": X}, {"x": torch.tensor([0, 1, 2])}), "boundaries of x that are not"),
        (({"x": X}, {"x": torch.tensor([-1, 1, 3])}), "boundaries of x that are not"),
        (({"x": torch.tensor(1.0)}, {"x": SLICES}), "no rows in x"),
        (({"x": X, "edge_index": X}, {"x": SLICES, "edge_index": SLICES}), "has an edge_index"),
        (({"x": X, "pos": X}, {"x": SLICES, "pos": torch.tensor([0, 2, 3])}), "in pos than in x"),
        (({"x": X, "layout": X}, {"x": SLICES, "layout": SLICES}), "layout"),
        (({"x": X.to_sparse()}, {"x": SLICES}), "dense tensor"),
    ],
)
def test_a_forged_shard(content: Any, told: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "some.pt")
    with pytest.raises(InputError, match=rf"some\.pt: .*{told}"):
        read_shard(tmp_path / "some.pt")


@pytest.mark.parametrize("sizes", [(3,), (1, 3), (3, 3), (2, 3, 1)])
def test_edges_have_two_ends(sizes: tuple[int, ...], tmp_path: Path) -> None:
    edges = torch.zeros(sizes, dtype=torch.long)
    content = ({"x": X, "edge_index": edges}, {"x": SLICES, "edge_index": SLICES})
    torch.save(content, tmp_path / "some.pt")
    with pytest.raises(InputError, match=r"some\.pt: .* has an edge_index \["):
        read_shard(tmp_path / "some.pt")


@pytest.mark.parametrize("columns", [4, 6])
def test_layouts_are_five_numbers(columns: int, tmp_path: Path) -> None:
    layout = torch.zeros(2, columns, dtype=torch.long)
    content = ({"x": X, "layout": layout}, {"x": SLICES, "layout": torch.arange(3)})
    torch.save(content, tmp_path / "some.pt")
    with pytest.raises(InputError, match=r"some\.pt: .* has layouts that are none"):
        read_shard(tmp_path / "some.pt")


@pytest.mark.parametrize("end", [-1, 2, 1 << 40])
def test_edges_end_at_nodes(end: int, tmp_path: Path) -> None:
    edges = torch.tensor([[0, 0], [0, end]])
    torch.save(
        ({"x": X, "edge_index": edges}, {"x": SLICES, "edge_index": torch.tensor([0, 1, 2])}),
        tmp_path / "some.pt",
    )
    with pytest.raises(InputError, match=r"some\.pt: .* edges to nodes that are not there"):
        read_shard(tmp_path / "some.pt", lazily=True)


def test_a_list_leads_nowhere_else(root: Path, change: Callable[..., None]) -> None:
    path = root / "raw/index.csv"
    (root / "raw/graphs_000000.pt").rename(root.parent / "else.pt")
    path.write_text(path.read_text().replace("graphs_000000.pt", "../../else.pt"))
    with pytest.raises(InputError, match=r"index\.csv: expected the list that"):
        OnDiskGraphs(root)
    change(files={"raw/index.csv": digest(path)})
    with pytest.raises(InputError, match=r"index\.csv: .* a shard called '\.\./\.\./else\.pt'"):
        OnDiskGraphs(root)
