"""Whether a frame's output waits for later frames: what modules say, and what follows from it.

A module says ``causal = True`` where the output of a frame depends on this frame and earlier ones
only, and what it has to remember of them is in its state. It says ``causal = False`` where it looks
at other frames in any other way: such a part needs the whole clip at once. What a module says holds
for all that is inside it. One that says nothing is as causal as its parts are; an ordinary module,
which works on every frame by itself, need not say anything.
"""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import nn

from stgraph.checks import InputError

__all__ = ["AsItsParts", "refuse_state", "says", "waiting"]


class AsItsParts:
    """The ``causal`` of a module that says nothing itself; a subclass may still say it.

    Examples:
        >>> class Pair(nn.Module):
        ...     causal = AsItsParts()
        ...     def __init__(self, one, other):
        ...         super().__init__()
        ...         self.one, self.other = one, other
        >>> class Centred(nn.Module):
        ...     causal = False
        >>> Pair(nn.Identity(), nn.ReLU()).causal
        True
        >>> Pair(nn.Identity(), nn.Sequential(nn.ReLU(), Centred())).causal
        False
    """

    @overload
    def __get__(self, module: None, owner: type) -> AsItsParts: ...

    @overload
    def __get__(self, module: nn.Module, owner: type) -> bool: ...

    def __get__(self, module: nn.Module | None, owner: type) -> bool | AsItsParts:
        return self if module is None else not _waits(module)


def says(part: Any) -> bool | None:
    """What a part says itself about being causal; ``None`` where it says nothing."""
    said = getattr(type(part), "causal", None)
    if "causal" not in getattr(part, "__dict__", ()) and (
        said is None or isinstance(said, AsItsParts)
    ):
        return None
    said = getattr(part, "causal", None)  # its own, or what a property says
    return said if isinstance(said, bool) else None


def waiting(module: nn.Module) -> list[str]:
    """Names of the parts of a module, at any depth, that need the whole clip at once.

    Its modules, and the edge builder of an extractor, which sees all frames too.
    """
    found = []
    parts: dict[str, Any] = module._modules
    if "edges" in (own := vars(module)):
        parts = {**parts, "edges": own["edges"]}
    for name, part in parts.items():
        said = says(part)
        if said is False:
            found.append(name)
        elif said is None and isinstance(part, nn.Module):
            found += [f"{name}.{inner}" for inner in waiting(part)]
    return found


# A compiler takes it as it is: among the parts are some that it refuses to look at, such as a GRU.
@torch.compiler.assume_constant_result
def _waits(module: nn.Module) -> bool:
    return bool(waiting(module))


def refuse_state(module: Any, state: object, part: str | None = None) -> None:
    """Check that a module which gets a state does not need the whole clip at once.

    Args:
        module: which gets it.
        state: what it gets; ``None`` passes.
        part: name of the only one of its parts that runs, where the others do not. What the module
            says itself holds for that too.

    Raises:
        InputError: naming the parts that do.
    """
    if state is None or module.causal:
        return
    late = [name for name in waiting(module) if part is None or name.split(".")[0] == part]
    if late or says(module) is False:
        late = late or [type(module).__name__]
        raise InputError("state", f"None: {late} need the whole clip at once", "a state")
