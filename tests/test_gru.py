"""The GRU's own sweep equals PyTorch's in value, gradients and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stgraph.gru import Sweep, fits
from stgraph.recurrence import scan


def inputs(steps: int = 5, rows: int = 3) -> list[Tensor]:
    cell = nn.GRU(4, 6).double()
    x, first = torch.randn(steps, rows, 4).double(), torch.randn(rows, 6).double()
    return [x.requires_grad_(), first.requires_grad_(), *cell.parameters()]


@pytest.mark.parametrize("steps", [1, 5])
def test_values_and_gradients_are_those_of_pytorch(steps):
    given = inputs(steps)
    runs = []
    for run in (Sweep.of, Sweep.plain):
        (out,) = run(*given)
        loss = (out * torch.arange(out.numel()).view_as(out)).sum()
        runs.append([out, *torch.autograd.grad(loss, given)])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_its_gradients_have_gradients():
    assert torch.autograd.gradgradcheck(Sweep.of, inputs(3, 2))


def test_transformations_see_the_plain_form():
    x, *rest = (each.detach() for each in inputs())
    step = torch.randn_like(x)

    def run(each: Tensor) -> Tensor:
        return Sweep.of(each, *rest)[0].square().sum()

    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, step)
        ahead = torch.autograd.forward_ad.unpack_dual(run(dual)).tangent
    torch.testing.assert_close(ahead, torch.func.jvp(run, (x,), (step,))[1])
    torch.testing.assert_close(ahead, (torch.func.grad(run)(x) * step).sum())


def test_it_keeps_less_than_pytorch_does():
    def kept(run) -> int:
        sizes = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            alive = run()
        del alive
        return sum(sizes.values())

    cell, x = nn.GRU(32, 32), torch.randn(2, 16, 9, 32, requires_grad=True)
    assert fits(cell, x)
    own = kept(lambda: scan(cell, x))
    handle = cell.register_forward_hook(lambda *_: None)  # a module with a hook is called
    assert not fits(cell, x)
    assert kept(lambda: scan(cell, x)) >= 1.25 * own
    handle.remove()


def test_scan_takes_it_where_gradients_are_wanted():
    cell = nn.GRU(4, 6).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    start = (torch.randn(1, 2, 3, 6, dtype=torch.float64, requires_grad=True),)
    leaves, runs = [x, *start, *cell.parameters()], []
    for hook in (False, True):
        if hook:
            cell.register_forward_hook(lambda *_: None)
        out, (state,) = scan(cell, x, start)
        runs.append([out, state, *torch.autograd.grad(out.sum() + state.square().sum(), leaves)])
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert not fits(cell, x)
