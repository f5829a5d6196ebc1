"""Without gradients, fused functions are called as functions, and make the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from stgraph.fused import is_just
from stgraph.gru import Sweep
from stgraph.layers.edge_messages import EdgeDots, EdgeSums
from stgraph.layers.messages import WeightedSums
from stgraph.nodes.convolutions import _NormedConvolution, _Product
from stgraph.shares import Shares

_ENDS = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1, 0, 2])
_CONV = (1, 1e-5, (1, 1), (1, 1), (1, 1), 1)


def drawn(*sizes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.randn(size, dtype=torch.double) for size in sizes]


CALLS: dict[str, tuple[Any, list[Any]]] = {
    "pairs": (WeightedSums, [*drawn((2, 3, 4), (2, 3, 4), (2, 3, 3, 1)), None]),
    "edges": (EdgeSums, [*drawn((3, 4), (3, 4), (4, 2)), *_ENDS, torch.zeros(3).long(), 1]),
    "dots": (EdgeDots, [*drawn((3, 4), (3, 4)), *_ENDS, 2]),
    "shares": (Shares, [torch.rand(2, 3, 3, dtype=torch.double)]),
    "product": (_Product, drawn((2, 3, 5), (4, 3), (4,))),
    "normed": (_NormedConvolution, [*drawn((2, 3, 5, 5), (3,), (3,), (4, 3, 3, 3), (4,)), _CONV]),
    "sweep": (Sweep, [*drawn((2, 3, 4), (3, 4)), *nn.GRU(4, 4).double().all_weights[0]]),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_value_alone_is_made(name, mode, monkeypatch):
    function, inputs = CALLS[name]
    expected = function.plain(*inputs)
    with mode():
        monkeypatch.setattr(function, "apply", lambda *_: pytest.fail("autograd was asked"))
        found = function.of(*inputs)
    for made, plain in zip(found, expected, strict=True):
        assert not made.requires_grad
        torch.testing.assert_close(made, plain.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_has_no_function_of_ours():
    """It would be one that nothing but this process could run."""
    kernel = torch.rand(2, 3, 3, requires_grad=True)
    traced = torch.jit.trace(lambda kernel: Shares.of(kernel)[0], kernel)
    assert "PythonOp" not in str(traced.graph)
    torch.testing.assert_close(traced(kernel + 1), Shares.of(kernel + 1)[0])


def test_a_subclass_is_not_just_its_class():
    class Twice:
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    class Mixed(Twice, nn.Identity):
        pass

    class Other(nn.Identity):
        pass

    assert is_just(nn.Identity(), nn.Identity)
    assert not is_just(Mixed(), nn.Identity)
    assert not is_just(Other(), nn.Identity)
