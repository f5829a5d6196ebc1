"""Sums over edges of which nothing is kept equal those of PyG's message passing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stgraph.layers import DotAttention, FrameNorm, MeanGather, SpaceLayer, SumSend, edge_messages
from stgraph.layers.edge_messages import EdgeDots, EdgeSums


def of_sums(heads: int = 1) -> list:
    to, of = torch.randn(2, 7, 6, dtype=torch.float64).unbind()
    alpha = torch.rand(9, heads, dtype=torch.float64)
    source, target = torch.randint(7, (2, 9))
    frame = torch.tensor([0, 0, 0, 1, 1, 3, 3])  # frame 2 has no edges
    ends = [each.requires_grad_() for each in (to, of, alpha)]
    return [*ends, source, target, frame, 4]


def of_dots(heads: int = 1) -> list:
    ends = [each.requires_grad_() for each in torch.randn(2, 7, 6).double().unbind()]
    return [*ends, *torch.randint(7, (2, 9)), heads]


CASES = {"sums": (EdgeSums, of_sums, 3), "dots": (EdgeDots, of_dots, 2)}


@pytest.mark.parametrize("at_once", [1, 10**6], ids=["edge by edge", "all at once"])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_plain_form(case, heads, at_once, monkeypatch):
    monkeypatch.setitem(edge_messages._AT_ONCE, "cpu", at_once)
    kind, make, smooth = CASES[case]
    given, runs = make(heads), []
    for run in (kind.of, kind.plain):
        made = run(*given)
        loss = sum((out * torch.arange(1.0, out.numel() + 1).view_as(out)).sum() for out in made)
        runs.append([*made, *torch.autograd.grad(loss, given[:smooth])])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradients_have_gradients(case):
    kind, make, smooth = CASES[case]
    given = make(2)
    run = lambda *each: kind.of(*each, *given[smooth:])  # noqa: E731
    assert torch.autograd.gradgradcheck(run, given[:smooth])


@pytest.mark.parametrize("gather", [lambda: DotAttention(8, heads=2), lambda: MeanGather(8)])
@pytest.mark.parametrize("norm", [FrameNorm, None])
def test_a_layer_equals_itself_with_messages_one_by_one(graph, gather, norm):
    layer = SpaceLayer(8, SumSend(8, norm=norm), gather(), path="sparse").double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, runs, seen = graph.x.clone().requires_grad_(), [], []
    for hook in (False, True):
        if hook:
            layer.register_message_forward_hook(lambda *_: seen.append(1))
        out = layer(x, graph)
        grads = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
        runs.append([out, *grads])
    assert seen == [1]
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_subclass_that_passes_other_messages_is_asked(graph):
    class Silent(SpaceLayer):
        def message(self, share_i: Tensor) -> Tensor:
            return torch.zeros_like(share_i)

    layer = Silent(8, path="sparse").double()
    other = SpaceLayer(8, path="sparse").double()
    other.load_state_dict(layer.state_dict())
    assert not torch.allclose(layer(graph.x, graph), other(graph.x, graph))
