from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.explain import attention
from stgraph.graph import Layout, attach_edges, frame_graphs, to_dense
from stgraph.layers import CommonFate
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import BoxNodes


def graph_of(
    pos: torch.Tensor,
    mask: torch.Tensor | None = None,
    mass: torch.Tensor | None = None,
    half: torch.Tensor | float = 0.0,
):
    """Frame graphs of nodes at these places, whose boxes have these half-sizes ``[…, 2]``."""
    clips, frames, nodes, _ = pos.shape
    fields = {
        "x": torch.linspace(-1, 1, nodes, dtype=pos.dtype)[:, None].expand(clips, frames, -1, 4),
        "pos": pos,
        "box": torch.cat([pos - half, pos + half], dim=-1),
        "kernel": pos.new_ones(clips, frames, nodes, 1, 1),
        "mass": pos.new_ones(clips, frames, nodes) if mass is None else mass,
    }
    return FullEdges()(frame_graphs(fields, Layout(clips, frames, nodes, 1, 1), mask))


def heard(layer: CommonFate, graph) -> torch.Tensor:
    """Weights of all pairs of a full graph ``[B, T, N, N]``, target first."""
    layout = graph.layout
    source, target = graph.edge_index
    alpha = layer.weights(graph.x, graph)[:, 0]
    pairs = alpha.new_zeros(layout.graphs * layout.nodes, layout.nodes)
    pairs[target, source % layout.nodes] = alpha
    return pairs.view(layout.clips, layout.frames, layout.nodes, layout.nodes)


def paths(frames: int = 6, nodes: int = 4) -> torch.Tensor:
    """Random ones ``[1, T, N, 2]``, of which the first two differ by an offset."""
    pos = torch.rand(1, frames, nodes, 2, dtype=torch.float64) * 0.8
    pos[:, :, 1] = pos[:, :, 0] + 0.1
    return pos


def test_its_weight_is_of_the_variance_of_the_offset_so_far():
    layer, pos = CommonFate(4, gain=3.0).double(), paths()
    mass = torch.rand(1, 6, 4, dtype=torch.float64) * 5
    half = torch.rand(1, 6, 4, 2, dtype=torch.float64) / 4
    graph = graph_of(pos, mass=mass, half=half)
    torch.nn.init.constant_(layer.narrowness, 0.7)
    found = heard(layer, graph)
    wide = (1 + 9 * 4 * half.prod(-1)).log()
    confident = layer.confidence[0] * mass.log() + layer.confidence[1] - 0.7 * wide
    confident = torch.sigmoid(confident)[0]
    says = torch.sigmoid(layer.source(to_dense(graph.x, graph)))[0, ..., 0]
    for t in range(6):
        for i in range(4):
            for j in range(4):
                weight = confident[: t + 1, i] * confident[: t + 1, j]
                offset = pos[0, : t + 1, i] - pos[0, : t + 1, j]
                mean = (weight[:, None] * offset).sum(0) / weight.sum()
                variance = (weight * (offset - mean).square().sum(1)).sum() / weight.sum()
                expected = torch.exp(-layer.sharpness.exp() * 9 * variance) * says[t, j] * (i != j)
                torch.testing.assert_close(found[0, t, i, j], expected, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("bias", [0.0, -8.0, -20.0, -90.0])
def test_who_is_hardly_there_moves_as_it_does(bias):
    """However small all confidences are, the variance is that of the offsets."""
    layer, sure, pos = CommonFate(4), CommonFate(4), paths().float()
    layer.load_state_dict(sure.state_dict())
    torch.nn.init.constant_(layer.confidence[1:], bias)
    found, expected = heard(layer, graph_of(pos)), heard(sure, graph_of(pos))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    x = graph_of(pos).x.requires_grad_()
    layer(x, graph_of(pos))[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_those_that_move_alike_hear_each_other_alone():
    torch.manual_seed(1)
    last = heard(CommonFate(4, gain=64.0).double(), graph_of(paths()))[0, -1]
    pair = torch.zeros(4, 4, dtype=torch.bool)
    pair[0, 1] = pair[1, 0] = True
    assert (last[pair] > 0.2).all()
    assert (last[~pair] < 1e-6).all()


def test_nodes_on_one_thing_do_not_hear_each_other():
    """Pairs whose mean offset so far is no longer than `apart`; others are as without it."""
    pos = torch.rand(2, 6, 4, 2, dtype=torch.float64) * 0.5
    pos[:, :, 1] = pos[:, :, 0] + 0.04 * torch.randn(2, 6, 2).double()  # on one thing
    pos[:, :, 2] = pos[:, :, 0] + 0.3
    here = torch.rand(2, 6, 4) > 0.3
    graph, layer = (
        graph_of(pos, mass=torch.rand(2, 6, 4).double()),
        CommonFate(4, gain=3.0).double(),
    )
    apart = CommonFate(4, gain=3.0, apart=0.1).double()
    apart.load_state_dict(layer.state_dict())
    found, plain = heard(apart, graph), heard(layer, graph)
    confident = layer._confident(graph)
    close = torch.zeros(2, 6, 4, 4, dtype=torch.bool)
    for t in range(6):
        weight = confident[:, : t + 1, :, None] * confident[:, : t + 1, None]
        offset = pos[:, : t + 1, :, None] - pos[:, : t + 1, None]
        mean = (weight[..., None] * offset).sum(1) / weight.sum(1).clamp_min(1e-30)[..., None]
        close[:, t] = mean.norm(dim=-1) <= 0.1
    assert close[:, -1, 0, 1].all()
    assert not close[:, -1, 0, 2].any()
    torch.testing.assert_close(found, plain.masked_fill(close, 0))
    state, pieces = None, []
    for t in range(6):
        piece = graph_of(pos[:, t : t + 1], here[:, t : t + 1])
        out, state = apart(piece.x, piece, state)
        pieces.append(to_dense(out, piece))
    graph = graph_of(pos, here)
    whole, _ = apart(graph.x, graph)
    torch.testing.assert_close(torch.cat(pieces, 1), to_dense(whole, graph))
    with pytest.raises(InputError, match=r"apart: expected a number from 0 to 1, got -0\.1"):
        CommonFate(4, apart=-0.1)


def test_who_hears_nobody_is_told_so():
    """What comes out is of the node alone, and of a sum of nothing."""
    torch.manual_seed(0)
    layer, pos = CommonFate(4, gain=1e3).double(), torch.rand(1, 5, 3, 2).double()
    graph = graph_of(pos)
    out, _ = layer(graph.x, graph)
    alone = torch.cat([graph.x, torch.zeros(15, 5, dtype=torch.float64)], dim=-1)
    expected = layer.norm(graph.x + layer.message(alone).relu())
    torch.testing.assert_close(out[3:], expected[3:], atol=1e-9, rtol=0)
    assert not torch.allclose(out[:3], expected[:3])  # in the first frame nothing has varied


def test_where_everything_is_does_not_matter():
    torch.manual_seed(0)
    layer, pos = CommonFate(4).double(), paths()
    drift = torch.rand(1, 6, 1, 2).double()  # of the camera
    one, other = graph_of(pos), graph_of(pos + drift)
    torch.testing.assert_close(layer(one.x, one)[0], layer(other.x, other)[0])


def test_pieces_with_absent_nodes_are_the_whole():
    torch.manual_seed(0)
    layer = CommonFate(4).double()
    pos, here = torch.rand(3, 6, 4, 2).double(), torch.rand(3, 6, 4) > 0.4
    graph = graph_of(pos, here)
    whole, end = layer(graph.x, graph)
    state, pieces = None, []
    for first, last in ((0, 1), (1, 4), (4, 6)):
        graph_ = graph_of(pos[:, first:last], here[:, first:last])
        piece, state = layer(graph_.x, graph_, state)
        pieces.append(to_dense(piece, graph_))
    torch.testing.assert_close(torch.cat(pieces, 1), to_dense(whole, graph), atol=1e-12, rtol=0)
    torch.testing.assert_close(state, end)


@pytest.mark.slow
def test_long_streams_of_single_precision_lose_nothing():
    """What stands still does so after thousands of frames, however large the sums of squares."""
    torch.manual_seed(0)
    layer = CommonFate(4)
    apart = torch.tensor([[0.1, 0.1], [0.9, 0.9], [0.53, 0.21]])
    graph = graph_of(apart[None, None].double())
    x = graph.x.float()
    graph.pos, graph.mass = graph.pos.float(), graph.mass.float()
    expected, state = layer.weights(x, graph), None
    with torch.no_grad():
        for _ in range(3000):
            _, state = layer(x, graph, state)
    torch.testing.assert_close(layer.weights(x, graph, state), expected, atol=1e-6, rtol=0)
    long = graph_of((apart + torch.linspace(0, 0.5, 3000)[:, None, None])[None].double())
    long.pos, long.mass = long.pos.float(), long.mass.float()
    one = long.batch[long.edge_index[0]] == 2999
    heard = layer.weights(x.repeat(3000, 1), long)[one]
    torch.testing.assert_close(heard, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("heeded", [True, False])
def test_frames_without_a_node_say_nothing_about_it(heeded):
    torch.manual_seed(0)
    layer, pos = CommonFate(4, gain=64.0).double(), paths()
    if not heeded:
        torch.nn.init.zeros_(layer.confidence)  # all masses are alike, that of none too
    here = torch.ones(1, 6, 4, dtype=torch.bool)
    here[0, 2:4, 1] = False
    pos[0, 2:4, 1] = 0.0  # wherever it was
    graph = graph_of(pos, here)
    weights = layer.weights(graph.x, graph)[:, 0]
    last = graph.batch[graph.edge_index[1]] == 5
    source, target = graph.node_id[graph.edge_index]
    assert weights[last & (source == 1) & (target == 0)].item() > 0.2


def test_only_edges_carry_messages():
    torch.manual_seed(0)
    layer, graph = CommonFate(4).double(), graph_of(paths(2))
    kept = graph.edge_index[:, graph.edge_index[0] % 4 != 1]  # nobody hears node 1
    fewer = attach_edges(graph.clone(), kept)
    assert layer.weights(graph.x, fewer).shape == (kept.size(1), 1)
    changed = fewer.clone()
    changed.x = torch.where((fewer.node_id == 1)[:, None], fewer.x + 1, fewer.x)
    others = fewer.node_id != 1
    torch.testing.assert_close(
        layer(changed.x, changed)[0][others], layer(fewer.x, fewer)[0][others]
    )


def test_it_learns_through_places_and_masses():
    layer = CommonFate(2).double()
    pos = torch.rand(1, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    mass = torch.rand(1, 3, 3, dtype=torch.float64, requires_grad=True)

    def run(pos, mass):
        graph = graph_of(pos, mass=mass)
        return layer(graph.x[:, :2], graph)[0]

    assert torch.autograd.gradcheck(run, (pos, mass))


def test_explanations_have_its_weights():
    nodes = BoxNodes(4, 3, edges=FullEdges())
    net = SpaceTimeGraph(nodes, {"fate": CommonFate(4)}, ("fate",))
    corner = torch.rand(1, 4, 3, 2) / 2
    boxes = torch.cat([corner, corner + 0.3], dim=-1)
    graph = net(torch.randn(1, 4, 4, 8, 8), boxes=boxes).graph
    alpha = attention(net, graph)[0]
    torch.testing.assert_close(alpha, net.layers["fate"].weights(graph.x, graph)[:, 0])


def test_what_does_not_fit_is_refused():
    layer, graph = CommonFate(4).double(), graph_of(paths())
    with pytest.raises(InputError, match="state: expected the Offsets of an earlier call"):
        layer(graph.x, graph, torch.zeros(1))
    _, state = layer(graph.x, graph)
    other = graph_of(paths(nodes=3))
    with pytest.raises(InputError, match=r"state\.weight: expected"):
        layer(other.x, other, state)
    with pytest.raises(InputError, match="gain"):
        CommonFate(4, gain=0.0)
    for field in ("pos", "box", "mass"):
        lacking = graph_of(paths())
        del lacking[field]
        with pytest.raises(InputError, match=f"graph: expected a `{field}` for every node"):
            layer(lacking.x, lacking)
    other.edge_index = None
    with pytest.raises(InputError, match="graph: expected edges"):
        layer(other.x, other)
