"""Copies of modules for one call: the same weights and code, and blocks around them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MethodType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

__all__ = ["Around", "Run", "Way", "way_to"]

Run = Callable[[Tensor], Tensor]
"""What runs a block on maps, for one call."""

_COMPILED = "_compiled_call_impl"
_OWN = frozenset(vars(nn.Module())) | {_COMPILED}
"""What every module has; whatever else it has, its author gave it."""
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
Children = Mapping[str, nn.Module | None]


class Around(NamedTuple):
    """A module of the CNN with what runs before and after it."""

    module: nn.Module
    before: Run | None
    after: Run | None


class Way(NamedTuple):
    """Copies of the modules on the way to some places, the CNN itself first."""

    net: nn.Module
    """The copy to run."""
    pairs: list[tuple[nn.Module, nn.Module, dict[str, Any]]]
    """Module, copy, and what the copy was given."""

    @torch.compiler.disable
    def settle(self) -> None:
        """Hand on what the CNN's own code wrote on its modules, such as a counter of its calls."""
        for module, copied, given in self.pairs:
            now = vars(copied)
            for name in given.keys() - now.keys():
                vars(module).pop(name, None)
            for name, value in now.items():
                if name not in _OWN and name != "_around" and given.get(name, _OWN) is not value:
                    vars(module)[name] = value


@torch.compiler.disable  # it makes modules; the run of the copies that follows compiles again
def way_to(
    root: nn.Module, parts: Children, around: Sequence[Around], compiled: bool = False
) -> Way:
    """Copy a CNN's modules on the way to those that blocks stand before or after.

    Copied are these modules, what they are parts of, and modules with a hook that is bound to one
    of these. Attributes that hold such modules hold their copies.

    Args:
        root: the CNN.
        parts: its children, which may be others by now.
        around: what runs before and after some modules.
        compiled: whether the copies run in compiled code.
    """
    hooked = [m for m in _modules(root, parts) if any(vars(m)[kind] for kind in _HOOKS)]
    found = {id(root): root} | _above(root, parts, {id(each.module) for each in around})
    while bound := {id(m) for m in hooked if id(m) not in found and _is_bound(m, found)}:
        found |= _above(root, parts, bound)
    copies = {key: object.__new__(type(module)) for key, module in found.items()}
    pairs = []
    for key, module in found.items():
        below = parts if module is root else module._modules
        given = _filled(module, below, copies, copies[key])
        pairs.append((module, copies[key], given))
        if compiled and type(module).forward is nn.Sequential.forward:
            copies[key].__class__ = _steady(cast(Hashable, type(module)))
    for each in around:
        _stand_in(copies[id(each.module)], each.before, each.after)
    return Way(copies[id(root)], pairs)


def _modules(root: nn.Module, parts: Children) -> Iterator[nn.Module]:
    yield root
    for part in parts.values():
        if part is not None:
            yield from part.modules()


def _above(root: nn.Module, parts: Children, wanted: set[int]) -> dict[int, nn.Module]:
    """The wanted modules and those that they are parts of."""
    found: dict[int, nn.Module] = {}
    seen: dict[int, bool] = {}

    def visit(module: nn.Module, below: Children) -> bool:
        if id(module) not in seen:
            inside = [visit(part, part._modules) for part in below.values() if part is not None]
            seen[id(module)] = any(inside) or id(module) in wanted
            if seen[id(module)]:
                found[id(module)] = module
        return seen[id(module)]

    visit(root, parts)
    return found


def _is_bound(module: nn.Module, found: Mapping[int, nn.Module]) -> bool:
    """Whether a hook of a module belongs to another one that is copied."""
    for kind in _HOOKS:
        for hook in vars(module)[kind].values():
            inner = hook.func if isinstance(hook, partial) else hook
            if id(getattr(inner, "__self__", None)) in found:
                return True
    return False


def _filled(
    module: nn.Module, below: Children, copies: Mapping[int, nn.Module], copied: nn.Module
) -> dict[str, Any]:
    """Give a copy what its module has; returned is what its author gave it."""
    given = {
        name: _swapped(value, copies) for name, value in vars(module).items() if name not in _OWN
    }
    vars(copied).update({name: vars(module)[name] for name in _OWN & vars(module).keys()}, **given)
    for kind in _HOOKS:
        hooks = vars(module)[kind]
        vars(copied)[kind] = OrderedDict((k, _swapped(hook, copies)) for k, hook in hooks.items())
    vars(copied)["_modules"] = {
        name: part if part is None else copies.get(id(part), part) for name, part in below.items()
    }
    if _COMPILED in vars(copied):
        vars(copied)[_COMPILED] = None  # it would run the module, not the copy
    return given


def _swapped(value: Any, copies: Mapping[int, nn.Module]) -> Any:
    """A value with copies in place of modules; the value itself where none of them is in it."""
    if isinstance(value, nn.Module):
        return copies.get(id(value), value)
    if isinstance(value, MethodType):
        owner = _swapped(value.__self__, copies) if isinstance(value.__self__, nn.Module) else None
        same = owner is None or owner is value.__self__
        return value if same else MethodType(value.__func__, owner)
    if isinstance(value, partial):
        parts = [_swapped(part, copies) for part in (value.func, value.args, value.keywords)]
        same = parts[0] is value.func and parts[1] is value.args and parts[2] is value.keywords
        return value if same else partial(parts[0], *parts[1], **parts[2])
    if type(value) in (list, tuple, set, frozenset, deque):
        inner = [_swapped(part, copies) for part in value]
        same = all(one is other for one, other in zip(inner, value, strict=True))
        return value if same else type(value)(inner)
    if type(value) in (dict, OrderedDict):
        swapped = {key: _swapped(part, copies) for key, part in value.items()}
        same = all(swapped[key] is part for key, part in value.items())
        return value if same else type(value)(swapped)
    return value


def _stand_in(module: nn.Module, before: Run | None, after: Run | None) -> None:
    """Let a copied module run blocks before and after itself.

    It gets a class of its own and no hook: compiled code is chosen by classes, not by hooks.
    """
    vars(module)["_around"] = (vars(module).pop("forward", None), before, after)
    module.__class__ = _around(cast(Hashable, type(module)))


@cache
def _steady(kind: Any) -> Any:
    """The class of sequences of a kind whose parts see maps of one size each in compiled code.

    A block that breaks compiled code breaks the loop over the parts: they are then compiled one by
    one, and parts that share their code look to the compiler like one whose maps change their size.
    What it makes for maps of any size is slower, and of a ConvNeXt, whose maps have their channels
    at the end, inductor makes nothing: it cannot order their strides.
    """

    def forward(self: Any, input: Any) -> Any:
        for part in self:
            # Here and not in a function: the loop runs uncompiled, a function would be compiled.
            if not torch.compiler.is_compiling() and isinstance(input, Tensor) and input.dim() == 4:
                torch._dynamo.mark_static(input, [1, 2, 3])
            input = part(input)
        return input

    return type(kind.__name__, (kind,), {"forward": forward})


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
