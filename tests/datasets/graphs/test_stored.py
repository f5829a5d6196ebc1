from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data, Dataset, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_mean_pool

from stgraph.checks import InputError
from stgraph.datasets.graphs import InMemoryGraphs, OnDiskGraphs, Skipped
from stgraph.datasets.graphs.packing import Packer
from stgraph.graph import Layout, layout_of

FORMS = [InMemoryGraphs, OnDiskGraphs]
Same = Callable[[Data, Data], bool]
Write = Callable[..., Path]
Pack = Callable[..., Packer]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_a_data_set_of_pyg(form: type, root: Path) -> None:
    dataset = form(str(root))
    assert isinstance(dataset, Dataset)
    assert len(dataset) == 15
    assert dataset.num_classes == 5  # of which three occur
    assert dataset.num_node_features == dataset.num_features == 4
    assert dataset.label_names == list("abcde")
    assert [graph.y.item() for graph in dataset] == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3 + [2] * 3
    assert dataset.skipped() == [Skipped(7, "b,c", 'no "video"')]
    batches = list(DataLoader(dataset, batch_size=4, shuffle=True))
    assert sum(batch.num_graphs for batch in batches) == 15
    assert global_mean_pool(batches[0].x, batches[0].batch).shape == (4, 4)
    dataset.check()


@pytest.mark.parametrize("form", FORMS)
def test_graphs_are_those_that_were_packed(form: type, root: Path, same: Same) -> None:
    dataset, plain = form(root), InMemoryDataset()
    for shard, at in ((0, 0), (1, 6)):
        plain.load(str(root / f"raw/graphs_{shard:06d}.pt"))  # PyG's own, and safely
        for number in range(len(plain)):
            mine, theirs = dataset[at + number], plain[number]
            assert mine.layout.origin == (number % 3, 1, 3)
            assert mine.name == theirs.name == "a"
            mine.layout = theirs.layout
            assert same(mine, theirs)


def test_both_forms_give_the_same_graphs(root: Path, same: Same) -> None:
    memory, disk = InMemoryGraphs(root), OnDiskGraphs(root)
    for number in (14, 0, 6, 5, 3):
        assert same(memory[number], disk[number])
    assert same(memory[[9, 2]][1], disk[torch.tensor([9, 2])][1])
    assert same(memory[-1], disk[14])


@pytest.mark.parametrize("form", FORMS)
def test_the_frames_of_a_clip_are_a_batch_of_it(form: type, root: Path) -> None:
    dataset = form(root)
    clips = Batch.from_data_list([dataset[number] for number in range(3, 9)])
    assert layout_of(clips).lengths == (3, 3)
    assert layout_of(clips).nodes == 2
    assert clips.validate()


@pytest.mark.parametrize("form", FORMS)
def test_layouts_of_frames_are_those_that_were_packed(form: type, root: Path) -> None:
    assert form(root)[7].layout == Layout(1, 1, nodes=2, height=5, width=6, origin=(1, 1, 3))


@pytest.mark.parametrize("form", FORMS)
def test_transforms_and_filters(form: type, root: Path) -> None:
    dataset = form(root, transform=T.Distance(), pre_filter=lambda graph: graph.y.item() == 1)
    assert len(dataset) == 6
    assert all(graph.edge_attr.size(0) == graph.num_edges for graph in dataset)
    assert not any("edge_attr" in graph for graph in form(root))
    assert len(dataset[:2]) == 2
    with pytest.raises((IndexError, InputError)):
        form(root, pre_filter=lambda graph: False)[0]


def test_what_a_transform_makes_is_kept_for_it_alone(root: Path, same: Same) -> None:
    class Count(T.BaseTransform):
        calls = 0

        def forward(self, graph: Data) -> Data:
            Count.calls += 1
            return T.Distance(norm=False)(graph)

    first = InMemoryGraphs(root, pre_transform=Count())
    assert first.num_edge_features == 1
    again = InMemoryGraphs(root, pre_transform=Count())
    assert Count.calls == 15
    InMemoryGraphs(root, pre_transform=Count(), force_reload=True)
    assert Count.calls == 30
    assert len(list((root / "processed").iterdir())) == 1
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert first[4].layout == OnDiskGraphs(root)[4].layout
    for options in ({"pre_transform": T.Distance()}, {"pre_filter": lambda graph: True}):
        InMemoryGraphs(root, **options)
    assert len(list((root / "processed").iterdir())) == 3
    InMemoryGraphs(root, pre_transform=T.Distance(), force_reload=True)
    for path in (root / "processed").iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"processed.*does not load"):
        InMemoryGraphs(root, pre_transform=T.Distance())


def test_functions_that_differ_are_told_apart(root: Path) -> None:
    sizes = {len(InMemoryGraphs(root, pre_filter=lambda one, k=k: one.y == k)) for k in range(3)}
    assert sizes == {6, 3}


def test_functions_of_one_maker_are_told_apart(root: Path) -> None:
    def of_class(number: int) -> Callable[[Data], bool]:
        return lambda one: bool(one.y == number)

    found = [InMemoryGraphs(root, pre_filter=of_class(number)) for number in range(3)]
    assert [set(one.y.tolist()) for one in found] == [{0}, {1}, {2}]


def test_functions_are_told_apart_by_what_is_given_by_name(root: Path) -> None:
    def of_class(number: int) -> Callable[[Data], bool]:
        def wanted(one: Data, *, label: int = number) -> bool:
            return bool(one.y == label)

        return wanted

    found = [InMemoryGraphs(root, pre_filter=of_class(number)) for number in range(3)]
    found += [InMemoryGraphs(root, pre_filter=partial(of_class(0), label=k)) for k in range(3)]
    found += [InMemoryGraphs(root, pre_filter=partial(of_class(k))) for k in range(3)]
    assert [set(one.y.tolist()) for one in found] == [{0}, {1}, {2}] * 3


def test_functions_may_call_themselves_and_name_what_is_not_there_yet(root: Path) -> None:
    def deep(one: Data, depth: int = 3) -> bool:
        return deep(one, depth - 1) if depth else bool(one.y == 1)

    def early(one: Data) -> bool:
        return one.num_nodes >= 0 or later

    assert {one.y.item() for one in InMemoryGraphs(root, pre_filter=deep)} == {1}
    assert len(InMemoryGraphs(root, pre_filter=early)) == 15
    later = False


def test_one_graph_and_none(tmp_path: Path, same: Same, packer: Pack, write_set: Write) -> None:
    single = packer(1, frames=1)
    root = write_set(tmp_path / "one", [single])
    memory, disk = InMemoryGraphs(root), OnDiskGraphs(root)
    assert len(memory) == len(disk) == 1
    assert same(memory[0], disk[0])
    assert len(InMemoryGraphs(root, pre_filter=lambda graph: True)) == 1
    none = write_set(tmp_path / "none", [])
    assert len(InMemoryGraphs(none)) == len(OnDiskGraphs(none)) == 0


def test_what_is_done_to_a_graph_on_the_disk_does_not_last(root: Path) -> None:
    dataset = OnDiskGraphs(root)
    before = dataset[3].x.clone()
    dataset[3].x.zero_()
    assert torch.equal(dataset[3].x, before)
    dataset.check()


def test_few_shards_are_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: Same, packer: Pack, write_set: Write
) -> None:
    root = write_set(tmp_path / "many", [packer(1, seed) for seed in range(5)])
    monkeypatch.setattr("stgraph.datasets.graphs.stored._OPEN", 2)
    dataset = OnDiskGraphs(root)
    graphs = [dataset[number] for number in (14, 0, 7, 3, 12, 0)]
    assert len(dataset._open) == 2
    assert all(
        same(graph, InMemoryGraphs(root)[number])
        for graph, number in zip(graphs, (14, 0, 7, 3, 12, 0), strict=True)
    )
    assert pickle.loads(pickle.dumps(dataset))._open == {}


def test_workers_read_for_themselves(root: Path) -> None:
    dataset = OnDiskGraphs(root)
    dataset[0]
    loaded = list(DataLoader(dataset, batch_size=1, num_workers=2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(loaded, dataset, strict=True))


def test_halves_are_given_as_floats(tmp_path: Path, packer: Pack, write_set: Write) -> None:
    made = packer(2)
    for name in ("x", "pos"):
        made._values[name] = [value.half() for value in made._values[name]]
    exact = next(value.float() for value in made._values["x"])
    root = write_set(tmp_path / "half", [made])
    for form in FORMS:
        found = torch.cat([graph.x for graph in form(root)])
        assert found.dtype == torch.float32
        assert torch.equal(found, exact)


def test_equal_graphs_make_equal_files(tmp_path: Path, packer: Pack, write_set: Write) -> None:
    one, other = (write_set(tmp_path / name, [packer(2)]) for name in ("a", "b"))
    for path in one.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes()


def test_batches_with_other_fields_are_refused() -> None:
    made = Packer()
    batch = Batch.from_data_list([Data(x=torch.zeros(2, 1))])
    made.add(batch, {})
    with pytest.raises(InputError, match=r"fields: expected \['x'\], as before, got \['x', 'y'\]"):
        made.add(batch, {"y": (torch.zeros(1), torch.ones(1, dtype=torch.long))})
