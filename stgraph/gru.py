"""A GRU's sweep over time on a CPU, in training: less is kept, and weights get one product.

PyTorch's own keeps each step's gates twice over and adds up the gradients of the weights step by
step. Here what the gates need stands in one block of memory that they overwrite, and the gradients
of the weights are one product over all steps. Without gradients, and on other devices, PyTorch's
own is at least as fast and is what runs (:mod:`stgraph.recurrence`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgraph.fused import Fused, is_hooked, is_looked_into
from stgraph.precision import is_cast

__all__ = ["Sweep", "fits"]

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def fits(cell: object, steps: Tensor) -> bool:
    """Whether a cell on these steps is to run here."""
    return (
        type(cell) is nn.GRU
        and cell.num_layers == 1
        and cell.bias
        and torch.is_grad_enabled()
        and steps.device.type == "cpu"
        and steps.dtype in (torch.float32, torch.float64)
        and steps.dtype == cell.weight_hh_l0.dtype
        and steps.numel() > 0
        and not is_cast(steps.device)
        and not is_hooked(cell)
        and not is_looked_into(steps, *cell.all_weights[0])
    )


class Sweep(Fused):
    """States ``[T, R, D]`` of a GRU on ``x [T, R, C]`` from ``first [R, D]`` on."""

    @staticmethod
    def plain(x: Tensor, first: Tensor, *weights: Tensor) -> tuple[Tensor]:
        """By PyTorch's own."""
        out, _ = torch.gru(x, first[None], weights, True, 1, 0.0, False, False, False)
        return (out,)

    @staticmethod
    def value(
        x: Tensor, first: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[tuple[Tensor], tuple[Tensor, ...]]:
        """The states, and (r, z, n) of all steps with what r multiplies."""
        (steps, rows, _), width = x.shape, first.size(1)
        columns = w_hh.t().contiguous()  # products of few rows take 1.5 times as long without
        of_gates, of_new = columns[:, : 2 * width], columns[:, 2 * width :]
        bias = torch.cat([b_ih[: 2 * width] + b_hh[: 2 * width], b_ih[2 * width :]])
        gates = torch.addmm(bias, x.reshape(steps * rows, -1), w_ih.t()).view(steps, rows, -1)
        held, out = x.new_empty(2, steps, rows, width).unbind()
        state = first
        for gate, hold, after in zip(gates, held, out, strict=True):
            reset, update = gate[:, :width], gate[:, width : 2 * width]
            gate[:, : 2 * width].addmm_(state, of_gates).sigmoid_()
            torch.addmm(b_hh[2 * width :], state, of_new, out=hold)
            new = gate[:, 2 * width :].addcmul_(reset, hold).tanh_()
            state = torch.lerp(new, state, update, out=after)
        return (out,), (gates, held, out)

    @staticmethod
    def slopes(
        inputs: list[Tensor], kept: tuple[Tensor, ...], grads: tuple[Tensor]
    ) -> tuple[Tensor, ...]:
        """Backwards through time."""
        x, first, w_ih, w_hh, _, _ = inputs
        gates, held, out = kept
        (grad,), (steps, rows, width) = grads, out.shape
        reset, update, new = torch.split(gates, width, dim=2)
        before = torch.cat([first[None], out[:-1]])
        of_new = (1 - update) * (1 - new.square())  # of the new value's sum, for a gradient of 1
        of_gates = gates[..., : 2 * width] * (1 - gates[..., : 2 * width])
        slope = torch.cat(
            [
                of_gates[..., :width].mul_(of_new * held),
                of_gates[..., width:].mul_(before - new),
                of_new * reset,
            ],
            dim=2,
        ).view(steps, rows, 3, width)
        after, states = torch.zeros_like(first), torch.empty_like(out)
        for step in reversed(range(steps)):
            state = torch.add(grad[step], after, out=states[step])
            sums = slope[step].mul_(state[:, None])
            after = torch.addmm(state * update[step], sums.view(rows, -1), w_hh)
        hidden = slope.view(steps * rows, 3 * width)
        given = hidden.clone()
        torch.mul(states, of_new, out=given.view_as(slope)[:, :, 2])
        flat = x.reshape(steps * rows, -1)
        return (
            (given @ w_ih).view_as(x),
            after,
            given.t() @ flat,
            hidden.t() @ before.view(steps * rows, width),
            given.sum(0),
            hidden.sum(0),
        )
