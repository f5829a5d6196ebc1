"""Frame graphs are PyG's own: its batches, loaders, transforms, layers and explainers take them."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch import nn
from torch_geometric import transforms as T
from torch_geometric.data import Batch, InMemoryDataset
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATConv, GCNConv, TopKPooling, global_mean_pool
from torch_geometric.utils import degree, to_networkx

from stgraph import SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import (
    FullEdges,
    GridEdges,
    NearestEdges,
    OverlapEdges,
    sort_edges,
    space_time_graph,
)
from stgraph.explain import Frozen
from stgraph.graph import (
    as_clips,
    attach_edges,
    attach_fields,
    from_dense,
    layout_of,
    presence,
    to_dense,
    validate,
)
from stgraph.layers import (
    GraphConv,
    HomogeneousLayer,
    LeakingDotAttention,
    NodeNorm,
    Readout,
    Remap,
    SpaceLayer,
    TimeLayer,
)
from stgraph.nodes import DynamicRegions, GridNodes, NodeExtractor, Regions


class Sometimes(NodeExtractor):
    """Five random regions, of which some are absent, and in the first frame all."""

    def regions(self, features, state=None):
        clips, frames, _, height, width = features.shape
        low = torch.rand(clips, frames, 5, 2) / 2
        mask = torch.rand(clips, frames, 5) > 0.4
        mask[0, 0] = False
        kernel = torch.rand(clips, frames, 5, height, width)
        return Regions(kernel, torch.cat([low, low + 0.5], -1), mask), None


EXTRACTORS = {
    "grid": lambda: GridNodes(8, (3, 2, 1), GridEdges()),
    "dynamic": lambda: DynamicRegions(8, edges=NearestEdges(3)),
    "sometimes": lambda: Sometimes(8, edges=OverlapEdges()),
}


@pytest.fixture(params=EXTRACTORS)
def graph(request) -> Batch:
    """Two clips of three frames, as an extractor emits them."""
    with torch.no_grad():
        return validate(EXTRACTORS[request.param]()(torch.randn(2, 3, 8, 9, 7))[0])


def same(one: Batch, other: Batch) -> None:
    assert set(one.keys()) == set(other.keys())
    assert layout_of(one) == layout_of(other)
    for name, value in one.to_dict().items():
        if name != "layout":
            assert torch.equal(value, other[name]), name


def test_single_graphs_and_back_again(graph):
    same(Batch.from_data_list(graph.to_data_list()), graph)
    twice = Batch.from_data_list(Batch.from_data_list(graph.to_data_list()).to_data_list())
    same(twice, graph)


def test_a_loader_of_frames(graph):
    (whole,) = DataLoader(graph.to_data_list(), batch_size=6)
    same(whole, graph)
    parts = list(DataLoader(graph.to_data_list(), batch_size=4))
    assert [part.num_graphs for part in parts] == [4, 2]
    space = SpaceLayer(8)
    out = torch.cat([space(part.x, validate(part)) for part in parts])
    torch.testing.assert_close(out, space(graph.x, graph))


def test_a_loader_of_clips(graph):
    def collate(clips):
        return Batch.from_data_list([frame for clip in clips for frame in clip])

    clips = [graph[:3], graph[3:]]
    (whole,) = torch.utils.data.DataLoader(clips, batch_size=2, collate_fn=collate)
    same(whole, graph)
    parts = list(torch.utils.data.DataLoader(clips, batch_size=1, collate_fn=collate))
    assert [layout_of(part).frames for part in parts] == [3, 3]
    time = TimeLayer(nn.GRU(8, 8))
    out = torch.cat([time(part.x, validate(part))[0] for part in parts])
    torch.testing.assert_close(out, time(graph.x, graph)[0])


def test_a_loader_of_clips_as_space_time_graphs(graph):
    whole = space_time_graph(graph)
    (batch,) = DataLoader(whole.to_data_list(), batch_size=2)
    assert batch.num_graphs == 2
    for name, value in whole.to_dict().items():
        assert torch.equal(value, batch[name]), name


def test_networkx(graph):
    for number, one in enumerate(graph.to_data_list()):
        made = to_networkx(one, node_attrs=["node_id", "pos", "box", "time"])
        assert isinstance(made, nx.DiGraph)
        here = graph.batch == number
        assert [data["node_id"] for _, data in made.nodes(data=True)] == graph.node_id[
            here
        ].tolist()
        assert made.number_of_edges() == int(here[graph.edge_index[1]].sum())


TRANSFORMS = {
    "undirected": T.ToUndirected(),
    "self-loops": T.AddSelfLoops(),
    "no self-loops": T.RemoveSelfLoops(),
    "distance": T.Distance(),
    "cartesian": T.Cartesian(),
    "degrees": T.LocalDegreeProfile(),
    "all of them": T.Compose(
        [T.RemoveSelfLoops(), T.ToUndirected(), T.AddSelfLoops(), T.Distance()]
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_single_graphs(graph, name):
    made = [TRANSFORMS[name](one) for one in graph.to_data_list()]
    batch = validate(Batch.from_data_list(made))
    assert layout_of(batch) == layout_of(graph)
    assert batch.node_id.equal(graph.node_id)
    space = SpaceLayer(batch.x.size(1))
    assert space(batch.x, batch).isfinite().all()


def test_transforms_do_to_a_batch_what_they_do_to_its_graphs(graph):
    for transform in (T.ToUndirected(), T.Distance(norm=False), T.Cartesian(norm=False)):
        single = Batch.from_data_list([transform(one) for one in graph.to_data_list()])
        batch = validate(transform(attach_edges(graph, graph.edge_index)))
        torch.testing.assert_close(batch.edge_index, single.edge_index)
        if "edge_attr" in batch:
            torch.testing.assert_close(batch.edge_attr, single.edge_attr)


def test_what_transforms_find(graph):
    far = T.Distance(norm=False)(attach_edges(graph, graph.edge_index))
    source, target = graph.edge_index
    expected = (graph.pos[source] - graph.pos[target]).norm(dim=1, keepdim=True)
    torch.testing.assert_close(far.edge_attr, expected)
    profile = T.LocalDegreeProfile()(attach_edges(graph, graph.edge_index))
    torch.testing.assert_close(profile.x[:, 8], degree(source, graph.num_nodes))
    assert not T.RemoveSelfLoops()(attach_edges(graph, graph.edge_index)).has_self_loops()


def test_a_subgraph_is_a_frame_graph_with_absent_nodes(graph):
    parts = [one.subgraph(torch.arange(0, one.num_nodes, 2)) for one in graph.to_data_list()]
    batch = validate(Batch.from_data_list(parts))
    assert layout_of(batch) == layout_of(graph)
    kept = graph.x[(torch.arange(graph.num_nodes) - graph.ptr[graph.batch]) % 2 == 0]
    assert torch.equal(batch.x, kept)
    assert torch.equal(to_dense(batch.x, batch)[presence(batch)], kept)
    assert TimeLayer(nn.GRU(8, 8))(batch.x, batch)[0].isfinite().all()


def test_attention_and_pooling(graph):
    x = graph.x.requires_grad_()
    out = GATConv(8, 8)(x, graph.edge_index).relu()
    pooled = global_mean_pool(out, graph.batch, size=graph.num_graphs)
    assert pooled.shape == (6, 8)
    pooled.sum().backward()
    assert x.grad.isfinite().all()
    for number in range(6):
        here = graph.batch == number
        if here.any():
            torch.testing.assert_close(pooled[number], out[here].mean(0))


def test_top_k_pooling(graph):
    pool = TopKPooling(8, ratio=0.5)
    x, edge_index, _, batch, kept, _ = pool(graph.x, graph.edge_index, batch=graph.batch)
    count = graph.batch.bincount(minlength=6)
    assert torch.equal(batch.bincount(minlength=6), (count + 1) // 2)
    assert torch.equal(batch, graph.batch[kept])
    out = GATConv(8, 4)(x, edge_index)
    assert global_mean_pool(out, batch, size=6).shape == (6, 4)


@pytest.mark.parametrize("path", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("schedule", [("space",), ("time", "space") * 2 + ("last",)])
def test_an_explainer_explains_a_space_time_network(graph, schedule, path):
    layers = {
        "space": SpaceLayer(8, path=path),
        "time": TimeLayer(nn.GRU(8, 8)),
        "last": TimeLayer(nn.GRU(8, 8)),
    }
    layers = {name: layer for name, layer in layers.items() if name in schedule}
    net = SpaceTimeGraph(GridNodes(8, (2,), FullEdges()), layers, schedule)
    model = Frozen(net, graph)
    explainer = Explainer(
        model,
        GNNExplainer(epochs=5),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    before = model(graph.x, graph.edge_index)
    node = int(graph.edge_index[1, -1])  # it has a neighbour, in the last frame that has edges
    explanation = explainer(graph.x, graph.edge_index, index=node)
    assert explanation.validate()
    assert explanation.edge_mask.shape == (graph.num_edges,)
    assert explanation.node_mask.shape == graph.x.shape
    assert explanation.edge_mask.max() > 0
    layout, clip = layout_of(graph), graph.batch // layout_of(graph).frames
    assert layout.frames == 3
    reached = clip == clip[node] if "time" in schedule else graph.batch == graph.batch[node]
    assert explanation.edge_mask[~reached[graph.edge_index[1]]].eq(0).all()
    assert explanation.node_mask[~reached].eq(0).all()
    torch.testing.assert_close(model(graph.x, graph.edge_index), before)  # no mask stays behind
    assert net.layers["space"].path == path
    assert not any(module is net.layers["space"] for module in model.modules())


def test_what_weighs_nodes_without_edges_is_not_explained():
    leaking = SpaceLayer(8, gather=LeakingDotAttention(8))
    for layer in (leaking, HomogeneousLayer(SpaceLayer(8))):
        net = SpaceTimeGraph(GridNodes(8, (2,), FullEdges()), {"space": layer}, ("space",))
        graph = net(torch.randn(1, 2, 8, 4, 4)).graph
        with pytest.raises(InputError, match="a layer whose messages run along edges"):
            Frozen(net, graph)


ADDED = {
    "a virtual node": lambda one: T.VirtualNode()(one),
    "nodes backwards": lambda one: one.subgraph(torch.arange(one.num_nodes).flip(0)),
    "a node twice": lambda one: one.subgraph(
        torch.arange(one.num_nodes).clamp(max=one.num_nodes - 2)
    ),
    "other identities": lambda one: one.clone().update({"node_id": one.node_id + 1}),
}


@pytest.mark.parametrize("name", ADDED)
def test_nodes_that_are_no_slots_are_refused_and_nothing_is_overwritten(graph, name):
    frames = [one for one in graph.to_data_list() if one.num_nodes > 1 or "virtual" in name]
    changed = [ADDED[name](one.clone()) for one in frames]
    batch = as_clips(Batch.from_data_list(changed), 1)
    for use in (
        lambda: to_dense(batch.x, batch),
        lambda: from_dense(torch.zeros(len(frames), 1, layout_of(batch).nodes, 8), batch),
        lambda: presence(batch),
        lambda: TimeLayer(nn.GRU(8, 8))(batch.x, batch),
        lambda: HomogeneousLayer(SpaceLayer(8))(batch.x, FullEdges()(batch)),
        lambda: Readout()(batch.x, batch),
        lambda: Remap()(batch.x, batch),
        lambda: NodeNorm(8)(batch.x, batch),
        lambda: NearestEdges(2)(batch),
        lambda: to_dense(changed[-1].x, changed[-1]),
    ):
        with pytest.raises(InputError, match="each at most once a frame, in order"):
            use()
    with pytest.raises(InputError, match="node_id: expected"):
        validate(batch)


def test_more_nodes_than_slots_are_found_without_looking_at_values():
    graph, _ = GridNodes(8, (2,), FullEdges())(torch.randn(2, 3, 8, 9, 7))
    changed = [T.VirtualNode()(one) for one in graph.to_data_list()]
    batch = Batch.from_data_list(changed).to("meta")  # which has none
    with pytest.raises(InputError, match="each at most once a frame"):
        to_dense(batch.x, batch)


def test_nodes_that_are_left_out_are_absent(graph):
    few = NearestEdges(1)(graph)
    parts = [T.RemoveIsolatedNodes()(T.RemoveSelfLoops()(one)) for one in few.to_data_list()]
    batch = validate(Batch.from_data_list(parts))
    kept = to_dense(graph.x, graph)[presence(batch)] if presence(batch) is not None else graph.x
    assert torch.equal(batch.x, kept)


def test_fields_of_edges_and_of_graphs(graph):
    edges = graph.num_edges
    frames = [one.clone() for one in graph.to_data_list()]
    for number, one in enumerate(frames):
        one.edge_weight = torch.rand(one.num_edges)
        one.edge_type = torch.full((one.num_edges,), number)
        one.edge_own = torch.rand(one.num_edges, 2)
        one.y = torch.tensor([number])
        one.score = torch.rand(1, 5)
        one.loose = torch.rand(number, 3)  # as many rows as a graph likes
        one.name = f"frame {number}"
        validate(one)
    batch = validate(Batch.from_data_list(frames))
    assert batch.edge_weight.shape == (edges,)
    assert batch.y.tolist() == [0, 1, 2, 3, 4, 5]
    back = validate(Batch.from_data_list(batch.to_data_list()))
    for name, value in batch.to_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(back[name], value), name
    conv = GraphConv(GCNConv(8, 4), 4, {"edge_weight": "edge_weight"})
    torch.testing.assert_close(conv(back.x, back), conv(batch.x, batch))


def test_fields_set_on_a_batch(graph):
    values = {
        "edges": {"edge_weight": torch.rand(graph.num_edges)},
        "graphs": {"y": torch.arange(6)},
        "nodes": {"colour": torch.rand(graph.num_nodes, 3)},
    }
    bare = attach_edges(graph, graph.edge_index)
    for fields in values.values():
        for name, value in fields.items():
            bare[name] = value
    validate(bare)
    batch = validate(attach_fields(graph, **values))
    assert "y" not in graph
    for number, one in enumerate(batch.to_data_list()):
        assert one.y.tolist() == [number]
        mine = batch.batch[batch.edge_index[1]] == number
        assert torch.equal(one.edge_weight, batch.edge_weight[mine])
        assert torch.equal(one.colour, batch.colour[batch.batch == number])
    same(Batch.from_data_list(batch.to_data_list()), batch)
    ordered = sort_edges(batch)
    for source, target, weight in zip(*ordered.edge_index, ordered.edge_weight, strict=True):
        edge = (batch.edge_index[0] == source) & (batch.edge_index[1] == target)
        assert batch.edge_weight[edge] == weight
    assert "edge_weight" not in FullEdges()(batch)  # of other edges


@pytest.mark.parametrize(
    ("kind", "name", "rows", "message"),
    [
        ("edges", "edge_weight", 1, "edge_weight: expected .*a row an edge"),
        ("graphs", "y", 5, "y: expected .*a row a frame graph"),
        ("nodes", "colour", 1, "colour: expected .*a row a node"),
        ("graphs", "my_index", 6, "fields: expected a name without index"),
        ("graphs", "edge_y", 6, "fields: expected a name"),
    ],
)
def test_fields_that_do_not_fit_are_refused(graph, kind, name, rows, message):
    with pytest.raises(InputError, match=message):
        attach_fields(graph, **{kind: {name: torch.rand(rows)}})


def test_validate_finds_fields_of_other_rows(graph):
    for name, rows in (("edge_weight", graph.num_edges + 1), ("y", 5), ("mass", 6)):
        bare = attach_edges(graph, graph.edge_index)
        bare[name] = torch.rand(rows)
        with pytest.raises(InputError, match=f"{name}: expected"):
            validate(bare)


def test_validate_finds_a_field_that_some_graphs_have_not(graph):
    batch = attach_fields(graph, graphs={"y": torch.arange(6)})
    batch._slice_dict["y"] = torch.tensor([0, 3, 6])  # of two clips, not of six frames
    with pytest.raises(InputError, match="y: expected"):
        validate(batch)


def test_a_dataset_of_frames_is_stored_as_weights(graph, tmp_path):
    InMemoryDataset.save(graph.to_data_list(), tmp_path / "frames.pt")
    stored = InMemoryDataset()
    stored.load(tmp_path / "frames.pt")  # a fall back to unsafe loading would warn
    same(Batch.from_data_list([stored[number] for number in range(6)]), graph)
    torch.save(graph.to_data_list(), tmp_path / "list.pt")
    listed = torch.load(tmp_path / "list.pt", weights_only=True)
    same(Batch.from_data_list(listed), graph)
