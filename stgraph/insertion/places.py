"""Places in a CNN: by what names they are found, and what maps they give."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from stgraph.checks import InputError

__all__ = ["BEFORE", "Place", "find", "part_of", "sizes", "tensors"]

BEFORE = ":before"
"""What the name of a place before a module ends in."""


class Place(NamedTuple):
    """A place in a CNN, as a maker of blocks is told it."""

    name: str
    channels: int
    frames: int | None
    """Frames of the maps there in a 3D CNN; ``None`` in a 2D CNN, which runs on any number."""
    height: int
    width: int


def find(net: nn.Module, names: str | tuple[str, ...], argument: str) -> list[str]:
    """Names of the modules that a pattern, or a tuple of them, stands for."""
    known = [name for name, _ in net.named_modules() if name]
    found = []
    for pattern in (names,) if isinstance(names, str) else names:
        if not isinstance(pattern, str):
            raise InputError(argument, "names of modules", repr(pattern))
        parts = pattern.split(".")
        matches = [
            name
            for name in known
            if len(parts) == name.count(".") + 1 and all(map(fnmatchcase, name.split("."), parts))
        ]
        if not matches:
            near = difflib.get_close_matches(pattern, known) or known[:5]
            raise InputError(argument, f"names of modules, such as {near}", repr(pattern))
        if strange := [name for name in matches if "/" in name or name.endswith(BEFORE)]:
            raise InputError(argument, f"names without '/' and {BEFORE!r} at the end", strange)
        found += [name for name in matches if name not in found]
    return found


def part_of(parts: Mapping[str, nn.Module | None], name: str) -> nn.Module:
    """The module of a name, by parts alone: a CNN may call a part as it calls something else."""
    module: nn.Module | None = None
    for step in name.split("."):
        module = (parts if module is None else vars(module)["_modules"]).get(step)
        if module is None:
            raise InputError("net", f"a CNN that has {name!r} still", "one without")
    return cast(nn.Module, module)


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """All parameters, then all buffers."""
    yield from module.parameters()
    yield from module.buffers()


def sizes(net: nn.Module, keys: Sequence[str], size: Sequence[int]) -> dict[str, Place]:
    """Channels and map sizes at places, in the order in which they run.

    They are found in a run of a copy without memory.

    It has the CNN's structure and tensors of the meta device, so no weight is copied and nothing
    is computed. A CNN that cannot run there runs on zeros, in a true copy.
    """
    try:
        held = [value for m in net.modules() for value in vars(m).values()]  # by old weight norms
        memo: dict[int, Any] = {
            id(t): _on_meta(t) for t in (*tensors(net), *held) if isinstance(t, Tensor)
        }
        return _record(copy.deepcopy(net, memo), keys, size, torch.device("meta"))
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError):
        device = next(tensors(net), torch.empty(0)).device
        try:
            return _record(copy.deepcopy(net), keys, size, device)
        except InputError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                "input_size", f"what {type(net).__name__} takes", f"{tuple(size)} ({reason})"
            ) from error


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def _record(
    net: nn.Module, keys: Sequence[str], size: Sequence[int], device: torch.device
) -> dict[str, Place]:
    """Run ``net`` (a copy to throw away) and note the maps at each place."""
    seen: dict[str, Place] = {}
    flat = len(size) == 3
    expected = "a map [F, C, H, W]" if flat else "a map [B, C, T, H, W]"

    def note(key: str, maps: Any) -> None:
        if key in seen:
            raise InputError(key, "a module that the CNN runs once", "one that it runs again")
        if not isinstance(maps, Tensor) or maps.dim() != len(size) + 1 or maps.size(0) != 2:
            came = list(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise InputError(key, expected, came)
        frames = None if flat else maps.size(2)
        seen[key] = Place(
            key.removesuffix(BEFORE), maps.size(1), frames, maps.size(-2), maps.size(-1)
        )

    for key in keys:
        module = part_of(net._modules, key.removesuffix(BEFORE))
        if key.endswith(BEFORE):
            module.register_forward_pre_hook(
                lambda _, args, key=key: note(key, args[0] if args else None)
            )
        else:
            module.register_forward_hook(lambda _, args, out, key=key: note(key, out))
    tensor = next((t for t in tensors(net) if t.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        net.eval()(torch.zeros(2, *size, device=device, dtype=tensor.dtype))
    for key in keys:
        if key not in seen:
            raise InputError(key, "a module that the CNN runs", "one that it does not")
    return seen
