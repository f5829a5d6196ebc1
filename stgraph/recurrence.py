r"""Recurrent cells scanned over time, for every node identity of every clip alike.

``torch.nn.GRU`` and ``torch.nn.LSTM`` own the parameters. Where all nodes are present their fused
kernels run; where nodes are absent the same equations run step by step, and an absent node keeps
its state:

.. math::
    r = σ(W_{ir} x + b_{ir} + W_{hr} h + b_{hr}), \quad z = σ(W_{iz} x + b_{iz} + W_{hz} h + b_{hz})

    n = \tanh(W_{in} x + b_{in} + r ⊙ (W_{hn} h + b_{hn})), \quad h' = (1 - z) ⊙ n + z ⊙ h

for the GRU; the LSTM keeps (h, c) with :math:`c' = f ⊙ c + i ⊙ g`, :math:`h' = o ⊙ \tanh c'`.

``torch.compile`` refuses to look at these modules, so where it follows, a :class:`Recurrent`
module shows it the parts of its cell instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stgraph.checks import InputError, shape
from stgraph.gru import Sweep, fits

__all__ = ["Memory", "Recurrent", "check_cell", "scan"]

Memory = tuple[Tensor, ...]
"""What a cell remembers: (h,) for a GRU, (h, c) for an LSTM, each ``[layers, B, N, D]``."""


class CellParts:
    """What a GRU or LSTM is made of, by the names that it has in the module.

    The weights are those that the module has at any time, and so are its mode and its dropout: the
    dictionaries are its own.
    """

    batch_first = False

    def __init__(self, cell: nn.GRU | nn.LSTM) -> None:
        self.mode, self.bias, self.num_layers = cell.mode, cell.bias, cell.num_layers
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size
        self._own = vars(cell)
        self._weights, self._names = cell._parameters, cell._all_weights
        self._hooks = (cell._forward_hooks, cell._forward_pre_hooks)

    @property
    def dropout(self) -> float:
        """Share of the numbers that is dropped between its layers in training."""
        return self._own["dropout"]  # type: ignore[no-any-return]

    @property
    def training(self) -> bool:
        """Whether the cell is in training."""
        return self._own["training"]  # type: ignore[no-any-return]

    @property
    def is_whole(self) -> bool:
        """Whether these are all its parts: no hook, no parametrisation of its weights."""
        there = all(name in self._weights for names in self._names for name in names)
        return there and not any(self._hooks)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Weights of each layer."""
        return [[self._weights[name] for name in names] for names in self._names]  # type: ignore[misc]

    def __call__(self, steps: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Run over ``steps [T, R, C]``, as the module does."""
        flat = [weight for layer in self.all_weights for weight in layer]
        options = (self.bias, self.num_layers, self.dropout, self.training, False, False)
        if self.mode == "GRU":
            return torch.gru(steps, memory, flat, *options)
        out, *after = torch.lstm(steps, memory, flat, *options)
        return out, tuple(after)


class Recurrent(nn.Module):
    """A module with cells as attributes, which it takes by :meth:`cell_of` to run them."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; of a cell its parts are noted too, whenever it is put there."""
        super().__setattr__(name, value)
        self._note(name, value)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a module, which may be a cell too."""
        super().add_module(name, module)
        self._note(name, module)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is noted of cells: a copy notes that of its own."""
        return {name: one for name, one in vars(self).items() if not name.startswith("_parts_of_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Note the cells of a copy."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        for name, module in self._modules.items():
            self._note(name, module)

    def _note(self, name: str, value: Any) -> None:
        if type(value) in (nn.GRU, nn.LSTM):
            vars(self)[f"_parts_of_{name}"] = CellParts(value)
        else:  # also of what is no cell, but stands in for one
            vars(self).pop(f"_parts_of_{name}", None)

    def cell_of(self, name: str) -> nn.GRU | nn.LSTM | CellParts:
        """The cell of a name; its parts alone where a compiler follows, which refuses the rest."""
        if torch.compiler.is_compiling():
            parts: CellParts | None = vars(self).get(f"_parts_of_{name}")
            if parts is not None and parts.is_whole:
                return parts
        return getattr(self, name)  # type: ignore[no-any-return]


def check_cell(name: str, cell: nn.Module) -> nn.GRU | nn.LSTM:
    """Return ``cell`` if it is a GRU or LSTM that can run causally with a state.

    Raises:
        InputError: on another module, a bidirectional cell or one with ``proj_size``.
    """
    if not isinstance(cell, (nn.GRU, nn.LSTM)):
        raise InputError(name, "a torch.nn.GRU or torch.nn.LSTM", type(cell).__name__)
    if cell.bidirectional:
        raise InputError(name, "a cell of one direction", "bidirectional=True")
    if cell.proj_size:
        raise InputError(name, "a cell without projection", f"proj_size={cell.proj_size}")
    return cell


def _step(cell: nn.GRU | nn.LSTM | CellParts, layer: int, x: Tensor, memory: Memory) -> Memory:
    """One step of one layer: ``x [R, C]`` and its memory, each ``[R, D]``, to the next memory."""
    weights = cell.all_weights[layer]
    w_ih, w_hh, *biases = weights
    b_ih, b_hh = biases or (None, None)
    from_x, from_h = F.linear(x, w_ih, b_ih), F.linear(memory[0], w_hh, b_hh)
    if cell.mode == "GRU":
        r_x, z_x, n_x = from_x.chunk(3, dim=-1)
        r_h, z_h, n_h = from_h.chunk(3, dim=-1)
        update = torch.sigmoid(z_x + z_h)
        new = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        return (new + update * (memory[0] - new),)
    gate_in, forget, value, out = (from_x + from_h).chunk(4, dim=-1)
    kept = torch.sigmoid(forget) * memory[1] + torch.sigmoid(gate_in) * torch.tanh(value)
    return torch.sigmoid(out) * torch.tanh(kept), kept


def scan(
    cell: nn.GRU | nn.LSTM | CellParts,
    x: Tensor,
    memory: Memory | None = None,
    mask: Tensor | None = None,
    fresh: Tensor | None = None,
    lengths: Sequence[int] | None = None,
) -> tuple[Tensor, Memory]:
    """Run a cell over the frames of every node.

    Args:
        cell: a GRU or LSTM of any number of layers; its ``batch_first`` does not matter.
        x: node features ``[B, T, N, C]``.
        memory: what an earlier call returned; zeros without one.
        mask: which nodes are present ``[B, T, N]`` (bool). An absent node keeps its memory, and
            its output repeats the last one.
        fresh: where a node starts anew ``[B, T, N]`` (bool): its memory is 0 before that frame.
        lengths: frames of every clip, where all nodes are present to its end: the fused kernels
            run then too. With a mask or ``fresh`` it is not needed.

    Returns:
        Outputs ``[B, T, N, D]`` and the memory to go on with.

    Raises:
        InputError: when the width of ``x``, or the batch, nodes or kind of the memory do not fit.
    """
    clips, frames, nodes, _ = shape("x", x, "B T N", cell.input_size)
    rows, depth, width = clips * nodes, cell.num_layers, cell.hidden_size
    parts = 2 if cell.mode == "LSTM" else 1
    if memory is None:
        memory = (x.new_zeros(depth, clips, nodes, width),) * parts
    if not isinstance(memory, tuple) or len(memory) != parts:
        raise InputError("state", f"{parts} tensor(s) for a {cell.mode}", type(memory))
    for part in memory:
        shape("state", part, depth, clips, nodes, width)
        if part.device != x.device:
            raise InputError("state", f"a state on {x.device}", part.device)
    memory = tuple(part.to(x.dtype) for part in memory)
    steps = x.transpose(0, 1).reshape(frames, rows, -1)  # [T, B·N, C]
    past = tuple(part.reshape(depth, rows, width) for part in memory)
    if mask is None and fresh is None and lengths is not None and min(lengths) < frames:
        if isinstance(cell, CellParts):  # it is the module that takes packed steps
            there = _there(lengths, frames, x.device).expand(clips, frames, nodes)
            out, past = _loop(cell, steps, past, there, None)
        else:
            out, past = _packed(cell, steps, past, [n for n in lengths for _ in range(nodes)])
    elif mask is None and fresh is None and fits(cell, steps):
        (out,) = Sweep.of(steps, past[0][0], *cell.all_weights[0])
        past = (out[-1:].clone(),)  # a state holds no view of the piece that it comes from
    elif mask is None and fresh is None:
        given = past if parts == 2 else past[0]
        arranged = steps.transpose(0, 1) if cell.batch_first else steps
        out, final = cell(arranged, given)
        out = out.transpose(0, 1) if cell.batch_first else out
        past = final if parts == 2 else (final,)
    else:
        out, past = _loop(cell, steps, past, mask, fresh)
    out = out.reshape(frames, clips, nodes, width).transpose(0, 1)  # [B, T, N, D]
    return out, tuple(part.reshape(depth, clips, nodes, width) for part in past)


def _there(lengths: Sequence[int], frames: int, device: torch.device) -> Tensor:
    """Which frames clips of these lengths have ``[B, T, 1]``."""
    ends = torch.tensor(lengths).to(device, non_blocking=True)
    return (torch.arange(frames, device=device) < ends[:, None])[..., None]


def _packed(
    cell: nn.GRU | nn.LSTM, steps: Tensor, past: Memory, lengths: Sequence[int]
) -> tuple[Tensor, Memory]:
    """The fused form of :func:`scan` on ``steps [T, R, C]`` of rows of different lengths."""
    some = [row for row, length in enumerate(lengths) if length]  # others keep their memory
    out = steps.new_zeros(*steps.shape[:2], cell.hidden_size)
    if not some:
        return out, past
    rows = torch.tensor(some).to(steps.device, non_blocking=True)
    counts = torch.tensor([lengths[row] for row in some])
    packed = pack_padded_sequence(steps.index_select(1, rows), counts, enforce_sorted=False)
    given = tuple(part.index_select(1, rows) for part in past)
    made, final = cell(packed, given if len(past) == 2 else given[0])
    made, _ = pad_packed_sequence(made, total_length=steps.size(0))
    after = final if len(past) == 2 else (final,)
    return out.index_copy(1, rows, made), tuple(
        old.index_copy(1, rows, new) for old, new in zip(past, after, strict=True)
    )


def _loop(
    cell: nn.GRU | nn.LSTM | CellParts,
    steps: Tensor,
    past: Memory,
    mask: Tensor | None,
    fresh: Tensor | None,
) -> tuple[Tensor, Memory]:
    """The step-by-step form of :func:`scan` on ``steps [T, R, C]``."""
    present, anew = (
        None if each is None else each.transpose(0, 1).flatten(1)[..., None]  # [T, R, 1]
        for each in (mask, fresh)
    )
    layers = [tuple(part[layer] for part in past) for layer in range(cell.num_layers)]
    outputs = []
    for t, step in enumerate(steps):
        value = step
        for layer, old in enumerate(layers):
            if layer and cell.dropout:
                value = F.dropout(value, cell.dropout, cell.training)
            if anew is not None:
                old = tuple(part.masked_fill(anew[t], 0) for part in old)
            new = _step(cell, layer, value, old)
            if present is not None:
                new = tuple(torch.where(present[t], n, o) for n, o in zip(new, old, strict=True))
            layers[layer], value = new, new[0]
        outputs.append(value)
    stacked = tuple(torch.stack(part) for part in zip(*layers, strict=True))
    return torch.stack(outputs), stacked
