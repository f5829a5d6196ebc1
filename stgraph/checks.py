"""Checks at the borders: each names the argument, what was expected and what came.

They return what they checked, so that a border reads as one line::

    clips, frames, channels, height, width = shape("features", features, "B T 32 H W")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from numbers import Integral
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = [
    "InputError",
    "accepts",
    "channels",
    "choice",
    "dense",
    "filled_shape",
    "flag",
    "fraction",
    "integer",
    "node_count",
    "positive",
    "printable",
    "shape",
    "sides",
    "times",
]

LARGEST = 2**31 - 1
"""Of whole numbers, where nothing else is said."""
MOST_TIMES = 1000
"""How often something may be done over and over: rounds, layers, iterations."""
MOST_NODES = 4096
"""Nodes that a frame may be given; edges are pairs of them."""

T = TypeVar("T")


_TOLD = 1000  # characters


class InputError(ValueError):
    """Bad input: ``name: expected …, got …``; of what came, the first 1,000 characters."""

    def __init__(self, name: str, expected: object, got: object) -> None:
        came = str(got)
        came = came if len(came) <= _TOLD else f"{came[:_TOLD]} …"
        super().__init__(printable(f"{name}: expected {expected}, got {came}"))
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self.name, self.args[0]))


def printable(text: str) -> str:
    """Text that can be printed and written: bytes of a file's name that are none become codes.

    Examples:
        >>> printable("a\\udcff.mp4")
        'a\\\\udcff.mp4'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _restore(name: str, message: str) -> InputError:
    error = InputError.__new__(InputError, name, message)
    error.args, error.name = (message,), name
    return error


def shape(name: str, tensor: Tensor, *pattern: str | int) -> tuple[int, ...]:
    """Check the shape of a tensor against a pattern and return its sizes.

    A number of the pattern is that size, a letter any size, the same wherever the letter stands
    again.

    Args:
        name: how the argument is called where it was passed.
        tensor: the tensor.
        pattern: numbers, and words such as ``"B T 32 H W"``. Sizes that are known are passed as
            they are: a compiler that leaves a size open could not write it into a word.

    Returns:
        All sizes, in order.

    Raises:
        InputError: when the rank or a size differs, or ``tensor`` is none.

    Examples:
        >>> import torch
        >>> shape("features", torch.zeros(2, 5, 32, 16, 16), "B T", 32, "H H")
        (2, 5, 32, 16, 16)
        >>> shape("features", torch.zeros(2, 16), "B T 32 H H")
        Traceback (most recent call last):
        stgraph.checks.InputError: features: expected [B, T, 32, H, H], got [2, 16]
    """
    words: list[str | int] = []
    for part in pattern:
        words += part.split() if isinstance(part, str) else [part]
    if isinstance(tensor, Tensor) and tensor.dim() == len(words) and _fits(tensor.shape, words):
        return tuple(tensor.shape)
    expected = f"[{', '.join(map(str, words))}]"
    if not isinstance(tensor, Tensor):
        raise InputError(name, f"a tensor {expected}", type(tensor).__name__)
    raise InputError(name, expected, list(tensor.shape))


def filled_shape(name: str, tensor: Tensor, *pattern: str | int) -> tuple[int, ...]:
    """Check the shape of a tensor as :func:`shape` does, and that no size is 0.

    Args:
        name: how the argument is called where it was passed.
        tensor: the tensor.
        pattern: as of :func:`shape`.

    Returns:
        All sizes, in order.

    Raises:
        InputError: when the rank or a size differs, a size is 0, or ``tensor`` is none.

    Examples:
        >>> import torch
        >>> filled_shape("video", torch.zeros(0, 5), "B T")
        Traceback (most recent call last):
        stgraph.checks.InputError: video: expected no size of 0, got [0, 5]
    """
    sizes = shape(name, tensor, *pattern)
    if 0 in sizes:
        raise InputError(name, "no size of 0", list(sizes))
    return sizes


def _fits(sizes: Sequence[int], words: Sequence[str | int]) -> bool:
    letters: dict[str, int] = {}
    for size, word in zip(sizes, words, strict=True):
        if isinstance(word, str):
            word = int(word) if word.isdigit() else letters.setdefault(word, size)
        if size != word:
            return False
    return True


def channels(name: str, tensor: Tensor, width: int) -> int:
    """Check the width of node features ``[V, width]`` and return the number of nodes V."""
    return shape(name, tensor, "V", width)[0]


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
        raise InputError(name, "one of " + ", ".join(map(repr, options)), _short(value))
    return value


def integer(name: str, value: int, minimum: int = 1, maximum: int = LARGEST) -> int:
    """Return ``value``, as an ``int``, if it is a whole number from ``minimum`` to ``maximum``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise InputError(name, f"a whole number of at least {minimum}", _short(value))
    if value > maximum:
        raise InputError(name, f"a whole number of at most {maximum}", _short(value))
    return int(value)


def times(name: str, value: int, minimum: int = 1) -> int:
    """Return ``value`` if it is how often something can be done: at most 1,000 times.

    For what no memory is taken for, but a loop or a tuple of so many parts is made.

    Examples:
        >>> times("rounds", 10**9)
        Traceback (most recent call last):
        stgraph.checks.InputError: rounds: expected a whole number of at most 1000, got 1000000000
    """
    return integer(name, value, minimum, MOST_TIMES)


def node_count(name: str, value: int) -> int:
    """Return ``value`` if it is a number of nodes of a frame: at most 4,096."""
    return integer(name, value, maximum=MOST_NODES)


def sides(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of square grids if there is one, and they have at most 4,096 cells."""
    found = tuple(integer(name, side, maximum=MOST_NODES) for side in values[:MOST_NODES])
    if not found or len(values) > len(found):
        raise InputError(name, "at least one grid side", _short(list(found)))
    if (cells := sum(side * side for side in found)) > MOST_NODES:
        raise InputError(name, f"grids of at most {MOST_NODES} cells", f"{cells} of them")
    return found


def _short(value: object) -> str:
    """A value in a line of bounded length."""
    told = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a larger one"
    return told if len(told) <= 200 else told[:200] + "…"


def dense(name: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a tensor whose numbers are there to be copied.

    Sparse, nested and quantised ones, those of the meta device and those that only stand for a
    tensor are not.

    Raises:
        InputError: otherwise, with what it is.

    Examples:
        >>> import torch
        >>> dense("state['a']", torch.zeros(2, 3, device="meta"))
        Traceback (most recent call last):
        stgraph.checks.InputError: state['a']: expected a dense tensor of numbers, got a Tensor
        [2, 3] (torch.float32, torch.strided, meta)
    """
    expected = "a dense tensor of numbers"
    if not isinstance(value, Tensor):
        raise InputError(name, expected, type(value).__name__)
    if value.is_nested or type(value).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        raise InputError(name, expected, f"a {type(value).__name__} of another kind")
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = f"({value.dtype}, {value.layout}, {value.device.type})"
        raise InputError(name, expected, f"a {type(value).__name__} {list(value.shape)} {kind}")
    return value


def flag(name: str, value: bool) -> bool:
    """Return ``value`` if it is true or false."""
    if not isinstance(value, bool):
        raise InputError(name, "True or False", _short(value))
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(name, "a number above 0", _short(value))
    return value


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(name, "a number from 0 to 1", _short(value))
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
