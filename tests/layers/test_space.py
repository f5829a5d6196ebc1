from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import attach_edges, layout_of, slots, to_dense
from stgraph.layers import (
    AdditiveAttention,
    AddUpdate,
    ConcatSend,
    DotAttention,
    GaussianMaps,
    MeanGather,
    MLPUpdate,
    NodeNorm,
    SpaceLayer,
    SumSend,
)

SENDS = {
    "sum": lambda: SumSend(8),
    "sum, two layers, no norm": lambda: SumSend(8, layers=2, norm=None),
    "concat": lambda: ConcatSend(8),
    "positions": lambda: ConcatSend(8, layers=1, norm=None, position=GaussianMaps(6)),
}
GATHERS = {"dot": DotAttention, "additive": AdditiveAttention, "mean": MeanGather}
UPDATES = {
    "add": lambda: AddUpdate(8),
    "mlp": lambda: MLPUpdate(8),
    "mlp, no norm": lambda: MLPUpdate(8, layers=1, norm=None),
}


def layer(send="sum", gather="dot", update="add", path="auto") -> SpaceLayer:
    made = SpaceLayer(8, SENDS[send](), GATHERS[gather](8), UPDATES[update](), path).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def both(space: SpaceLayer) -> tuple[SpaceLayer, SpaceLayer]:
    dense, sparse = deepcopy(space), deepcopy(space)
    dense.path, sparse.path = "dense", "sparse"
    return dense, sparse


@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("gather", GATHERS)
@pytest.mark.parametrize("update", UPDATES)
def test_dense_equals_sparse(graph, send, gather, update):
    results = []
    for one in both(layer(send, gather, update)):
        x = graph.x.clone().requires_grad_()
        out = one(x, graph)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        grads = {name: p.grad for name, p in one.named_parameters() if p.grad is not None}
        results.append((out.detach(), x.grad, grads))
    (out, grad, grads), (other, other_grad, other_grads) = results
    torch.testing.assert_close(out, other)
    torch.testing.assert_close(grad, other_grad)
    assert set(grads) == set(other_grads)
    for name in grads:
        torch.testing.assert_close(grads[name], other_grads[name], atol=1e-9, rtol=1e-7)


def test_a_round_is_the_printed_equations():
    """Against loops over nodes, on one small full graph without norms."""
    from stgraph.graph import Layout, frame_graphs

    graph = FullEdges()(
        frame_graphs({"x": torch.randn(1, 1, 4, 8).double()}, Layout(1, 1, 4, 2, 2))
    )
    space = SpaceLayer(8, SumSend(8, norm=None), update=AddUpdate(8, norm=None)).double()
    nn.init.normal_(space.gather.bias)
    x, send, gather = graph.x, space.send.first, space.gather
    for i in range(4):
        score = torch.stack([gather.query(x[i]) @ gather.key(x[j]) for j in range(4)])
        alpha = score.softmax(0)
        total = sum(alpha[j] * send(x[i] + x[j]).relu() for j in range(4))
        expected = x[i] + (total + gather.bias).relu()
        torch.testing.assert_close(space(x, graph)[i], expected)


@pytest.mark.parametrize("path", ["dense", "sparse"])
@pytest.mark.parametrize("gather", GATHERS)
def test_renaming_the_nodes_renames_the_result(path, gather):
    from stgraph.graph import Layout, frame_graphs

    x, order = torch.randn(2, 3, 6, 8).double(), torch.randperm(6)
    layout = Layout(2, 3, 6, 2, 2)
    box = torch.rand(2, 3, 6, 4).double().sort(-1).values
    first = FullEdges()(frame_graphs({"x": x, "box": box}, layout))
    second = FullEdges()(frame_graphs({"x": x[:, :, order], "box": box[:, :, order]}, layout))
    space = layer("positions", gather, "mlp", path)
    out = to_dense(space(first.x, first), first)
    again = to_dense(space(second.x, second), second)
    torch.testing.assert_close(again, out[:, :, order])


def test_frames_do_not_touch_each_other(graph):
    space = layer()
    out = space(graph.x, graph)
    frame = 2
    x = torch.where((graph.batch == frame)[:, None], graph.x, torch.randn_like(graph.x))
    changed = space(x, graph)
    here = graph.batch == frame
    torch.testing.assert_close(changed[here], out[here])


def test_attention_weighs_the_edges_of_each_target(graph):
    space = layer()
    alpha = space.attention(graph.x, graph)
    total = torch.zeros(graph.num_nodes).double().index_add(0, graph.edge_index[1], alpha)
    has_edges = torch.zeros(graph.num_nodes).double()
    has_edges[graph.edge_index[1]] = 1
    torch.testing.assert_close(total, has_edges)
    layout = layout_of(graph)
    _, pairs = space._dense(graph.x, graph)
    row = torch.arange(graph.num_nodes) if slots(graph) is None else slots(graph)
    source, target = row[graph.edge_index]
    picked = pairs[target // layout.nodes, target % layout.nodes, source % layout.nodes]
    torch.testing.assert_close(picked, alpha)


def test_norms_are_those_of_a_frame(graph):
    norm = NodeNorm(8).double()
    out = norm(graph.x, graph)
    for frame in range(6):
        one = graph.x[graph.batch == frame]
        if one.numel():
            expected = (one - one.mean()) / (one.var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(out[graph.batch == frame], expected)


def test_empty_frames_give_no_nan(graph):
    for path in ("dense", "sparse"):
        x = graph.x.clone().requires_grad_()
        out = layer(path=path)(x, graph)
        out.sum().backward()
        assert out.isfinite().all()
        assert x.grad.isfinite().all()


def test_bad_input_is_refused(graph):
    space = layer()
    with pytest.raises(InputError, match=r"x: expected \[V, 8\], got"):
        space(torch.zeros(graph.num_nodes, 9).double(), graph)
    with pytest.raises(InputError, match="a row a node"):
        space(torch.zeros(graph.num_nodes + 1, 8).double(), graph)
    bare = attach_edges(graph, graph.edge_index)
    del bare.edge_index
    with pytest.raises(InputError, match="graph: expected edges"):
        space(graph.x, bare)
    with pytest.raises(InputError, match="path: expected one of 'auto', 'dense', 'sparse'"):
        SpaceLayer(8, path="fast")
    with pytest.raises(InputError, match="gather: expected a part of 8 channels, got one of 4"):
        SpaceLayer(8, gather=DotAttention(4))
    with pytest.raises(InputError, match="layers: expected one of 1, 2, got 3"):
        SumSend(8, layers=3)


@pytest.mark.parametrize("path", ["dense", "sparse"])
def test_a_single_frame_is_a_graph_too(graph, path):
    space = layer(path=path)
    out = space(graph.x, graph)
    for frame in (0, 5):
        one = graph[frame]
        torch.testing.assert_close(space(one.x, one), out[graph.batch == frame])
