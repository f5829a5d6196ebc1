"""How networks start: weights of maps and cells, drawn anew.

Each function draws the weights of all linear maps, convolutions and recurrent cells inside a module
and leaves everything else as it is: norms, among them the scales of 0 that let a block start as an
identity, gates, attention biases and anchors. Models start as their parts say; these are for a
start that is the same everywhere::

    glorot(rstg_sync_mnist())

In a configuration :func:`stgraph.training.initialised` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch_geometric.nn import dense

__all__ = ["STARTS", "glorot", "he", "pytorch"]

_MAPS = (nn.Linear, nn.modules.conv._ConvNd, dense.Linear)
_CELLS = (nn.RNNBase, nn.RNNCellBase)


def glorot(module: nn.Module) -> None:
    r"""Glorot's uniform weights, and biases of 0 (the official code of RSTG, everywhere).

    .. math:: W ∼ U(-a, a), \quad a = \sqrt{6 / (\mathrm{fan}_{in} + \mathrm{fan}_{out})}

    with the fans of each gate of a recurrent cell alone, as cuDNN's cells in TensorFlow have it.

    Args:
        module: whose weights are drawn anew, in place.

    Examples:
        >>> cell = nn.LSTM(512, 512)
        >>> glorot(cell)
        >>> round(cell.weight_hh_l0.std().item(), 3), cell.bias_hh_l0.abs().max().item()
        (0.044, 0.0)
    """
    for part in module.modules():
        if isinstance(part, _MAPS):
            nn.init.xavier_uniform_(part.weight)
            _clear(part.bias)
        elif isinstance(part, _CELLS):
            for gate in _gates(part):
                nn.init.xavier_uniform_(gate)
            for bias in _biases(part):
                _clear(bias)


def he(module: nn.Module) -> None:
    r"""He's normal weights, and biases of 0; recurrent cells, which have no ReLU, as PyTorch's.

    .. math:: W ∼ N(0, 2 / \mathrm{fan}_{in})

    Args:
        module: whose weights are drawn anew, in place.
    """
    for part in module.modules():
        if isinstance(part, _MAPS):
            transposed = isinstance(part, nn.modules.conv._ConvTransposeNd)
            # The weights of transposed convolutions stand the other way round.
            nn.init.kaiming_normal_(
                part.weight, mode="fan_out" if transposed else "fan_in", nonlinearity="relu"
            )
            _clear(part.bias)
        elif isinstance(part, _CELLS):
            part.reset_parameters()


def pytorch(module: nn.Module) -> None:
    r"""PyTorch's own start, uniform weights and biases.

    .. math:: W, b ∼ U(-a, a), \quad a = 1 / \sqrt{\mathrm{fan}_{in}}

    with the width of the memory as the fan of a recurrent cell.

    Args:
        module: whose weights are drawn anew, in place.
    """
    for part in module.modules():
        if isinstance(part, (*_MAPS, *_CELLS)):
            part.reset_parameters()


STARTS: dict[str, Callable[[nn.Module], None]] = {"glorot": glorot, "he": he, "pytorch": pytorch}
"""The ways to start, by name."""


def _gates(cell: nn.RNNBase | nn.RNNCellBase) -> Iterator[Tensor]:
    """The matrices of all gates, layers and directions, as views that may be written to."""
    for name, weight in cell.named_parameters():
        if name.startswith("weight"):
            projection = name.startswith("weight_hr")  # which has no gates
            values = weight.detach()
            yield from [values] if projection else torch.split(values, cell.hidden_size)


def _biases(cell: nn.RNNBase | nn.RNNCellBase) -> Iterator[Tensor]:
    return (value for name, value in cell.named_parameters() if name.startswith("bias"))


def _clear(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)
