"""Checks at the borders: each names the argument, what was expected and what came.

They return what they checked, so that a border reads as one line::

    clips, frames, channels, height, width = shape("features", features, "B T 32 H W")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from numbers import Integral
from typing import Any, TypeVar

from torch import Tensor

__all__ = [
    "InputError",
    "accepts",
    "channels",
    "choice",
    "flag",
    "fraction",
    "integer",
    "positive",
    "shape",
]

T = TypeVar("T")


class InputError(ValueError):
    """Bad input: ``name: expected …, got …``."""

    def __init__(self, name: str, expected: object, got: object) -> None:
        super().__init__(f"{name}: expected {expected}, got {got}")
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self.name, self.args[0]))


def _restore(name: str, message: str) -> InputError:
    error = InputError.__new__(InputError, name, message)
    error.args, error.name = (message,), name
    return error


def shape(name: str, tensor: Tensor, pattern: str) -> tuple[int, ...]:
    """Check the shape of a tensor against a pattern and return its sizes.

    A word of the pattern is a number (that size) or a letter (any size, the same wherever the
    letter stands again).

    Args:
        name: how the argument is called where it was passed.
        tensor: the tensor.
        pattern: for example ``"B T 32 H W"``.

    Returns:
        All sizes, in order.

    Raises:
        InputError: when the rank or a size differs, or ``tensor`` is none.

    Examples:
        >>> import torch
        >>> shape("features", torch.zeros(2, 5, 32, 16, 16), "B T 32 H H")
        (2, 5, 32, 16, 16)
        >>> shape("features", torch.zeros(2, 16), "B T 32 H H")
        Traceback (most recent call last):
        stgraph.checks.InputError: features: expected [B, T, 32, H, H], got [2, 16]
    """
    words = pattern.split()
    expected = f"[{', '.join(words)}]"
    if not isinstance(tensor, Tensor):
        raise InputError(name, f"a tensor {expected}", type(tensor).__name__)
    sizes = tuple(tensor.shape)
    letters: dict[str, int] = {}
    if len(sizes) == len(words) and all(
        size == (int(word) if word.isdigit() else letters.setdefault(word, size))
        for word, size in zip(words, sizes, strict=True)
    ):
        return sizes
    raise InputError(name, expected, list(sizes))


def channels(name: str, tensor: Tensor, width: int) -> int:
    """Check the width of node features ``[V, width]`` and return the number of nodes V."""
    return shape(name, tensor, f"V {width}")[0]


def choice(name: str, value: T, choices: Iterable[T]) -> T:
    """Return ``value`` if it is one of the ``choices``.

    Raises:
        InputError: otherwise, with the choices named.

    Examples:
        >>> choice("path", "sprase", ("dense", "sparse"))
        Traceback (most recent call last):
        stgraph.checks.InputError: path: expected one of 'dense', 'sparse', got 'sprase'
    """
    options = list(choices)
    if value not in options:
        raise InputError(name, "one of " + ", ".join(map(repr, options)), repr(value))
    return value


def integer(name: str, value: int, minimum: int = 1) -> int:
    """Return ``value``, as an ``int``, if it is a whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise InputError(name, f"a whole number of at least {minimum}", repr(value))
    return int(value)


def flag(name: str, value: bool) -> bool:
    """Return ``value`` if it is true or false."""
    if not isinstance(value, bool):
        raise InputError(name, "True or False", repr(value))
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(name, "a number above 0", repr(value))
    return value


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(name, "a number from 0 to 1", repr(value))
    return value


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Tell whether a function has an argument of a name, or takes any.

    Examples:
        >>> accepts(lambda x, boxes=None: x, "boxes"), accepts(lambda x, **more: x, "boxes")
        (True, True)
        >>> accepts(lambda x: x, "boxes")
        False
    """
    known = signature(function).parameters.values()
    return any(name == each.name or each.kind is each.VAR_KEYWORD for each in known)
