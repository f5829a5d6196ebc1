from __future__ import annotations

import gc
import pickle

import networkx as nx
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.utils import to_networkx

from stgraph import recipes
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import (
    Layout,
    attach_edges,
    frame_graphs,
    from_dense,
    layout_of,
    order,
    presence,
    slots,
    to_dense,
    validate,
)

LAYOUT = Layout(clips=2, frames=3, nodes=4, height=5, width=6)


def fields():
    return {
        "x": torch.randn(2, 3, 4, 8),
        "kernel": torch.rand(2, 3, 4, 30).softmax(-1).unflatten(-1, (5, 6)),
        "box": torch.rand(2, 3, 4, 4).sort(-1).values,
    }


def some() -> torch.Tensor:
    mask = torch.rand(2, 3, 4) > 0.4
    mask[0, 1] = False  # a frame without nodes
    return mask


@pytest.fixture(params=[True, False], ids=["all", "some"])
def graph(request) -> Batch:
    return FullEdges()(frame_graphs(fields(), LAYOUT, None if request.param else some(), clock=7))


def test_rows_are_sorted_by_clip_frame_and_identity(graph):
    validate(graph)
    assert graph.num_graphs == 6
    clip, frame = graph.batch // 3, graph.batch % 3
    assert torch.equal(graph.time, frame + 7)
    key = (clip * 3 + frame) * 4 + graph.node_id
    assert (key.diff() > 0).all()
    assert torch.equal(graph.ptr[1:] - graph.ptr[:-1], graph.batch.bincount(minlength=6))


def test_single_graphs_and_back_again(graph):
    back = Batch.from_data_list(graph.to_data_list())
    assert layout_of(back) == LAYOUT
    assert set(back.to_dict()) == set(graph.to_dict())
    for name, value in graph.to_dict().items():
        if name != "layout":
            assert torch.equal(value, back[name]), name
    validate(back)
    graph.validate()
    for number in range(6):
        one = graph[number]
        here = graph.batch == number
        assert torch.equal(one.x, graph.x[here])
        assert one.edge_index.size(1) == int(here.sum()) ** 2
        if here.any():
            assert int(one.edge_index.max()) < one.num_nodes
        assert layout_of(one) == Layout(1, 1, 4, 5, 6, origin=(number, 2, 3))


def test_whole_clips_stay_clips_whatever_batch_they_come_from(graph):
    other = FullEdges()(frame_graphs(fields(), LAYOUT, some()))
    mixed = Batch.from_data_list([*graph.to_data_list(), *other.to_data_list()[3:]])
    assert layout_of(mixed) == Layout(3, 3, 4, 5, 6)
    assert torch.equal(to_dense(mixed.x, mixed)[:2], to_dense(graph.x, graph))
    nested = Batch.from_data_list([graph, Batch.from_data_list(other.to_data_list())])
    with pytest.raises(InputError, match=r"graph: expected single graphs.*got a batch of batches"):
        layout_of(nested)
    for frames in ((0, 1, 5), (1, 2, 3), (3, 4)):  # a gap, of two clips, without its last
        part = Batch.from_data_list([graph[number] for number in frames])
        assert layout_of(part) == Layout(len(frames), 1, 4, 5, 6)


def test_no_clips_have_no_frames():
    assert Layout.of_lengths([], 4, 5, 6) == Layout(0, 0, 4, 5, 6)


def test_clips_of_any_lengths_go_on_from_their_own_clocks():
    layout = Layout.of_lengths([3, 1], 1, 5, 6)
    graph = frame_graphs({"x": torch.zeros(2, 3, 1, 8)}, layout, clock=[7, 2])
    assert graph.time.tolist() == [7, 8, 9, 2]


def test_a_single_graph_has_dense_views_too(graph):
    for number in range(6):
        one = validate(graph[number])
        expected = to_dense(graph.x, graph)[number // 3, number % 3]
        assert torch.equal(to_dense(one.x, one)[0, 0], expected)


def test_a_part_of_the_graphs_is_a_batch_of_single_frames(graph):
    part = Batch.from_data_list([graph[4], graph[2]])
    assert layout_of(part) == Layout(2, 1, 4, 5, 6)
    batches = list(DataLoader(graph.to_data_list(), batch_size=4))
    assert [layout_of(batch).clips for batch in batches] == [4, 2]


def test_a_frame_is_a_networkx_graph(graph):
    one = to_networkx(graph[0], node_attrs=["node_id", "time"])
    assert isinstance(one, nx.DiGraph)
    assert one.number_of_nodes() == int((graph.batch == 0).sum())
    assert all(data["time"] == 7 for _, data in one.nodes(data=True))


def test_dense_and_back(graph):
    dense = to_dense(graph.x, graph)
    assert dense.shape == (2, 3, 4, 8)
    assert torch.equal(from_dense(dense, graph), graph.x)
    here = presence(graph)
    if slots(graph) is None:
        assert here is None
    else:
        assert here.sum() == graph.num_nodes
        assert dense[~here].eq(0).all()


def test_the_graph_can_be_moved_copied_and_pickled(graph):
    twin = pickle.loads(pickle.dumps(graph.clone().to("cpu")))
    assert layout_of(twin) == LAYOUT
    assert torch.equal(twin[3].x, graph[3].x)


def test_fields_of_other_sizes_are_refused():
    wrong = fields() | {"box": torch.rand(2, 3, 5, 4)}
    with pytest.raises(InputError, match=r"box: expected \[2, 3, 4, \.\.\.\], got \[2, 3, 5, 4\]"):
        frame_graphs(wrong, LAYOUT)
    with pytest.raises(InputError, match=r"mask: expected \[2, 3, 4\]"):
        frame_graphs(fields(), LAYOUT, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(InputError, match="mask: expected a tensor of bool"):
        frame_graphs(fields(), LAYOUT, torch.ones(2, 3, 4))


def test_dense_views_refuse_other_rows(graph):
    with pytest.raises(InputError, match="x: expected"):
        to_dense(torch.zeros(graph.num_nodes + 1, 2), graph)
    with pytest.raises(InputError, match="dense: expected"):
        from_dense(torch.zeros(2, 3, 5, 1), graph)


def test_other_graphs_are_refused():
    from torch_geometric.data import Data

    with pytest.raises(InputError, match="frame graphs with a `layout`"):
        layout_of(Data(x=torch.zeros(2, 2)))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 5], [1, 1]], "edges across frames"),
        ([[0, 24], [1, 23]], r"edge_index: expected nodes in 0\.\.23, got 0\.\.24"),
        ([[-1, 0], [0, 1]], r"edge_index: expected nodes in 0\.\.23, got -1\.\.1"),
        ([[0, 0], [1, 1]], "repeated edges"),
        ([[5, 0], [4, 1]], "another order"),
    ],
)
def test_wrong_edges_are_found(edges, message):
    graph, edge_index = frame_graphs(fields(), LAYOUT), torch.tensor(edges)
    with pytest.raises(InputError, match=message):
        attach_edges(graph, edge_index)
    unchecked = attach_edges(graph, edge_index, check=False)
    with pytest.raises(InputError, match=message):
        validate(unchecked)


def test_validate_finds_wrong_fields():
    graph = frame_graphs(fields(), LAYOUT)
    graph.node_id = graph.node_id + 1
    with pytest.raises(InputError, match=r"node_id: expected ids in 0\.\.3, got 1\.\.4"):
        validate(graph)
    graph = frame_graphs(fields(), LAYOUT)
    graph.x[3, 2] = torch.nan
    with pytest.raises(InputError, match="x: expected finite values"):
        validate(graph)
    for name, factor, message in [
        ("kernel", 5, "kernel: expected weights ≥ 0 that sum to 1"),
        ("kernel", -1, "kernel: expected weights ≥ 0 that sum to 1"),
        ("box", 9, r"box: expected \(x1, y1, x2, y2\) in 0..1"),
        ("time", -1, "time: expected frame numbers from 0 on, got -2"),
    ]:
        graph = frame_graphs(fields(), LAYOUT)
        graph[name] = graph[name] * factor
        with pytest.raises(InputError, match=message):
            validate(graph)
    for swapped in ([2, 1, 0, 3], [0, 3, 2, 1]):
        graph = frame_graphs(fields(), LAYOUT)
        graph.box[5] = torch.tensor([0.1, 0.2, 0.6, 0.7])[swapped]
        with pytest.raises(InputError, match=r"box: expected \(x1, y1, x2, y2\)"):
            validate(graph)
    graph = frame_graphs(fields(), LAYOUT)
    graph.kernel[7] *= 0.9  # of one node alone
    with pytest.raises(InputError, match="kernel: expected weights ≥ 0 that sum to 1"):
        validate(graph)
    graph = frame_graphs(fields(), LAYOUT)
    graph.node_id = graph.node_id.flip(0)
    with pytest.raises(InputError, match="sorted by"):
        validate(graph)


@pytest.mark.parametrize(("row", "identity"), [(2, -1), (1, 3)])
def test_an_identity_whose_slot_is_that_of_nobody_in_the_next_frame_is_noticed(row, identity):
    mask = torch.tensor([[[True, True, False], [False, True, True]]])
    graph = frame_graphs({"x": torch.zeros(1, 2, 3, 4)}, Layout(1, 2, 3, 4, 4), mask)
    graph.node_id[row] = identity
    with pytest.raises(InputError, match="in order"):
        to_dense(graph.x, graph)


def test_on_another_device_the_counts_of_a_loader_are_looked_at():
    """They lie on the CPU, so nothing is waited for; of what lies on the device nothing is read."""
    frames = frame_graphs(fields(), LAYOUT, some()).to_data_list()
    graph = Batch.from_data_list(frames).to("meta")
    assert slots(graph).shape == graph.node_id.shape
    more = Batch.from_data_list(frames)
    more._slice_dict["node_id"] = torch.tensor([0, 5, 5, 5, 5, 5, 5])  # one more than there are
    with pytest.raises(InputError, match="in order, got added, repeated or moved nodes"):
        slots(more.to("meta"))
    for mask in (None, some()):  # with a mask the counts of one made there lie there too
        made = frame_graphs({"x": torch.zeros(2, 3, 4, 8, device="meta")}, LAYOUT, mask)
        assert (slots(made) is None) == (mask is None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("box", [-0.1, 0.2, 0.6, 0.7], r"box: expected \(x1, y1, x2, y2\) in 0\.\.1"),
        ("box", [0.1, 0.2, 0.6, 1.1], r"box: expected \(x1, y1, x2, y2\) in 0\.\.1"),
        ("box", [0.0, 0.3, 0.0, 0.3], None),  # without area
        ("box", [0.0, 0.0, 1.0, 1.0], None),
        ("time", -1, "time: expected frame numbers from 0 on, got -1"),
        ("time", 0, None),
    ],
)
def test_validate_takes_all_up_to_the_bounds_and_nothing_beyond(name, value, message):
    graph = frame_graphs(fields(), LAYOUT)
    graph[name][5] = torch.tensor(value)
    if message is None:
        assert validate(graph) is graph
    else:
        with pytest.raises(InputError, match=message):
            validate(graph)


def test_edges_of_a_wrong_form_are_refused():
    graph = frame_graphs(fields(), LAYOUT)
    with pytest.raises(InputError, match=r"edge_index: expected \[2, E\], got \[3, 4\]"):
        attach_edges(graph, torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(InputError, match="edge_index: expected a tensor of int64"):
        attach_edges(graph, torch.zeros(2, 4))
    with pytest.raises(InputError, match=r"edge_attr: expected \[4, \.\.\.\], got \[3, 1\]"):
        attach_edges(graph, torch.zeros(2, 4, dtype=torch.long), torch.zeros(3, 1))
    with pytest.raises(InputError, match=r"edge_attr: expected \[0, \.\.\.\], got \[\]"):
        attach_edges(graph, torch.zeros(2, 0, dtype=torch.long), torch.tensor(1.0))


def test_rows_that_move_after_they_were_looked_at_are_noticed():
    graph = frame_graphs({"x": torch.zeros(1, 2, 3, 4)}, Layout(1, 2, 3, 4, 4))
    to_dense(graph.x, graph)
    graph.node_id[1] = 0
    with pytest.raises(InputError, match="in order"):
        to_dense(graph.x, graph)
    graph.node_id[1] = 1
    to_dense(graph.x, graph)
    graph.batch = graph.batch.flip(0)
    with pytest.raises(InputError, match="in order"):
        to_dense(graph.x, graph)


@pytest.mark.parametrize("mask", [None, torch.tensor([[[True, True, True], [False, True, True]]])])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_order_of_rows_is_known_from_how_a_graph_is_made(mask, mode, monkeypatch):
    with mode():
        graph = frame_graphs({"x": torch.zeros(1, 2, 3, 4)}, Layout(1, 2, 3, 4, 4), mask)
        with monkeypatch.context() as patched:
            patched.setattr(order, "_is_found", lambda *_: pytest.fail("values were looked at"))
            to_dense(graph.x, FullEdges()(graph))
        graph.node_id[1] = 0  # and noticed when it is so no longer
        with pytest.raises(InputError, match="in order"):
            to_dense(graph.x, graph)


def test_tensors_without_versions_are_looked_at_every_time():
    graph = frame_graphs({"x": torch.zeros(1, 2, 3, 4)}, Layout(1, 2, 3, 4, 4))
    with torch.inference_mode():
        graph.node_id, graph.batch = graph.node_id.clone(), graph.batch.clone()
        to_dense(graph.x, graph)
        graph.batch.copy_(graph.batch.flip(0))
        with pytest.raises(InputError, match="in order"):
            to_dense(graph.x, graph)


@pytest.mark.slow
def test_a_stream_leaves_nothing_to_the_garbage_collector():
    block = recipes.dyreg_block(recipes.dyreg_regions(4, 3, 6), 4, 6).eval()
    frame, state = torch.randn(1, 1, 4, 6, 6), None
    with torch.inference_mode():
        state = block(frame, state).state
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                state = block(frame, state).state
            assert gc.collect() == 0
        finally:
            gc.enable()
