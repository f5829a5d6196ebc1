"""The layouts in which TensorFlow and cuDNN keep an LSTM.

=====================================  ==========================================  ===============
variables under the name of the layer  shapes                                      gates
=====================================  ==========================================  ===============
``…/kernel``, ``…/bias``               ``[in + U, 4U]``, ``[4U]``                  i, c, f, o
``…/kernel``, ``…/recurrent_kernel``,  ``[in, 4U]``, ``[U, 4U]``,                  i, f, c, o
``…/bias``                             ``[4U]`` or, with both biases, ``[8U]``
``…/opaque_kernel``                    one row: W, R ``[4U, …]`` and both biases   i, f, c, o
=====================================  ==========================================  ===============

The first is what a saver writes for a cuDNN layer too, with its two biases summed. PyTorch's gates
are i, f, c, o. A cell of TensorFlow's own (``lstm_cell``, ``basic_lstm_cell``) adds a forget bias
when it runs, 1 by default; a cuDNN-compatible one and a cuDNN layer add none.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from stgraph.checks import InputError, choice
from stgraph.weights.rstg.layouts import Layout, Reading, Weights

__all__ = ["LSTM", "is_lstm"]

_CELL = "rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"
_LEAF = re.compile(r"(?:^|/)(kernel|recurrent_kernel|bias|opaque_kernel)$")
# Cells that add a bias to their forget gate, as they run.
_ADDS = re.compile(r"(?:^|/)(?:basic_lstm_cell|lstm_cell|layer_norm_basic_lstm_cell)(?:_\d+)?/")


def is_lstm(name: str) -> bool:
    """Whether a name, inside the scope of a layer, may be one of an LSTM's variables."""
    return _LEAF.search(name) is not None


class LSTM(Layout):
    """An LSTM of one layer in any of the layouts of this module.

    Args:
        written: the layout to write: ``"tensorflow"``, the first, with the sum of the two biases;
            or ``"cudnn"``, the opaque one, which keeps both.
        forget_bias: what TensorFlow's own cells add to their forget gate.
    """

    mine = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

    def __init__(self, written: str = "tensorflow", forget_bias: float = 1.0) -> None:
        self.written = choice("lstm", written, ("tensorflow", "cudnn"))
        self.forget_bias = float(forget_bias)

    def read(self, state: Weights, name: str, like: Weights) -> Reading:
        """See :class:`Layout`; the variables may have any names under ``name``."""
        found: dict[str, str] = {}
        for variable in state:
            inner = variable.removeprefix(f"{name}/")
            if inner != variable and (leaf := _LEAF.search(inner)):
                if leaf[1] in found:
                    expected = f"one layer under `{name}`"
                    raise InputError("source", expected, f"{found[leaf[1]]}, {variable}")
                found[leaf[1]] = variable
        rows, columns = like["weight_ih_l0"].shape
        units = rows // 4
        if "opaque_kernel" in found:
            used: tuple[str, ...] = (found["opaque_kernel"],)
            tensors = _of_opaque(used[0], state[used[0]], units, columns)
        else:
            missing = {"kernel", "bias"} - set(found)
            if missing:
                raise InputError("source", f"an LSTM under `{name}`", f"one without {missing}")
            used = tuple(found.values())
            values = {leaf: state[variable] for leaf, variable in found.items()}
            if "recurrent_kernel" in values:
                tensors = _of_two_kernels(found["kernel"], values, units, columns)
            else:
                tensors = _of_one_kernel(found["kernel"], values, units, columns)
            if _ADDS.search(found["kernel"].removeprefix(name)):
                tensors["bias_ih_l0"] = tensors["bias_ih_l0"].clone()
                tensors["bias_ih_l0"][units : 2 * units] += self.forget_bias
        return Reading(tensors, dict.fromkeys(tensors, used[0]), used)

    def write(self, tensors: Weights, name: str) -> dict[str, Tensor]:
        """See :class:`Layout`."""
        parts = [tensors[part] for part in self.mine]
        if self.written == "cudnn":
            return {f"{name}/opaque_kernel": torch.cat([part.flatten() for part in parts])}
        kernel = torch.cat(parts[:2], dim=1)
        return {
            f"{name}/{_CELL}/kernel": _swapped(kernel).T,
            f"{name}/{_CELL}/bias": _swapped(parts[2] + parts[3]),
        }


def _swapped(rows: Tensor) -> Tensor:
    """Rows of i, c, f, o as i, f, c, o, and the other way round."""
    i, second, third, o = rows.chunk(4)
    return torch.cat([i, third, second, o])


def _sized(name: str, value: Tensor, *sizes: int) -> Tensor:
    if tuple(value.shape) != sizes:
        raise InputError(name, f"{list(sizes)}, of an LSTM", list(value.shape))
    return value


def _of_one_kernel(name: str, values: Weights, units: int, width: int) -> dict[str, Tensor]:
    kernel = _swapped(_sized(name, values["kernel"], width + units, 4 * units).T)
    bias = _swapped(_sized(f"{name[:-6]}bias", values["bias"], 4 * units))
    return _cell(kernel[:, :width], kernel[:, width:], bias, torch.zeros_like(bias))


def _of_two_kernels(name: str, values: Weights, units: int, width: int) -> dict[str, Tensor]:
    bias = values["bias"].flatten()  # [4U], [8U] or [2, 4U]
    if bias.numel() != 8 * units:
        _sized(f"{name[:-6]}bias", bias, 4 * units)
    hidden = bias[4 * units :] if bias.numel() == 8 * units else torch.zeros_like(bias)
    return _cell(
        _sized(name, values["kernel"], width, 4 * units).T,
        _sized(f"{name[:-6]}recurrent_kernel", values["recurrent_kernel"], units, 4 * units).T,
        bias[: 4 * units],
        hidden,
    )


def _of_opaque(name: str, value: Tensor, units: int, width: int) -> dict[str, Tensor]:
    rows = 4 * units
    sizes = [rows * width, rows * units, rows, rows]
    parts = torch.split(_sized(name, value.flatten(), sum(sizes)), sizes)
    return _cell(parts[0].view(rows, width), parts[1].view(rows, units), parts[2], parts[3])


def _cell(of_input: Tensor, of_hidden: Tensor, bias: Tensor, second: Tensor) -> dict[str, Tensor]:
    """A cell's tensors as PyTorch calls them."""
    return dict(zip(LSTM.mine, (of_input, of_hidden, bias, second), strict=True))
