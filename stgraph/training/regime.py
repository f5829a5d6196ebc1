"""How a run is trained, in plain values: what one that is resumed must have in common with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from stgraph.checks import InputError

__all__ = ["Regime", "check_same", "describe"]

Regime = dict[str, Any]
"""Values by name; plain ones, which a checkpoint may hold."""

_HOW = {"params", "foreach", "fused", "capturable", "differentiable"}  # the same steps either way
_SHOWN = 3


def describe(optimizer: Optimizer, schedule: object, parameters: Mapping[str, Tensor]) -> Regime:
    """Describe a training before its first step.

    Args:
        optimizer: with its rates as they were built, before a schedule changes them.
        schedule: the part; what it is set to counts, and not how long the run is.
        parameters: of the module, by name.

    Examples:
        >>> import torch
        >>> net = torch.nn.Linear(2, 2)
        >>> made = describe(torch.optim.SGD(net.parameters(), lr=0.1), None, {})
        >>> made["optimizer"], made["groups[0].lr"], made["groups[0].momentum"]
        ('torch.optim.sgd.SGD', '0.1', '0')
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    regime: Regime = {"optimizer": _path(optimizer), "schedule": _path(schedule)}
    regime.update({f"schedule.{name}": _plain(value) for name, value in _options(schedule)})
    regime["groups"] = str(len(optimizer.param_groups))
    for number, group in enumerate(optimizer.param_groups):
        for name in sorted(group.keys() - _HOW):
            regime[f"groups[{number}].{name}"] = _plain(group[name])
        regime[f"groups[{number}].parameters"] = ", ".join(
            names.get(id(parameter), "?") for parameter in group["params"]
        )
    return regime


def check_same(before: Regime, now: Regime) -> None:
    """Check that a run is trained as the one that it resumes.

    Args:
        before: as the checkpoint has it; empty where it has none, and then nothing is checked.
        now: of this run.

    Raises:
        InputError: naming what is different.

    Examples:
        >>> check_same({"optimizer": "SGD", "groups[0].lr": "0.1"}, {"optimizer": "AdamW"})
        Traceback (most recent call last):
        stgraph.checks.InputError: ckpt_path: expected to be resumed as it was trained, got
        optimizer AdamW for SGD; groups[0].lr nothing for 0.1
    """
    if not before:
        return
    names = dict.fromkeys([*before, *now])
    other = [name for name in names if before.get(name) != now.get(name)]
    if other:
        told = "; ".join(
            f"{name} {_short(now.get(name))} for {_short(before.get(name))}"
            for name in other[:_SHOWN]
        )
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise InputError("ckpt_path", "to be resumed as it was trained", told + more)


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= 80 else f"{value[:80]}…"


def _path(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _options(part: object) -> Iterable[tuple[str, object]]:
    return sorted(getattr(part, "__dict__", {}).items())


def _plain(value: object) -> str:
    if isinstance(value, Tensor):
        value = value.tolist()
    told = repr(value)
    return _path(value) if " at 0x" in told else told
