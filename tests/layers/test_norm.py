"""Norms of nodes: over a frame, over a clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stgraph import SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import presence, to_dense
from stgraph.layers import ClipNorm, ConcatSend, FrameNorm, NodeNorm, RowNorm, SpaceLayer
from stgraph.nodes import GridNodes


def awake(norm: FrameNorm) -> FrameNorm:
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.double()


def by_hand(values: torch.Tensor, norm: FrameNorm, eps: float) -> torch.Tensor:
    """Rows ``[R, C]`` normalised together."""
    centred = values - values.mean()
    return centred / (centred.square().mean() + eps).sqrt() * norm.weight + norm.bias


def test_a_row_is_normalised_by_its_own_mean_and_variance():
    norm = awake(RowNorm(8, 0.3))
    x = torch.randn(5, 3, 8, dtype=torch.float64) * 3 + 1
    expected = torch.stack([by_hand(row, norm, 0.3) for row in x.flatten(0, 1)]).view_as(x)
    torch.testing.assert_close(norm.dense(x), expected, rtol=1e-12, atol=1e-12)
    rows, frame = x.flatten(0, 1), torch.arange(15) // 4
    same = norm(rows, frame, 4), norm.dense(x, torch.rand(5, 3) < 0.5).flatten(0, 1)
    for other in same:  # whatever else is in the frame
        torch.testing.assert_close(other, expected.flatten(0, 1), rtol=1e-12, atol=1e-12)


def test_messages_that_are_normalised_by_themselves_are_the_same_dense_and_sparse(graph):
    graph = FullEdges()(graph)
    x = torch.randn_like(graph.x)
    layer = SpaceLayer(8, ConcatSend(8, norm=RowNorm)).double()
    awake(layer.send.norm)
    dense = layer(x, graph)
    layer.path = "sparse"
    torch.testing.assert_close(layer(x, graph), dense, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.3])
def test_a_clip_is_normalised_by_its_mean_and_variance(graph, eps):
    norm = awake(ClipNorm(8, eps))
    x = torch.randn_like(graph.x) * 3 + 1
    out, state = norm(x, graph)
    assert state is None
    given, came, here = to_dense(x, graph), to_dense(out, graph), presence(graph)
    for clip in range(2):
        present = torch.ones(3, 14, dtype=torch.bool) if here is None else here[clip]
        expected = by_hand(given[clip][present], norm, eps)
        torch.testing.assert_close(came[clip][present], expected, rtol=1e-12, atol=1e-12)


def test_it_is_the_layer_norm_of_everything_but_the_batch(make_graph):
    graph = make_graph(FullEdges())
    expected = F.layer_norm(graph.x.reshape(2, 3, 14, 8), (3, 14, 8), eps=1e-12)
    out, _ = ClipNorm(8, 1e-12).double()(graph.x, graph)
    torch.testing.assert_close(out.reshape(2, 3, 14, 8), expected)
    frames = NodeNorm(8, 1e-12).double()(graph.x, graph)
    assert (frames - out).abs().max() > 0.01


def test_a_frame_sees_later_ones_so_a_state_is_refused(make_graph):
    graph = make_graph(FullEdges())
    with pytest.raises(InputError, match="state: expected None: ClipNorm needs the whole clip"):
        ClipNorm(8).double()(graph.x, graph, torch.zeros(1))
    net = SpaceTimeGraph(GridNodes(8, (2,)), {"norm": ClipNorm(8)}, ("norm",))
    assert not net.causal
    _, _, state = net(torch.randn(1, 2, 8, 4, 4))
    with pytest.raises(InputError, match=r"state: expected None: \['layers.norm'\] need the whole"):
        net(torch.randn(1, 2, 8, 4, 4), state)


def test_another_number_of_rows_is_refused(graph):
    with pytest.raises(InputError, match=r"x: expected \[\d+, \.\.\.\] \(a row a node\)"):
        ClipNorm(8).double()(graph.x[1:], graph)


def test_what_it_was_made_with_is_shown():
    assert repr(ClipNorm(8, 1e-12)) == "ClipNorm(8, eps=1e-12)"
