"""Copies of modules for one call: the same weights and code, and blocks around them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from types import MethodType
from typing import Any, cast

from torch import Tensor, nn

__all__ = ["shallow", "stand_in"]


def shallow(
    module: nn.Module, below: dict[str, nn.Module | None], copies: Mapping[int, nn.Module]
) -> nn.Module:
    """A module of the same class with the same attributes and other parts, for a call of its own.

    Lists of its parts, and a forward that was bound to it, become those of the copy.
    """
    copied = module.__class__.__new__(module.__class__)
    for name, value in module.__dict__.items():
        if isinstance(value, MethodType) and value.__self__ is module:
            value = MethodType(value.__func__, copied)
        copied.__dict__[name] = value if name[0] == "_" else _swapped(value, copies)
    copied.__dict__["_modules"] = below
    return copied


def _swapped(value: Any, copies: Mapping[int, nn.Module]) -> Any:
    if isinstance(value, nn.Module):
        return copies.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_swapped(part, copies) for part in value)
    if type(value) is dict:
        return {key: _swapped(part, copies) for key, part in value.items()}
    return value


Run = Callable[[Tensor], Tensor]


def stand_in(module: nn.Module, before: Run | None, after: Run | None) -> None:
    """Let a copied module run blocks before and after itself.

    It gets a class of its own and no hook: compiled code is chosen by classes, not by hooks.
    """
    module.__dict__["_around"] = (module.__dict__.pop("forward", None), before, after)
    module.__class__ = _around(cast(Hashable, type(module)))


@cache
def _around(kind: Any) -> Any:
    """The class of modules of a kind that have blocks around them."""

    def forward(self: Any, *args: Any, **options: Any) -> Any:
        inner, before, after = self._around
        if before is not None:
            args = (before(args[0]), *args[1:])
        out = kind.forward(self, *args, **options) if inner is None else inner(*args, **options)
        return out if after is None else after(out)

    return type(f"{kind.__name__}WithBlock", (kind,), {"forward": forward})
