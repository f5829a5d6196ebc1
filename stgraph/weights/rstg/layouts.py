"""How tensors lie in variables of the official code: both directions of each layout in one place.

TensorFlow has channels last, and what comes in before what goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from stgraph.checks import InputError

__all__ = [
    "BIASES",
    "FIXED_NORM",
    "NORM",
    "RESIDUAL",
    "Convolution",
    "Layout",
    "Linear",
    "Reading",
    "Renamed",
    "Weights",
    "get",
]

Weights = Mapping[str, Tensor]
"""Tensors by name."""


class Reading(NamedTuple):
    """What was read for one module."""

    tensors: dict[str, Tensor]
    """By the names that the module has for them."""
    origin: dict[str, str]
    """Variable that each is from, for messages."""
    used: tuple[str, ...]
    """All variables that were read."""


class Layout:
    """How the tensors of one module lie in variables under one name."""

    mine: tuple[str, ...]
    """Names of the module's tensors that it knows."""

    def read(self, state: Weights, name: str, like: Weights) -> Reading:
        """Tensors of a module.

        Args:
            state: variables.
            name: what the variables' names begin with.
            like: the module's own tensors, for their shapes.

        Raises:
            InputError: when a variable is missing, or has another shape.
        """
        raise NotImplementedError

    def write(self, tensors: Weights, name: str) -> dict[str, Tensor]:
        """Variables of a module's tensors."""
        raise NotImplementedError


def get(state: Weights, name: str) -> Tensor:
    """A variable.

    Raises:
        InputError: when there is none.
    """
    if name not in state:
        raise InputError("source", f"the variable `{name}`", "none")
    return state[name]


class Renamed(Layout):
    """The same tensors, called otherwise.

    Args:
        names: ending of a variable's name by the name of the module's tensor.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self.mine = tuple(names)

    def read(self, state: Weights, name: str, like: Weights) -> Reading:
        """See :class:`Layout`."""
        origin = {mine: name + ending for mine, ending in self.names.items() if mine in like}
        found = {mine: get(state, theirs) for mine, theirs in origin.items()}
        return Reading(found, origin, tuple(origin.values()))

    def write(self, tensors: Weights, name: str) -> dict[str, Tensor]:
        """See :class:`Layout`."""
        return {
            name + ending: tensors[mine] for mine, ending in self.names.items() if mine in tensors
        }


NORM = Renamed({"weight": "/gamma", "bias": "/beta"})
FIXED_NORM = Renamed(
    {
        "weight": "/gamma",
        "bias": "/beta",
        "running_mean": "/moving_mean",
        "running_var": "/moving_variance",
    }
)
BIASES = Renamed({"bias": "/biases"})
RESIDUAL = Renamed({"weight": "_scale", "norm.bias": "/beta"})


class Convolution(Layout):
    """A kernel ``[*sides, in, out]`` and a bias, of a convolution ``[out, in, *sides]``.

    Args:
        sides: how many sides the kernel has in the official code.
    """

    mine = ("weight", "bias")

    def __init__(self, sides: int) -> None:
        self.sides = sides

    def read(self, state: Weights, name: str, like: Weights) -> Reading:
        """See :class:`Layout`."""
        origin = {"weight": f"{name}/kernel", "bias": f"{name}/bias"}
        origin = {mine: theirs for mine, theirs in origin.items() if mine in like}
        found = {mine: get(state, theirs) for mine, theirs in origin.items()}
        kernel = found["weight"]
        if kernel.dim() < 2:
            expected = f"a kernel of {list(like['weight'].shape)}"
            raise InputError(origin["weight"], expected, list(kernel.shape))
        found["weight"] = self.here(kernel)
        return Reading(found, origin, tuple(origin.values()))

    def write(self, tensors: Weights, name: str) -> dict[str, Tensor]:
        """See :class:`Layout`."""
        made = {f"{name}/kernel": self.there(tensors["weight"])}
        if "bias" in tensors:
            made[f"{name}/bias"] = tensors["bias"]
        return made

    def here(self, kernel: Tensor) -> Tensor:
        """``[*sides, in, out]`` → ``[out, in, *sides]``."""
        return kernel.movedim((-1, -2), (0, 1))

    def there(self, weight: Tensor) -> Tensor:
        """``[out, in, *sides]`` → ``[*sides, in, out]``."""
        return weight.movedim((0, 1), (-1, -2))


class Linear(Convolution):
    """A kernel ``[1, …, in, out]`` and a bias, of a linear map ``[out, in]``."""

    def here(self, kernel: Tensor) -> Tensor:
        """``[1, …, in, out]`` → ``[out, in]``; one with other sides as a convolution has it."""
        if kernel[..., 0, 0].numel() != 1:
            return super().here(kernel)
        return kernel.reshape(kernel.shape[-2:]).T

    def there(self, weight: Tensor) -> Tensor:
        """``[out, in]`` → ``[1, …, in, out]``."""
        return weight.T.reshape(*(1,) * self.sides, *weight.T.shape)
