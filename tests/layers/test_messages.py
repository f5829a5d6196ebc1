"""Weighted sums of messages that are not kept equal those of messages one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stgraph.layers import DotAttention, FrameNorm, SpaceLayer, SumGather, SumSend, messages
from stgraph.layers.messages import WeightedSums


def inputs(heads: int = 1, masked: bool = False) -> list[Tensor | None]:
    to, of = torch.randn(2, 4, 3, 6, dtype=torch.float64).unbind()
    alpha = torch.rand(4, 3, 3, heads, dtype=torch.float64)
    mask = None
    if masked:
        mask = torch.rand(4, 3, 3) > 0.3
        mask[1] = False  # a frame without messages
        alpha = alpha * mask[..., None]
    return [to.requires_grad_(), of.requires_grad_(), alpha.requires_grad_(), mask]


@pytest.mark.parametrize("at_once", [1, 10**6], ids=["frame by frame", "all at once"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_sums_and_their_gradients_are_those_of_the_plain_form(heads, masked, at_once, monkeypatch):
    monkeypatch.setitem(messages._AT_ONCE, "cpu", at_once)
    given, runs = inputs(heads, masked), []
    for run in (WeightedSums.of, WeightedSums.plain):
        made = run(*given)
        loss = sum((out * torch.arange(1.0, out.numel() + 1).view_as(out)).sum() for out in made)
        runs.append([*made, *torch.autograd.grad(loss, given[:3])])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_have_gradients(masked):
    *given, mask = inputs(2, masked)
    assert torch.autograd.gradgradcheck(lambda *each: WeightedSums.of(*each, mask), given)


def test_transformations_see_the_plain_form():
    *given, mask = (None if each is None else each.detach() for each in inputs(2))
    steps = tuple(map(torch.randn_like, given))

    def run(*each: Tensor) -> Tensor:
        return sum(out.square().sum() for out in WeightedSums.of(*each, mask))

    _, ahead = torch.func.jvp(run, tuple(given), steps)
    back = torch.func.grad(run, (0, 1, 2))(*given)
    torch.testing.assert_close(ahead, sum((a * b).sum() for a, b in zip(back, steps, strict=True)))
    many = torch.func.vmap(lambda to: WeightedSums.of(to, *given[1:], mask)[0])(given[0][None])
    torch.testing.assert_close(many[0], WeightedSums.plain(*given, mask)[0])


@pytest.mark.parametrize("gather", [lambda: DotAttention(8, heads=2), lambda: SumGather(8)])
@pytest.mark.parametrize("norm", [FrameNorm, None])
def test_a_layer_equals_itself_with_messages_one_by_one(graph, gather, norm):
    layer = SpaceLayer(8, SumSend(8, norm=norm), gather(), path="dense").double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = graph.x.clone().requires_grad_()
    runs = []
    for hook in (False, True):
        if hook:
            layer.send.register_forward_hook(lambda *_: None)  # a module with a hook is called
        assert layer._sums_up() is not hook
        out = layer(x, graph)
        grads = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
        runs.append([out, *grads])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_at_least_as_near(dtype, make_graph):
    from stgraph.edges import FullEdges

    graph = make_graph(FullEdges())
    layer = SpaceLayer(8, path="dense").double()
    x = graph.x + 30  # far from 0
    exact = layer(x, graph)
    layer = layer.to(dtype)
    ours = layer(x.to(dtype), graph)
    layer.send.register_forward_hook(lambda *_: None)
    plain = layer(x.to(dtype), graph)
    assert ours.dtype == dtype
    assert (ours - exact).abs().mean() <= 1.1 * (plain - exact).abs().mean()


def test_nothing_that_counts_pairs_is_kept():
    kept: list[int] = []
    to, of = torch.randn(2, 4, 16, 64).requires_grad_().unbind()
    alpha = torch.rand(4, 1, 16, 16)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        messages.normed_sums(to, of, alpha, None, FrameNorm(64))
    assert max(kept) <= 4 * 16 * 64  # and a message is 64 numbers for each of 4·16·16 pairs
