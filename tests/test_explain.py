"""Attention is found in one way, in PyG's convention: ours and that of PyG's explainers agree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.explain import AttentionExplainer, Explainer
from torch_geometric.nn import (
    DirGNNConv,
    FAConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GPSConv,
    RGATConv,
    TransformerConv,
)

from stgraph import SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges
from stgraph.explain import Frozen, _of_graph, attention
from stgraph.graph import attach_edges
from stgraph.layers import (
    AdditiveAttention,
    CommonFate,
    DotAttention,
    GraphConv,
    HomogeneousLayer,
    LeakingDotAttention,
    SpaceLayer,
    TemporalLayer,
    TimeLayer,
)
from stgraph.nodes import GridNodes

C = 8
EDGES = {
    "full": FullEdges,
    "no loops": lambda: FullEdges(loops=False),
    "grid": lambda: GridEdges((2, 1)),
}


class Residual(nn.Module):
    """A layer of somebody's own, with a convolution inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GATv2Conv(C, C)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        return x + self.conv(x, graph.edge_index)


LAYERS = {
    "space": lambda: SpaceLayer(C),
    "space, heads": lambda: SpaceLayer(C, gather=DotAttention(C, heads=4)),
    "space, additive": lambda: SpaceLayer(C, gather=AdditiveAttention(C, heads=2)),
    "gat": lambda: GraphConv(GATConv(C, 2, heads=4), C),
    "gatv2": lambda: GraphConv(GATv2Conv(C, 2, heads=4), C),
    "transformer": lambda: GraphConv(TransformerConv(C, 2, heads=4), C),
    "inside": lambda: GraphConv(GPSConv(C, GATConv(C, C)), C),
    "own": Residual,
    "fa": lambda: GraphConv(FAConv(C), C, {"x_0": "x"}),
}


def made(layer: nn.Module, edges: str, rounds: int = 1) -> tuple[SpaceTimeGraph, Batch]:
    parts = {"space": layer, "time": TimeLayer(nn.GRU(C, C))}
    grid = GridNodes(C, (2, 1), edges=EDGES[edges]())
    net = SpaceTimeGraph(grid, parts, ("space", "time") * rounds).double().eval()
    with torch.no_grad():
        return net, net(torch.randn(2, 3, C, 6, 6).double()).graph


def explained(net: SpaceTimeGraph, graph: Batch, reduce: str) -> Tensor:
    explainer = Explainer(
        Frozen(net, graph),
        AttentionExplainer(reduce),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "graph", "return_type": "raw"},
    )
    return explainer(graph.x, graph.edge_index).edge_mask


@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_network_answers_along_the_edges_that_it_is_given(name):
    net, graph = made(LAYERS[name](), "full")
    frozen, some = Frozen(net, graph), graph.edge_index[:, ::3]
    with torch.no_grad():
        torch.testing.assert_close(frozen(graph.x, graph.edge_index), net.process(graph).x)
        expected = net.process(attach_edges(graph, some)).x
        torch.testing.assert_close(frozen(graph.x, some), expected)
        assert not torch.allclose(expected, net.process(graph).x)


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("name", LAYERS)
def test_pygs_explainer_and_ours_find_the_same_weights(name, edges):
    net, graph = made(LAYERS[name](), edges)
    for reduce in ("mean", "max"):
        alpha = attention(net, graph, reduce)
        assert list(alpha) == [0]
        assert alpha[0].shape == (graph.num_edges,)
        torch.testing.assert_close(alpha[0], explained(net, graph, reduce))
    each = attention(net, graph, "none")[0]
    torch.testing.assert_close(each.mean(-1), attention(net, graph)[0])
    assert not net.layers["space"]._forward_pre_hooks
    assert all("register_message_forward_hook" not in vars(module) for module in net.modules())


@pytest.mark.parametrize("conv", [GATConv, GATv2Conv, TransformerConv])
@pytest.mark.parametrize("edges", EDGES)
def test_weights_are_those_that_the_convolution_returns(conv, edges):
    layer = GraphConv(conv(C, 2, heads=4), C)
    net, graph = made(layer, edges)
    alpha = attention(net, graph, "none")[0]
    _, (ran, weights) = layer.conv(graph.x, graph.edge_index, return_attention_weights=True)
    told = {(int(j), int(i)): weight for (j, i), weight in zip(ran.t(), weights, strict=True)}
    for (j, i), weight in zip(graph.edge_index.t(), alpha, strict=True):
        torch.testing.assert_close(weight, told[int(j), int(i)])


def test_weights_of_a_space_layer_are_what_its_messages_are_weighed_with():
    net, graph = made(SpaceLayer(C, gather=DotAttention(C, heads=2)), "grid")
    layer = net.layers["space"]
    alpha = attention(net, graph, "none")[0]
    torch.testing.assert_close(alpha, layer.weights(graph.x, graph))
    total = torch.zeros(graph.num_nodes, 2).double().index_add(0, graph.edge_index[1], alpha)
    torch.testing.assert_close(total, torch.ones_like(total))
    target, source = graph.edge_index[1], graph.edge_index[0]
    query, key = layer.gather.query(graph.x)[target], layer.gather.key(graph.x)[source]
    score = (query * key).unflatten(1, (2, 4)).sum(-1)
    node = target == 3
    torch.testing.assert_close(alpha[node], score[node].softmax(0))


def test_every_round_has_weights_of_its_own():
    net, graph = made(GraphConv(GATv2Conv(C, C), C), "full", rounds=2)
    alpha = attention(net, graph)
    assert list(alpha) == [0, 2]
    assert not torch.allclose(alpha[0], alpha[2])
    both = torch.stack([alpha[0], alpha[2]], dim=-1)
    torch.testing.assert_close(explained(net, graph, "max"), both.amax(-1))


def test_layers_that_weigh_no_edges_are_left_out():
    net, graph = made(GraphConv(GCNConv(C, C), C), "full")
    assert attention(net, graph) == {}
    with pytest.raises(InputError, match="reduce: expected one of 'mean', 'max'"):
        attention(net, graph, "median")


def test_leaking_weights_are_told_too():
    layer = SpaceLayer(C, gather=LeakingDotAttention(C, heads=2))
    net, graph = made(layer, "grid")
    alpha = attention(net, graph, "none")[0]
    assert alpha.shape == (graph.num_edges, 2)
    torch.testing.assert_close(alpha.mean(-1), layer.attention(graph.x, graph))
    total = torch.zeros(graph.num_nodes, 2).double().index_add(0, graph.edge_index[1], alpha)
    assert (total < 1).all()


def test_two_attentions_of_a_stage_give_their_mean():
    net, graph = made(GraphConv(DirGNNConv(GATConv(C, C, add_self_loops=False)), C), "full")
    conv = net.layers["space"].conv
    flipped = graph.edge_index.flip(0)
    _, (_, there) = conv.conv_in(graph.x, graph.edge_index, return_attention_weights=True)
    _, (ran, back) = conv.conv_out(graph.x, flipped, return_attention_weights=True)
    told = {(int(j), int(i)): weight for (j, i), weight in zip(ran.t(), back, strict=True)}
    back = torch.stack([told[int(j), int(i)] for j, i in graph.edge_index.t()])
    torch.testing.assert_close(attention(net, graph)[0], ((there + back) / 2).squeeze(-1))


def test_weights_by_relation():
    conv = RGATConv(C, C, num_relations=2)
    layer = GraphConv(conv, C, {"edge_type": "edge_type"})
    net, graph = made(SpaceLayer(C), "full")
    graph.edge_type = torch.arange(graph.num_edges) % 2
    net.layers["space"] = layer.double().eval()
    _, (_, alpha) = conv(graph.x, graph.edge_index, graph.edge_type, return_attention_weights=True)
    torch.testing.assert_close(attention(net, graph)[0], alpha.mean(-1))


@pytest.mark.parametrize("gather", [DotAttention, LeakingDotAttention])
def test_weights_of_a_homogeneous_layer_are_those_of_its_edges_in_space(gather):
    """In the first frame a node hears no past, so there they are those of its space layer."""
    layer = HomogeneousLayer(SpaceLayer(C, gather=gather(C, heads=2)))
    net, graph = made(layer, "grid", rounds=2)
    assert list(attention(net, graph)) == [0, 2]
    each = attention(net, graph, "none")[0]
    target, source = graph.edge_index[1], graph.edge_index[0]
    first = graph.time[target] == 0
    torch.testing.assert_close(each[first], layer.space.weights(graph.x, graph)[first])
    torch.testing.assert_close(each.mean(-1), layer.attention(graph.x, graph))
    if layer.space.gather.leaks:
        return
    # Later on a node hears itself of a frame ago too, in one softmax with the others.
    rows = first.logical_not().nonzero().squeeze(1)
    query, key = layer.space.gather.ends(graph.x)
    nodes = graph.num_nodes // graph.num_graphs
    score = layer.space.gather.score(query[target], key[source])  # [E, heads]
    own = layer.space.gather.score(query[nodes:], key[:-nodes])  # [V - N, heads]
    for edge in rows[::7].tolist():
        node = int(target[edge])
        total = score[target == node].exp().sum(0) + own[node - nodes].exp()
        torch.testing.assert_close(each[edge], score[edge].exp() / total)


def test_a_layer_of_ones_own_along_time_tells_its_weights():
    class Halves(TemporalLayer):
        def forward(self, x, graph, state=None):
            return x, state

        def weights(self, x, graph):
            return torch.full((graph.edge_index.size(1), 2), 0.5)

    net = SpaceTimeGraph(GridNodes(8, (2,), edges=FullEdges()), {"own": Halves()}, ("own",))
    graph = net(torch.randn(1, 2, 8, 6, 6)).graph
    assert torch.equal(attention(net, graph)[0], torch.full((32,), 0.5))
    assert attention(net, graph, "sum")[0].unique().tolist() == [1.0]
    with pytest.raises(InputError, match=r"layers\['own'\]: expected a layer whose messages run"):
        Frozen(net, graph)


def test_common_fate_is_no_layer_that_pygs_explainers_can_ask():
    layers = {"fate": CommonFate(8)}
    net = SpaceTimeGraph(GridNodes(8, (2,), edges=FullEdges()), layers, ("fate",))
    with pytest.raises(InputError, match=r"layers\['fate'\]"):
        Frozen(net, net(torch.randn(1, 2, 8, 6, 6)).graph)


def test_edges_that_a_convolution_does_not_run_have_no_weight():
    """One that leaves out what the graph has, and adds loops of its own, in another order."""
    run = torch.tensor([[3, 0, 1, 2, 0], [1, 0, 2, 2, 3]])
    alpha = torch.tensor([[0.1, 0.5], [0.2, 0.6], [0.3, 0.7], [0.4, 0.8], [0.9, 1.0]])
    edges = torch.tensor([[0, 3, 1, 2, 3], [3, 1, 2, 1, 3]])
    expected = torch.tensor([[0.9, 1.0], [0.1, 0.5], [0.3, 0.7], [0.0, 0.0], [0.0, 0.0]])
    assert torch.equal(_of_graph(alpha, run, edges), expected)
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert torch.equal(_of_graph(alpha[:0], none, edges), torch.zeros(5, 2))
    assert _of_graph(alpha, run, none).shape == (0, 2)
