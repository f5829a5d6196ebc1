from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges
from stgraph.graph import Layout, frame_graphs, presence, to_dense
from stgraph.layers import (
    AddUpdate,
    AttentionTime,
    ClipMeanTime,
    ConcatSend,
    DotAttention,
    GaussianMaps,
    HomogeneousLayer,
    LeakingDotAttention,
    MeanTime,
    MLPUpdate,
    ScaleUpdate,
    SpaceLayer,
    TimeLayer,
)

CAUSAL = {
    "gru": lambda: TimeLayer(nn.GRU(8, 5)),
    "lstm": lambda: TimeLayer(nn.LSTM(8, 5, num_layers=2)),
    "gru that forgets": lambda: TimeLayer(nn.GRU(8, 5, num_layers=2), forget_after=1),
    "lstm that forgets": lambda: TimeLayer(nn.LSTM(8, 5), forget_after=0),
    "mean": MeanTime,
    "attention": lambda: AttentionTime(8, window=3, heads=2),
    "attention to now": lambda: AttentionTime(8, window=1),
    "attention to all": lambda: AttentionTime(8, window=20),
    "homogeneous": lambda: HomogeneousLayer(SpaceLayer(8)),
    "homogeneous, positions": lambda: HomogeneousLayer(
        SpaceLayer(
            8,
            ConcatSend(8, position=GaussianMaps(6)),
            DotAttention(8, heads=2),
            ScaleUpdate(8, (3, 2, 1)),
        )
    ),
    "homogeneous, leaking": lambda: HomogeneousLayer(
        SpaceLayer(8, gather=LeakingDotAttention(8), update=MLPUpdate(8))
    ),
}
EDGES = {"full": FullEdges(), "grid": GridEdges()}


def clip(mask: torch.Tensor | None = None, edges="grid", frames=7, dtype=torch.float64):
    """Frames of two clips of 14 nodes, and a function that cuts a piece of them out."""
    x = torch.randn(2, frames, 14, 8, dtype=dtype)
    box = torch.rand(2, frames, 14, 4, dtype=torch.float32).sort(-1).values.to(dtype)

    def piece(first=0, last=frames):
        fields = {"x": x[:, first:last], "box": box[:, first:last]}
        layout = Layout(2, last - first, 14, 4, 4)
        part = None if mask is None else mask[:, first:last]
        return EDGES[edges](frame_graphs(fields, layout, part, first))

    return piece


def gaps(frames=7) -> torch.Tensor:
    mask = torch.rand(2, frames, 14) > 0.5
    mask[0, 1] = False  # a frame without nodes
    mask[:, :, 5] = False  # an identity that never appears
    mask[1, 2:5, 3], mask[1, [1, 5], 3] = False, True  # three frames away, and back
    return mask


def random(layer):
    layer = layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("mask", [None, gaps], ids=["all", "some"])
@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("cuts", [range(8), (0, 3, 4, 7)])
def test_streaming_equals_offline(name, mask, edges, cuts):
    layer, piece = random(CAUSAL[name]()), clip(mask and mask(), edges)
    whole = piece()
    expected, end = layer(whole.x, whole)
    state, pieces = None, []
    for first, last in pairwise(cuts):
        graph = piece(first, last)
        x, state = layer(graph.x, graph, state)
        pieces.append(to_dense(x, graph))
    dense = to_dense(expected, whole)
    torch.testing.assert_close(torch.cat(pieces, 1), dense, atol=1e-10, rtol=0)
    torch.testing.assert_close(tuple(state), tuple(end), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_does_not_change_the_past(name):
    layer, graph = random(CAUSAL[name]()), clip(gaps())()
    out, _ = layer(graph.x, graph)
    late = graph.time >= 4
    changed, _ = layer(torch.where(late[:, None], torch.randn_like(graph.x), graph.x), graph)
    torch.testing.assert_close(changed[~late], out[~late])
    assert not torch.allclose(changed[late], out[late])


@pytest.mark.parametrize("name", [*CAUSAL, "clip mean"])
def test_clips_do_not_touch_each_other(name):
    layer = random((CAUSAL | {"clip mean": ClipMeanTime})[name]())
    graph = clip(gaps())()
    out, _ = layer(graph.x, graph)
    other = graph.batch >= 7
    changed, _ = layer(torch.where(other[:, None], torch.randn_like(graph.x), graph.x), graph)
    torch.testing.assert_close(changed[~other], out[~other])


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("mask", [gaps, lambda: torch.zeros(2, 7, 14, dtype=torch.bool)])
def test_absence_gives_no_nan(name, mask):
    layer, graph = random(CAUSAL[name]()), clip(mask())()
    x = graph.x.clone().requires_grad_()
    out, state = layer(x, graph)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)
    assert all(part.isfinite().all() for part in state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [*CAUSAL, "clip mean"])
def test_half_precision_gives_no_nan(name, dtype):
    layer = (CAUSAL | {"clip mean": ClipMeanTime})[name]().to(dtype)
    graph = clip(gaps(), dtype=dtype)()
    out, _ = layer(graph.x, graph)
    assert out.dtype == dtype
    assert out.isfinite().all()


@pytest.mark.parametrize("name", CAUSAL)
def test_absent_nodes_have_no_part_in_it(name):
    """What a slot holds while its node is absent is not read."""
    layer, mask = random(CAUSAL[name]()), gaps()
    x = torch.randn(2, 7, 14, 8, dtype=torch.float64)
    box = torch.rand(2, 7, 14, 4, dtype=torch.float64)
    other = torch.where(mask[..., None], x, 9.0)
    outs = []
    for values in (x, other):
        graph = GridEdges()(frame_graphs({"x": values, "box": box}, Layout(2, 7, 14, 4, 4), mask))
        outs.append(layer(graph.x, graph)[0])
    assert torch.equal(outs[0], outs[1])


@pytest.mark.parametrize("name", [name for name in CAUSAL if "positions" not in name])
def test_an_identity_that_is_never_there_changes_nothing(name):
    """Nor do its empty slots, to norms and to attention that leaks."""
    layer, mask = random(CAUSAL[name]()), gaps()
    mask[:, :, 9:] = False
    x = torch.randn(2, 7, 14, 8, dtype=torch.float64)
    outs = []
    for nodes in (9, 14):
        layout = Layout(2, 7, nodes, 4, 4)
        graph = FullEdges()(frame_graphs({"x": x[:, :, :nodes]}, layout, mask[:, :, :nodes]))
        outs.append(layer(graph.x, graph)[0])
    torch.testing.assert_close(outs[1], outs[0])


@pytest.mark.parametrize("cell", [nn.GRU(8, 5), nn.LSTM(8, 5, num_layers=2)])
def test_every_identity_runs_by_itself(graph, cell):
    layer = TimeLayer(cell).double()
    out, _ = layer(graph.x, graph)
    dense, here = to_dense(out, graph), presence(graph)
    x = to_dense(graph.x, graph)
    for clip in range(2):
        for node in (0, 5, 9):
            frames = torch.arange(3) if here is None else here[clip, :, node].nonzero()[:, 0]
            if len(frames):
                alone, _ = cell(x[clip, frames, node][:, None])
                torch.testing.assert_close(dense[clip, frames, node], alone[:, 0])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize(("after", "fresh"), [(3, False), (2, True), (None, False)])
def test_a_memory_outlasts_short_absences_only(kind, after, fresh):
    cell = kind(8, 5).double()
    graph = clip(gaps())()  # node 3 of clip 1 is away for three frames, 2..4
    out, _ = TimeLayer(cell, after)(graph.x, graph)
    x, dense = to_dense(graph.x, graph)[1, :, 3], to_dense(out, graph)[1, :, 3]
    if fresh:
        torch.testing.assert_close(dense[5], cell(x[5][None])[0][0])
    else:
        frames = presence(graph)[1, :6, 3].nonzero()[:, 0]
        torch.testing.assert_close(dense[5], cell(x[frames])[0][-1])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_piece_in_which_all_are_there_knows_who_was_away(name):
    layer, mask = random(CAUSAL[name]()), gaps()
    mask[:, 5:] = True
    whole, _ = layer((graph := clip(mask)()).x, graph)
    x = to_dense(graph.x, graph)
    box = to_dense(graph.box, graph)
    outs, state = [], None
    for first, last in ((0, 5), (5, 7)):
        fields = {"x": x[:, first:last], "box": box[:, first:last]}
        part = mask[:, first:last] if first == 0 else None
        layout = Layout(2, last - first, 14, 4, 4)
        piece = EDGES["grid"](frame_graphs(fields, layout, part, first))
        out, state = layer(piece.x, piece, state)
        outs.append(to_dense(out, piece))
    torch.testing.assert_close(torch.cat(outs, dim=1), to_dense(whole, graph))


def test_nothing_is_forgotten_where_all_are_there():
    layer, graph = TimeLayer(nn.LSTM(8, 5), forget_after=0).double(), clip()()
    plain = TimeLayer(layer.cell)
    out, (*memory, away) = layer(graph.x, graph)
    expected, state = plain(graph.x, graph)
    assert torch.equal(out, expected)
    torch.testing.assert_close(tuple(memory), state)
    assert away.eq(0).all()


@pytest.mark.parametrize("mask", [None, gaps], ids=["all", "some"])
def test_means_are_those_of_the_frames_with_the_node(mask):
    graph = clip(mask and mask())()
    x, here = to_dense(graph.x, graph), presence(graph)
    here = torch.ones(x.shape[:3], dtype=torch.bool) if here is None else here
    so_far = to_dense(MeanTime()(graph.x, graph)[0], graph)
    of_clip = to_dense(ClipMeanTime()(graph.x, graph)[0], graph)
    for clip_, frame, node in here.nonzero().tolist():
        there = here[clip_, :, node]
        expected = x[clip_, there, node].mean(0)
        torch.testing.assert_close(of_clip[clip_, frame, node], expected)
        there = there[: frame + 1]
        expected = x[clip_, : frame + 1][there, node].mean(0)
        torch.testing.assert_close(so_far[clip_, frame, node], expected)


@pytest.mark.parametrize("window", [1, 3, 20])
@pytest.mark.parametrize("mask", [None, gaps], ids=["all", "some"])
def test_attention_over_time_is_the_printed_equation(window, mask):
    layer, graph = random(AttentionTime(8, window, heads=2)), clip(mask and mask())()
    x, here = to_dense(graph.x, graph), presence(graph)
    here = torch.ones(x.shape[:3], dtype=torch.bool) if here is None else here
    out = to_dense(layer(graph.x, graph)[0], graph)
    query, key, value = layer.in_proj(x).chunk(3, -1)
    for b, t, n in here.nonzero().tolist():
        seen = [s for s in range(max(0, t - window + 1), t + 1) if here[b, s, n]]
        mixed = []
        for head in (slice(0, 4), slice(4, 8)):
            score = key[b, seen, n, head] @ query[b, t, n, head] / 2
            past = [window - 1 - (t - s) for s in seen]
            alpha = (score + layer.relative[head.start // 4, past]).softmax(0)
            mixed.append(alpha @ value[b, seen, n, head])
        expected = x[b, t, n] + layer.out_proj(torch.cat(mixed))
        torch.testing.assert_close(out[b, t, n], expected)


@pytest.mark.parametrize("mask", [None, gaps], ids=["all", "some"])
@pytest.mark.parametrize("edges", EDGES)
def test_homogeneous_messages_are_those_of_one_more_neighbour(mask, edges):
    """Against a loop over nodes: in space and from a frame ago, with the same parameters."""
    space = SpaceLayer(8, ConcatSend(8, norm=None), update=AddUpdate(8, norm=None)).double()
    layer, graph = random(HomogeneousLayer(space)), clip(mask and mask(), edges)()
    out, _ = layer(graph.x, graph)
    row = torch.full((2 * 7 * 14,), -1)
    row[graph.batch * 14 + graph.node_id] = torch.arange(graph.num_nodes)
    x, send, gather = graph.x, space.send, space.gather
    for i in range(graph.num_nodes):
        sources = graph.edge_index[0, graph.edge_index[1] == i].tolist()
        if (
            graph.time[i] > 0
            and (before := int(row[(graph.batch[i] - 1) * 14 + graph.node_id[i]])) >= 0
        ):
            sources.append(before)
        total = torch.zeros(8).double()
        if sources:
            score = torch.stack([gather.query(x[i]) @ gather.key(x[j]) for j in sources])
            both = [torch.cat([x[j], x[i]]) for j in sources]
            messages = [send.second(send.first(end).relu()).relu() for end in both]
            total = score.softmax(0) @ torch.stack(messages)
        torch.testing.assert_close(out[i], x[i] + (total + gather.bias).relu())


def test_a_node_that_is_gone_sends_itself_nothing():
    layer = random(HomogeneousLayer(SpaceLayer(8)))  # whose messages are normed over a frame
    mask = torch.ones(2, 7, 14, dtype=torch.bool)
    mask[:, 3, :5] = False
    piece = clip(mask)
    _, state = layer((before := piece(0, 3)).x, before)
    after = piece(3, 4)
    known = state._replace(present=state.present & mask[:, 3])
    torch.testing.assert_close(layer(after.x, after, state)[0], layer(after.x, after, known)[0])


def test_the_first_frame_of_a_homogeneous_layer_is_a_space_layer(graph):
    layer = random(HomogeneousLayer(SpaceLayer(8, path="dense")))
    first = graph.time == 0
    out, _ = layer(graph.x, graph)
    torch.testing.assert_close(out[first], layer.space(graph.x, graph)[first])


@pytest.mark.parametrize("name", CAUSAL)
def test_states_that_do_not_fit_are_refused(name):
    layer, graph = random(CAUSAL[name]()), clip()()
    _, state = layer(graph.x, graph)
    one = graph[0]
    with pytest.raises(InputError, match="state: expected"):
        layer(one.x, one, state)  # of two clips
    with pytest.raises(InputError, match="state: expected"):
        layer(graph.x, graph, "h")


def test_bad_input_is_refused(graph):
    with pytest.raises(InputError, match=r"cell: expected a torch\.nn\.GRU or torch\.nn\.LSTM"):
        TimeLayer(nn.Linear(8, 8))
    with pytest.raises(InputError, match=r"x: expected \[V, 9\]"):
        TimeLayer(nn.GRU(9, 9))(graph.x, graph)
    with pytest.raises(InputError, match=r"x: expected \[V, 9\]"):
        AttentionTime(9, 2)(graph.x, graph)
    with pytest.raises(InputError, match="forget_after: expected a whole number of at least 0"):
        TimeLayer(nn.GRU(8, 8), forget_after=-1)
    with pytest.raises(InputError, match="window: expected a whole number of at least 1, got 0"):
        AttentionTime(8, 0)
    with pytest.raises(InputError, match="heads: expected a divisor of 8 channels, got 3"):
        AttentionTime(8, 2, heads=3)
    with pytest.raises(InputError, match="space: expected a SpaceLayer, got Linear"):
        HomogeneousLayer(nn.Linear(8, 8))
    with pytest.raises(InputError, match="space: expected a SpaceLayer with path"):
        HomogeneousLayer(SpaceLayer(8, path="sparse"))
    with pytest.raises(InputError, match="state: expected None: ClipMeanTime needs the whole clip"):
        ClipMeanTime()(graph.x, graph, ())


@pytest.mark.parametrize("name", CAUSAL)
def test_forward_leaves_nothing_on_the_module(name):
    layer, graph = random(CAUSAL[name]()), clip()()
    before = deepcopy(layer.state_dict()), set(vars(layer))
    layer(graph.x, graph)
    assert set(vars(layer)) == before[1]
    torch.testing.assert_close(layer.state_dict(), before[0])
