from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.graph import Layout, frame_graphs, to_dense
from stgraph.layers import Displacement


def graph_of(pos: torch.Tensor, mask: torch.Tensor | None = None):
    clips, frames, nodes, _ = pos.shape
    fields = {
        "x": pos.new_zeros(clips, frames, nodes, 2),
        "pos": pos,
        "box": torch.cat([pos, pos], dim=-1),
        "kernel": pos.new_ones(clips, frames, nodes, 1, 1),
        "mass": pos.new_ones(clips, frames, nodes),
    }
    return frame_graphs(fields, Layout(clips, frames, nodes, 1, 1), mask)


def moved(pos, mask=None, gain=1.0, state=None):
    """What is added to the nodes, with W the identity ``[B, T, N, 2]``."""
    layer = Displacement(2, gain).to(pos.dtype)
    torch.nn.init.eye_(layer.linear.weight)
    graph = graph_of(pos, mask)
    x, state = layer(graph.x, graph, state)
    return to_dense(x, graph), state


def test_it_adds_how_far_the_centre_moved_times_the_gain():
    pos = torch.rand(2, 4, 3, 2, dtype=torch.float64)
    added, _ = moved(pos, gain=10.0)
    expected = 10 * torch.cat([torch.zeros_like(pos[:, :1]), pos.diff(dim=1)], dim=1)
    torch.testing.assert_close(added, expected)


def test_a_node_has_not_moved_in_its_first_frame_and_goes_on_from_where_it_was_last_seen():
    pos = torch.tensor([0.1, 0.2, 0.4, 0.8, 0.9]).view(1, 5, 1, 1).expand(1, 5, 1, 2)
    here = torch.tensor([False, True, False, True, True]).view(1, 5, 1)
    added, state = moved(pos, here)
    torch.testing.assert_close(added[0, :, 0, 0], torch.tensor([0, 0, 0, 0.6, 0.1]))
    away, kept = moved(pos[:, :2], here[:, :1].expand(1, 2, 1), state=state)
    assert not away.any()
    torch.testing.assert_close(kept, state)
    back, _ = moved(pos[:, :1], None, state=kept)
    torch.testing.assert_close(back[0, 0, 0, 0], torch.tensor(0.1 - 0.9))


def test_pieces_with_absent_nodes_are_the_whole():
    torch.manual_seed(0)
    pos, here = torch.rand(3, 6, 4, 2, dtype=torch.float64), torch.rand(3, 6, 4) > 0.4
    whole, end = moved(pos, here)
    state, pieces = None, []
    for first, last in ((0, 1), (1, 4), (4, 6)):
        piece, state = moved(pos[:, first:last], here[:, first:last], state=state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, end)


def test_what_does_not_fit_is_refused():
    pos = torch.rand(1, 2, 3, 2)
    layer, graph = Displacement(2), graph_of(pos)
    with pytest.raises(InputError, match="state: expected the LastSeen of an earlier call"):
        layer(graph.x, graph, torch.zeros(1))
    _, state = layer(graph.x, graph)
    other = graph_of(pos[:, :, :2])
    with pytest.raises(InputError, match=r"state\.pos: expected"):
        layer(other.x, other, state)
    graph.pos = None
    with pytest.raises(InputError, match="a `pos` for every node"):
        layer(graph.x, graph)
    with pytest.raises(InputError, match="gain"):
        Displacement(2, gain=0.0)
