from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges, RadiusEdges, grid_adjacency
from stgraph.graph import attach_edges, layout_of, slots, to_dense
from stgraph.layers import (
    AdditiveAttention,
    AddUpdate,
    BoxPosition,
    ConcatSend,
    DotAttention,
    FrameNorm,
    GaussianMaps,
    KernelEmbedding,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MeanGather,
    MLPUpdate,
    NodeNorm,
    RawDotAttention,
    ReplaceUpdate,
    ScaleUpdate,
    SpaceLayer,
    SumGather,
    SumSend,
    SumUpdate,
)
from stgraph.nodes import GridNodes

SENDS = {
    "sum": lambda: SumSend(8),
    "sum, two layers, no norm": lambda: SumSend(8, layers=2, norm=None),
    "concat": lambda: ConcatSend(8),
    "positions": lambda: ConcatSend(8, layers=1, norm=None, position=GaussianMaps(6)),
    "kernels": lambda: ConcatSend(8, position=KernelEmbedding(3, 5, 6)),
    "boxes of senders": lambda: ConcatSend(8, position=BoxPosition(), position_of="sender"),
}
GATHERS = {
    "dot": DotAttention,
    "dot, heads": lambda channels: DotAttention(channels, heads=4, scale=0.5),
    "dot, norm": lambda channels: DotAttention(channels, norm=FrameNorm),
    "additive": AdditiveAttention,
    "additive, heads": lambda channels: AdditiveAttention(channels, heads=2, norm=FrameNorm),
    "raw": RawDotAttention,
    "raw, heads": lambda channels: RawDotAttention(channels, heads=2),
    "mean": MeanGather,
    "sum": SumGather,
}
LEAKING = {
    "dot": LeakingDotAttention,
    "dot, heads": lambda channels: LeakingDotAttention(channels, heads=2),
    "additive": LeakingAdditiveAttention,
    "additive, heads": lambda channels: LeakingAdditiveAttention(channels, 2, norm=FrameNorm),
}
UPDATES = {
    "add": lambda: AddUpdate(8),
    "replace": lambda: ReplaceUpdate(8),
    "sum": lambda: SumUpdate(8, layers=2),
    "mlp": lambda: MLPUpdate(8),
    "mlp, no norm": lambda: MLPUpdate(8, layers=1, norm=None),
    "scale": lambda: ScaleUpdate(8, (3, 2, 1)),
}


def layer(send="sum", gather="dot", update="add", path="auto") -> SpaceLayer:
    part = (GATHERS | {f"leaking {name}": part for name, part in LEAKING.items()})[gather]
    made = SpaceLayer(8, SENDS[send](), part(8), UPDATES[update](), path).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def both(space: SpaceLayer) -> tuple[SpaceLayer, SpaceLayer]:
    dense, sparse = deepcopy(space), deepcopy(space)
    dense.path, sparse.path = "dense", "sparse"
    return dense, sparse


@pytest.mark.parametrize(
    ("send", "gather", "update"),
    [(send, gather, "add") for send in SENDS for gather in GATHERS]
    + [("concat", gather, update) for gather in ("dot", "raw, heads") for update in UPDATES],
)
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


def loops(space: SpaceLayer, x: torch.Tensor, adjacency: torch.Tensor, weigh) -> torch.Tensor:
    """A round on one frame, node by node: ``weigh(scores, edges) → weights`` over all nodes j."""
    send, gather, update = space.send.first, space.gather, space.update_nodes
    gathered = []
    for i in range(len(x)):
        raw = torch.stack([gather.query(x[i]) * gather.key(x[j]) for j in range(len(x))])
        if isinstance(gather, AdditiveAttention):
            raw = torch.stack([gather.query(x[i]) + gather.key(x[j]) for j in range(len(x))])
        score = raw.unflatten(-1, (gather.heads, -1)).sum(-1)  # [N, heads]
        alpha = weigh(score, adjacency[i, :, None].double())
        alpha = alpha.repeat_interleave(8 // gather.heads, dim=1)  # each head on its channels
        gathered.append(sum(alpha[j] * send(x[i] + x[j]).relu() for j in range(len(x))))
    total = torch.stack(gathered)
    return update(x, total if gather.bias is None else (total + gather.bias).relu())


RULES = {
    "dot, heads": (DotAttention, lambda s, a: s.masked_fill(a == 0, -torch.inf).softmax(0)),
    "raw": (RawDotAttention, lambda s, a: s * a),
    "leaking dot": (LeakingDotAttention, lambda s, a: (a * s).softmax(0)),
    "leaking additive": (
        LeakingAdditiveAttention,
        lambda s, a: (nn.functional.leaky_relu(a * s, 0.2) + a).softmax(0),
    ),
}


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_weights_are_the_printed_ones(make_graph, rule, heads):
    """Against loops over nodes, on the 14 cells of RSTG's grids."""
    make, weigh = RULES[rule]
    graph = make_graph(GridEdges())[0]
    space = SpaceLayer(8, SumSend(8, norm=None), make(8, heads), AddUpdate(8, norm=None)).double()
    adjacency = grid_adjacency((3, 2, 1))
    torch.testing.assert_close(space(graph.x, graph), loops(space, graph.x, adjacency, weigh))


@pytest.mark.parametrize("kind", [DotAttention, RawDotAttention, LeakingDotAttention])
def test_scores_are_scaled_by_what_is_said(graph, kind):
    one, half = kind(8, heads=2, scale=1.0).double(), kind(8, heads=2, scale=0.5).double()
    half.load_state_dict(one.state_dict())
    (whole, halved) = [part.score(*part.ends(graph.x)) for part in (one, half)]
    torch.testing.assert_close(halved, whole / 2)
    whole, halved = [part.score_pairs(*part.ends(graph.x[None])) for part in (one, half)]
    torch.testing.assert_close(halved, whole / 2)


@pytest.mark.parametrize(
    "kind", [MeanGather, SumGather, DotAttention, AdditiveAttention, LeakingAdditiveAttention]
)
def test_what_is_gathered_is_normed_where_a_norm_is_given(graph, kind):
    torch.manual_seed(0)
    plain = SpaceLayer(8, gather=kind(8), update=ReplaceUpdate(8, norm=None)).double()
    normed = SpaceLayer(8, gather=kind(8, norm=FrameNorm), update=ReplaceUpdate(8, norm=None))
    normed.double().load_state_dict(plain.state_dict(), strict=False)
    assert isinstance(normed.gather.norm, FrameNorm)
    assert not torch.allclose(normed(graph.x, graph), plain(graph.x, graph))


def test_mean_and_sum_count_the_edges(graph):
    """Of messages that are all 1."""
    degrees = torch.zeros(graph.num_nodes).double()
    degrees = degrees.index_add(0, graph.edge_index[1], torch.ones(graph.num_edges).double())
    for part, expected in ((SumGather(8), degrees), (MeanGather(8), (degrees > 0).double())):
        for path in ("dense", "sparse"):
            send = SumSend(8, norm=None)
            space = SpaceLayer(8, send, part, ReplaceUpdate(8, norm=None), path).double()
            nn.init.zeros_(send.first.weight)
            nn.init.ones_(send.first.bias)
            out = space(graph.x, graph)
            torch.testing.assert_close(out, expected[:, None].expand_as(out))


@pytest.mark.parametrize("gather", LEAKING)
def test_leaking_attention_hears_all_that_are_present(graph, gather):
    space = layer(gather=f"leaking {gather}")
    _, alpha = space._dense(graph.x, graph)
    layout, row = layout_of(graph), slots(graph)
    here = torch.zeros(layout.slots, dtype=torch.bool)
    here[torch.arange(graph.num_nodes) if row is None else row] = True
    here = here.view(layout.graphs, layout.nodes)
    pairs = here[:, :, None] & here[:, None]
    assert torch.equal(alpha > 0, pairs[:, None].expand_as(alpha))
    torch.testing.assert_close(alpha.sum(-1), here[:, None].double().expand(alpha.shape[:3]))
    source, target = graph.edge_index if row is None else row[graph.edge_index]
    picked = alpha.mean(1)[target // layout.nodes, target % layout.nodes, source % layout.nodes]
    torch.testing.assert_close(space.attention(graph.x, graph), picked)
    with pytest.raises(InputError, match=r"path: expected 'auto' or 'dense', since Leaking.*Atten"):
        layer(gather=f"leaking {gather}", path="sparse")


def test_every_scale_has_an_update_of_its_own(graph):
    update = ScaleUpdate(8, (3, 2, 1), norm=None).double()
    space = SpaceLayer(8, update=update).double()
    out = space(graph.x, graph)
    nn.init.zeros_(update.mlps[1][2].weight)  # the last layer of the 2×2 grid: cells 9..12
    changed = space(graph.x, graph)
    of_two = (graph.node_id >= 9) & (graph.node_id < 13)
    assert changed[of_two].eq(0).all()
    assert torch.equal(changed[~of_two], out[~of_two])
    with pytest.raises(InputError, match=r"x: expected 5 identities \(scales \(2, 1\)\), got 14"):
        SpaceLayer(8, update=ScaleUpdate(8, (2, 1))).double()(graph.x, graph)


def test_positions_of_senders_alone_do_not_reach_the_target(make_graph):
    send = ConcatSend(8, position=BoxPosition(), position_of="sender").double()
    graph = make_graph(FullEdges())
    to, of = send.ends(graph.x, graph)
    graph.box = graph.box.flip(0)
    other_to, other_of = send.ends(graph.x, graph)
    assert torch.equal(to, other_to)
    assert not torch.allclose(of, other_of)
    assert send.first.in_features == 2 * 8 + 4


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


@pytest.mark.parametrize("gather", ["dot", "dot, heads", "additive", "mean"])
def test_attention_weighs_the_edges_of_each_target(graph, gather):
    space = layer(gather=gather)
    alpha = space.attention(graph.x, graph)
    total = torch.zeros(graph.num_nodes).double().index_add(0, graph.edge_index[1], alpha)
    has_edges = torch.zeros(graph.num_nodes).double()
    has_edges[graph.edge_index[1]] = 1
    torch.testing.assert_close(total, has_edges)
    layout = layout_of(graph)
    _, pairs = space._dense(graph.x, graph)
    row = torch.arange(graph.num_nodes) if slots(graph) is None else slots(graph)
    source, target = row[graph.edge_index]
    pairs = pairs.mean(dim=1)  # of the heads
    picked = pairs[target // layout.nodes, target % layout.nodes, source % layout.nodes]
    torch.testing.assert_close(picked, alpha)


class Squared(DotAttention):
    def weighted(self, alpha, message):
        return super().weighted(alpha.square(), message)


class Bounded(SumSend):
    def forward(self, total):
        return super().forward(total).tanh()


class Doubled(FrameNorm):
    def forward(self, x, frame, frames):
        return 2 * super().forward(x, frame, frames)

    def dense(self, x, mask=None):
        return 2 * super().dense(x, mask)


PARTS_OF_MY_OWN = {
    "gather": {"gather": lambda: Squared(8)},
    "gather of heads": {"gather": lambda: Squared(8, heads=2)},
    "gather with values": {"gather": lambda: DotAttention(8, 2, value=nn.Linear)},
    "send": {"send": lambda: Bounded(8)},
    "norm of messages": {"send": lambda: SumSend(8, norm=Doubled)},
}


@pytest.mark.parametrize("path", ["dense", "sparse"])
@pytest.mark.parametrize("name", PARTS_OF_MY_OWN)
def test_parts_of_ones_own_are_used_as_they_are(graph, name, path, monkeypatch):
    parts = {place: make() for place, make in PARTS_OF_MY_OWN[name].items()}
    layer = SpaceLayer(8, **parts, path=path).double()
    out = layer(graph.x, graph)
    monkeypatch.setattr(SpaceLayer, "_sums_up", lambda layer: False)  # messages one by one
    torch.testing.assert_close(layer(graph.x, graph), out)
    heads = getattr(parts.get("gather"), "heads", 1)
    plain = SpaceLayer(8, gather=DotAttention(8, heads), path=path).double()
    plain.load_state_dict(layer.state_dict(), strict=False)
    assert not torch.allclose(plain(graph.x, graph), out)


def test_norms_are_those_of_a_frame(graph):
    norm = NodeNorm(8).double()
    out = norm(graph.x, graph)
    for frame in range(6):
        one = graph.x[graph.batch == frame]
        if one.numel():
            expected = (one - one.mean()) / (one.var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(out[graph.batch == frame], expected)


@pytest.mark.parametrize("gather", [*GATHERS, *(f"leaking {name}" for name in LEAKING)])
def test_empty_frames_give_no_nan(graph, gather):
    for path in ("dense", "auto" if gather.startswith("leaking") else "sparse"):
        x = graph.x.clone().requires_grad_()
        out = layer(gather=gather, path=path)(x, graph)
        out.sum().backward()
        assert out.isfinite().all()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("gather", [*GATHERS, *(f"leaking {name}" for name in LEAKING)])
@pytest.mark.parametrize("update", ["add", "scale"])
def test_a_batch_without_any_node_gives_none(make_graph, gather, update):
    graph = make_graph(FullEdges(), torch.zeros(2, 3, 14, dtype=torch.bool))
    for path in ("dense", "auto" if gather.startswith("leaking") else "sparse"):
        assert layer("concat", gather, update, path)(graph.x, graph).shape == (0, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gather", [*GATHERS, *(f"leaking {name}" for name in LEAKING)])
def test_half_precision_gives_no_nan(graph, gather, dtype):
    graph.x = graph.x.to(dtype)
    for path in ("dense", "auto" if gather.startswith("leaking") else "sparse"):
        out = layer("positions", gather, "mlp", path).to(dtype)(graph.x, graph)
        assert out.dtype == dtype
        assert out.isfinite().all()


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
    with pytest.raises(InputError, match="heads: expected a divisor of 8 channels, got 3"):
        DotAttention(8, heads=3)
    with pytest.raises(InputError, match="scale: expected a number above 0"):
        DotAttention(8, scale=0.0)
    with pytest.raises(InputError, match="position_of: expected one of 'both', 'sender'"):
        ConcatSend(8, position=BoxPosition(), position_of="target")
    with pytest.raises(InputError, match="position: expected a module with `out_channels`"):
        ConcatSend(8, position=nn.Identity())
    with pytest.raises(InputError, match="scales: expected at least one grid side"):
        ScaleUpdate(8, ())


@pytest.mark.parametrize("path", ["dense", "sparse"])
def test_a_single_frame_is_a_graph_too(graph, path):
    space = layer(path=path)
    out = space(graph.x, graph)
    for frame in (0, 5):
        one = graph[frame]
        torch.testing.assert_close(space(one.x, one), out[graph.batch == frame])


@pytest.mark.parametrize("gather", [DotAttention, RawDotAttention, SumGather, MeanGather])
def test_large_features_without_neighbours_stay_finite_in_half(gather):
    """Frames without edges are masked whole; what is masked must not overflow."""
    features = 100 * torch.randn(2, 3, 16, 8, 8)
    nodes = GridNodes(16, (3,), edges=RadiusEdges(0.01))
    layer = SpaceLayer(16, gather=gather(16), path="dense").half()
    with torch.no_grad():
        graph, _ = nodes(features.half())
        x = graph.x * 30
        assert graph.num_edges == 0
        assert layer(x, graph).isfinite().all()


def test_masks_of_pygs_explainers_weigh_the_messages(graph):
    layer = SpaceLayer(8, update=ReplaceUpdate(8, norm=None), path="sparse").double()
    out, mask = layer(graph.x, graph), torch.zeros(graph.num_edges).double()
    set_masks(layer, nn.Parameter(mask), graph.edge_index, apply_sigmoid=False)
    silent = layer(graph.x, graph)
    clear_masks(layer)
    alone = layer.gather(torch.zeros_like(graph.x))  # nothing is heard
    torch.testing.assert_close(silent, alone)
    assert not torch.allclose(out, alone)
    torch.testing.assert_close(layer(graph.x, graph), out)


@pytest.mark.parametrize("make", [SumSend, ConcatSend])
def test_all_layers_of_messages_keep_the_scale_from_the_start(make):
    layer = SpaceLayer(256, make(256, layers=2))
    for linear in (layer.send.first, layer.send.second):
        assert linear.weight.std().item() == pytest.approx((2 / linear.in_features) ** 0.5, rel=0.1)
