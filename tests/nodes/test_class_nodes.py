from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.nodes import ClassNodes
from stgraph.testing import EXTRACTOR_LAWS


def test_a_node_lies_on_what_looks_most_like_its_class() -> None:
    """Two classes, each one feature; a bright cell of each."""
    nodes = ClassNodes(2, 2)
    nn.init.eye_(nodes.maps.weight[:, :, 0, 0].data)
    nn.init.zeros_(nodes.maps.bias)
    features = torch.zeros(1, 1, 2, 8, 8)
    features[0, 0, 0, 2, 5] = features[0, 0, 1, 6, 1] = 30
    graph, _ = nodes(features)
    expected = torch.tensor([[5.5, 2.5], [1.5, 6.5]]) / 8  # x, y of the cells' centres
    torch.testing.assert_close(graph.pos, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(graph.mass.log(), torch.tensor([30.0, 30.0]), atol=1e-4, rtol=0)


def test_its_features_are_pooled_named_and_told_how_sure() -> None:
    torch.manual_seed(0)
    nodes = ClassNodes(3, 4).double()
    nn.init.normal_(nodes.sure)
    features = torch.randn(2, 3, 3, 5, 6).double()
    graph, _ = nodes(features)
    pooled = torch.einsum("vhw,vchw->vc", graph.kernel, features.flatten(0, 1)[graph.batch])
    expected = pooled + nodes.name.weight[graph.node_id] + graph.mass.log()[:, None] * nodes.sure
    torch.testing.assert_close(graph.x, expected)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_scores_of_any_size_have_numbers_and_gradients(scale: float) -> None:
    nodes = ClassNodes(2, 3)
    features = (scale * torch.randn(1, 2, 2, 4, 4)).requires_grad_()
    graph, _ = nodes(features)
    assert graph.x.isfinite().all()
    graph.pos.sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("law", EXTRACTOR_LAWS, ids=lambda law: law.__name__)
def test_with_a_reach_it_keeps(law) -> None:
    nodes = ClassNodes(8, 3, FullEdges(), reach=2)
    nn.init.normal_(nodes.move)
    law(nodes)


def test_kernels_are_the_beliefs_of_a_bayes_filter() -> None:
    """Against sums over all pairs of cells."""
    torch.manual_seed(0)
    reach, height, width = 1, 4, 5
    nodes = ClassNodes(3, 2, reach=reach).double()
    nn.init.normal_(nodes.move)
    nn.init.constant_(nodes.elsewhere, -1.0)
    nn.init.constant_(nodes.unseen, -2.0)
    features = torch.randn(1, 3, 3, height, width).double()
    graph, state = nodes(features)
    seen = nodes.maps(features[0]).flatten(2).softmax(-1)  # [T, N, HW]
    lost, blind = 1 / (1 + math.e), 1 / (1 + math.e**2)
    seen = (1 - blind) * seen + blind / (height * width)
    move = nodes.move.flatten().softmax(0).view_as(nodes.move)
    goes = torch.zeros(height * width, height * width).double()  # from, to
    for start in range(height * width):
        for row in range(-reach, reach + 1):
            for column in range(-reach, reach + 1):
                y, x = start // width + row, start % width + column
                if 0 <= y < height and 0 <= x < width:
                    # what comes to (y, x) comes from the other side
                    goes[start, y * width + x] = move[reach - row, reach - column]
    belief = seen[0]
    expected = [belief]
    for frame in seen[1:]:
        belief = ((1 - lost) * belief @ goes + lost / (height * width)) * frame
        belief = belief / belief.sum(-1, keepdim=True)
        expected.append(belief)
    expected = torch.stack(expected).view(3, 2, height, width)
    torch.testing.assert_close(graph.kernel, expected.flatten(0, 1))
    torch.testing.assert_close(state.regions, expected[-1:])
    mass = nodes.maps(features[0]).flatten(2).exp().sum(-1)
    torch.testing.assert_close(graph.mass, mass.flatten())
    grads = torch.autograd.grad(
        graph.pos.square().sum(), [nodes.move, nodes.elsewhere, nodes.unseen, nodes.maps.weight]
    )
    assert all(grad.abs().sum() > 1e-6 for grad in grads)


@pytest.mark.parametrize("logit", [-90.0, 90.0])
def test_beliefs_never_die_out(logit: float) -> None:
    """However sure a user is that nothing is found elsewhere, or that all that is seen is right."""
    nodes = ClassNodes(2, 2, reach=1)
    for parameter in (nodes.elsewhere, nodes.unseen):
        nn.init.constant_(parameter, logit)
    features = (5 * torch.randn(1, 4, 2, 8, 8)).requires_grad_()
    graph, _ = nodes(features)
    alone = ClassNodes(2, 2)
    alone.load_state_dict(nodes.state_dict(), strict=False)
    torch.testing.assert_close(graph.mass, alone(features)[0].mass)
    torch.testing.assert_close(graph.kernel.sum((1, 2)), torch.ones(8))
    graph.pos.square().sum().backward()
    assert features.grad.isfinite().all()


def test_gradients_go_through_a_state() -> None:
    nodes = ClassNodes(2, 2, reach=1)
    features = torch.randn(1, 2, 2, 5, 5, requires_grad=True)
    _, state = nodes(features[:, :1])
    nodes(features[:, 1:], state)[0].pos.square().sum().backward()
    assert (features.grad.abs().amax((2, 3, 4)) > 0).all()


def test_beliefs_are_single_precision_under_autocast() -> None:
    nodes, features = ClassNodes(4, 3, reach=1), torch.randn(1, 5, 4, 6, 6)
    graph, _ = nodes(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, state = nodes(features)
    assert state.regions.dtype == torch.float32
    torch.testing.assert_close(cast.pos, graph.pos, atol=2e-2, rtol=0)
    torch.testing.assert_close(state.regions.sum((2, 3)), torch.ones(1, 3), atol=1e-5, rtol=0)


def test_a_node_stays_on_what_it_followed_when_another_looks_more_like_it() -> None:
    def ends(reach: int) -> torch.Tensor:
        nodes = ClassNodes(1, 1, reach=reach)
        nn.init.ones_(nodes.maps.weight)
        nn.init.zeros_(nodes.maps.bias)
        features = torch.zeros(1, 4, 1, 12, 12)
        for t in range(4):
            features[0, t, 0, 2, 1 + t] = 12
        features[0, 3, 0, 9, 9] = 13  # elsewhere, and brighter
        return nodes(features)[0].pos[-1] * 12

    torch.testing.assert_close(ends(1), torch.tensor([4.5, 2.5]), atol=0.2, rtol=0)
    assert (ends(0) > 5).all()  # without a reach it is drawn there


def test_options_and_states_that_do_not_fit_are_refused() -> None:
    for reach in (-1, 65):
        with pytest.raises(InputError, match=rf"reach: expected .*, got {reach}"):
            ClassNodes(4, reach=reach)
    features = torch.randn(2, 3, 4, 5, 6)
    followed, alone = ClassNodes(4, 3, reach=1), ClassNodes(4, 3)
    _, state = followed(features)
    with pytest.raises(InputError, match=r"state: expected \[1, 3, 5, 6\], got \[2, 3, 5, 6\]"):
        followed(features[:1], state)
    with pytest.raises(InputError, match="state: expected the kernels of an earlier call, got int"):
        followed(features, state._replace(regions=3))
    with pytest.raises(InputError, match="state: expected None: without a reach there is none"):
        alone(features, state)
