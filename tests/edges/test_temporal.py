from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric import transforms as T
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import HeteroConv, RGCNConv, SAGEConv

from stgraph.checks import InputError
from stgraph.edges import (
    FullEdges,
    TemplateEdges,
    space_time_graph,
    space_time_hetero,
    temporal_edges,
)
from stgraph.graph import attach_edges, layout_of

SPACE, TIME = ("node", "space", "node"), ("node", "time", "node")


def weighted(graph):
    nodes = layout_of(graph).nodes
    yes = torch.ones(nodes, nodes, dtype=torch.bool)
    return TemplateEdges(yes, torch.rand(nodes, nodes))(graph)


def along_time(graph, last_seen):
    """By loops: (source, target), sorted by target."""
    frames = layout_of(graph).frames
    row = {
        (int(frame) // frames, int(frame) % frames, int(name)): number
        for number, (frame, name) in enumerate(zip(graph.batch, graph.node_id, strict=True))
    }
    found = []
    for (clip, frame, name), target in row.items():
        back = range(frame - 1, -1, -1) if last_seen else range(frame - 1, max(frame - 2, -1), -1)
        for earlier in back:
            if (clip, earlier, name) in row:
                found.append((row[clip, earlier, name], target))
                break
    return found


@settings(deadline=None)
@given(
    clips=st.integers(1, 3),
    frames=st.integers(1, 5),
    nodes=st.integers(1, 4),
    absent=st.booleans(),
    last_seen=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_node_hears_from_itself_before(
    make, listed, clips, frames, nodes, absent, last_seen, seed
):
    graph = make(clips, frames, nodes, absent, seed)
    assert listed(temporal_edges(graph, last_seen)) == along_time(graph, last_seen)


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("last_seen", [False, True])
def test_clips_are_graphs_with_both_kinds_of_edges(make, listed, absent, last_seen):
    graph = weighted(make(frames=4, absent=absent))
    clips = space_time_graph(graph, last_seen)
    clips.validate()
    assert clips.num_graphs == 2
    assert torch.equal(clips.batch, graph.batch // 4)
    assert set(clips.keys()) == {
        *("x", "pos", "box", "node_id", "time", "edge_index", "edge_type", "edge_attr"),
        *("batch", "ptr"),
    }
    assert (clips.edge_index[1].diff() >= 0).all()
    space, time = clips.edge_type == 0, clips.edge_type == 1
    assert torch.equal(clips.edge_index[:, space], graph.edge_index)
    assert torch.equal(clips.edge_index[:, time], temporal_edges(graph, last_seen))
    assert torch.equal(clips.edge_attr[space], graph.edge_attr)
    assert clips.edge_attr[time].eq(0).all()
    for number in range(2):
        one, here = clips[number], clips.batch == number
        one.validate()
        assert torch.equal(one.x, graph.x[here])
        cut = here[clips.edge_index[1]]
        assert torch.equal(one.edge_index, clips.edge_index[:, cut] - clips.ptr[number])
        assert torch.equal(one.edge_type, clips.edge_type[cut])
        assert torch.equal(one.edge_attr, clips.edge_attr[cut])


@pytest.mark.parametrize("last_seen", [False, True])
@pytest.mark.parametrize("absent", [False, True])
def test_clips_with_two_relations(make, absent, last_seen):
    graph = weighted(make(frames=4, absent=absent))
    clips, same = space_time_hetero(graph, last_seen), space_time_graph(graph, last_seen)
    clips.validate()
    assert isinstance(clips, HeteroData)
    assert clips.num_graphs == 2
    assert clips.node_types == ["node"]
    assert clips.edge_types == [SPACE, TIME]
    assert torch.equal(clips["space"].edge_index, graph.edge_index)
    assert torch.equal(clips["space"].edge_attr, graph.edge_attr)
    assert torch.equal(clips["time"].edge_index, temporal_edges(graph, last_seen))
    assert "edge_attr" not in clips["time"]
    for number in range(2):
        one, plain = clips[number], same[number]
        one.validate()
        assert torch.equal(one["node"].x, plain.x)
        assert torch.equal(one["node"].node_id, plain.node_id)
        for name, kind in (("space", 0), ("time", 1)):
            assert torch.equal(one[name].edge_index, plain.edge_index[:, plain.edge_type == kind])


def stores(data):
    return {(s._key, k): v for s in data.stores for k, v in s.items() if torch.is_tensor(v)}


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("join", [space_time_graph, space_time_hetero])
def test_single_clips_and_back_again(make, absent, join):
    clips = join(weighted(make(clips=4, frames=3, absent=absent)))
    parts = clips.to_data_list()
    for back in (Batch.from_data_list(parts), next(iter(DataLoader(parts, batch_size=4)))):
        assert set(stores(back)) == set(stores(clips))
        for key, value in stores(clips).items():
            assert torch.equal(stores(back)[key], value), key
    sizes = [batch.num_graphs for batch in DataLoader(parts, batch_size=3)]
    assert sizes == [3, 1]
    assert clips[1:3][0].num_nodes == parts[1].num_nodes


def test_one_frame_has_no_edges_in_time(make):
    graph = FullEdges()(make(frames=1))
    assert temporal_edges(graph).shape == (2, 0)
    assert space_time_graph(graph).edge_type.eq(0).all()
    assert space_time_hetero(graph)["time"].edge_index.shape == (2, 0)


def test_a_clip_without_nodes(make):
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0] = False
    from stgraph.graph import Layout, frame_graphs

    fields = {"x": torch.randn(2, 3, 5, 6), "pos": torch.rand(2, 3, 5, 2)}
    graph = FullEdges()(frame_graphs(fields, Layout(2, 3, 5, 4, 5), mask))
    for join in (space_time_graph, space_time_hetero):
        clips = join(graph, last_seen=True)
        assert [one.num_nodes for one in clips.to_data_list()] == [0, 15]


def test_an_edge_index_of_pyg_and_other_orders_are_sorted(make):
    graph = FullEdges()(make())
    back = graph.edge_index.view(2, 6, -1).flip(2).flatten(1)  # by frame, else backwards
    for edges in (back, EdgeIndex(back)):
        clips = space_time_graph(attach_edges(graph, edges))
        assert type(clips.edge_index) is torch.Tensor
        assert (clips.edge_index[1].diff() >= 0).all()
        hetero = space_time_hetero(attach_edges(graph, edges))["space"].edge_index
        assert torch.equal(hetero, clips.edge_index[:, clips.edge_type == 0])


@pytest.mark.parametrize("join", [space_time_graph, space_time_hetero])
def test_features_stay_with_their_edges_where_these_are_sorted(make, join):
    graph = FullEdges()(make())
    back = graph.edge_index.view(2, 6, -1).flip(2).flatten(1)  # by frame, else backwards
    clips = join(attach_edges(graph, back, back.T.float()))  # each edge's feature are its ends
    space = clips["space"] if join is space_time_hetero else clips
    within = slice(None) if join is space_time_hetero else clips.edge_type == 0
    assert torch.equal(space.edge_attr[within].T, space.edge_index[:, within].float())


def test_pyg_layers_and_transforms_take_them(make):
    graph = FullEdges()(make(absent=True))
    clips = space_time_graph(graph)
    out = RGCNConv(6, 4, num_relations=2).double()(clips.x, clips.edge_index, clips.edge_type)
    assert out.shape == (graph.num_nodes, 4)
    hetero = space_time_hetero(graph)
    conv = HeteroConv({kind: SAGEConv(6, 4) for kind in hetero.edge_types}).double()
    out = conv(hetero.x_dict, hetero.edge_index_dict)["node"]
    assert out.shape == (graph.num_nodes, 4)
    both = T.ToUndirected()(hetero[1])
    assert both["time"].edge_index.size(1) == 2 * hetero[1]["time"].edge_index.size(1)
    assert T.Distance()(clips[1]).edge_attr.size(1) == 1


def test_bad_input_is_refused(make):
    graph = FullEdges()(make())
    with pytest.raises(InputError, match="last_seen: expected True or False"):
        temporal_edges(graph, last_seen=1)
    for join in (space_time_graph, space_time_hetero):
        with pytest.raises(InputError, match="graph: expected edges"):
            join(make())
        with pytest.raises(InputError, match="graph: expected a Batch of frame graphs"):
            join(graph[0])
        with pytest.raises(InputError, match="frame graphs with a `layout`"):
            join(space_time_graph(graph))
