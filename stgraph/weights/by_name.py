"""Weights from elsewhere: what was loaded by name, and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, dense

__all__ = ["Loaded", "alike", "load_by_name", "match_names", "told"]

# How many training batches a norm has seen. Old files lack it, and no result depends on it as long
# as the norm has a momentum.
_COUNTER = "*num_batches_tracked"


class Loaded(NamedTuple):
    """What became of every name when weights were loaded.

    Examples:
        >>> print(Loaded(("a", "b"), ("fc.weight", "fc.bias"), ()))
        2 used, 2 skipped (fc.weight, fc.bias), 0 missing
    """

    used: tuple[str, ...]
    """Parameters and buffers of the net that were loaded."""
    skipped: tuple[str, ...]
    """Names of the weights that the net does not have, or has in another shape."""
    missing: tuple[str, ...]
    """Parameters and buffers of the net that kept their values."""

    def __str__(self) -> str:
        return (
            f"{len(self.used)} used, {len(self.skipped)} skipped{_some(self.skipped)}, "
            f"{len(self.missing)} missing{_some(self.missing)}"
        )


def _some(names: Sequence[str], most: int = 4) -> str:
    """The first of some names, in brackets."""
    if not names:
        return ""
    return f" ({', '.join(names[:most])}{', …' if len(names) > most else ''})"


def told(given: object) -> str:
    """What a weight is: its shape and kind, or that it is none."""
    if not isinstance(given, Tensor) or given.is_nested:
        return type(given).__name__
    return f"{list(given.shape)} ({given.dtype}, {given.layout})"


def alike(given: object, mine: Tensor) -> bool:
    """Whether values can be copied as they are: of one shape, and real ones for real ones."""
    if not isinstance(given, Tensor) or given.is_nested or given.shape != mine.shape:
        return False
    if mine.layout == torch.strided:
        try:
            dense("given", given)
        except InputError:
            return False
    fits = given.is_floating_point() or not mine.is_floating_point()
    same = given.layout == mine.layout and given.is_complex() == mine.is_complex()
    return fits and same and _copies(given.dtype, mine.dtype)


def _copies(given: torch.dtype, mine: torch.dtype) -> bool:
    """Whether numbers of one kind can become those of another; some kinds are names alone."""
    try:
        torch.empty(1, dtype=mine).copy_(torch.empty(1, dtype=given))
    except RuntimeError:
        return False
    return True


def load_by_name(
    net: nn.Module, state: Mapping[str, Tensor], optional: Iterable[str] = ()
) -> Loaded:
    """Load weights into the parts of a net that have the same names, and say which.

    All of the net must be found, in its shape, but for what ``optional`` allows. More than the net
    has is skipped. Nothing is changed when an error is raised.

    Args:
        net: any module.
        state: weights by name.
        optional: names, or patterns with ``*``, of what may be missing from ``state`` or have
            another shape there: it is left as it is. Counters of batches that norms have seen
            always may be missing.

    Returns:
        Names used, skipped and missing.

    Raises:
        InputError: naming what is missing, or has another shape, and is not optional.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
        >>> state = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3), "2.bias": torch.ones(1)}
        >>> print(load_by_name(net, state, optional=["1.*"]))
        2 used, 1 skipped (2.bias), 2 missing (1.weight, 1.bias)
    """
    used, missing = match_names(net, state, optional)
    net.load_state_dict(used, strict=False)
    skipped = (str(name) for name in state if name not in used)
    return Loaded(tuple(used), tuple(skipped), tuple(missing))


def match_names(
    net: nn.Module, state: Mapping[str, Tensor], optional: Iterable[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """What :func:`load_by_name` would load into a net, and names of the net that it would not.

    Raises:
        InputError: as there.
    """
    if not isinstance(state, Mapping):
        raise InputError("state", "weights by name", type(state).__name__)
    if isinstance(optional, str):
        raise InputError("optional", "a sequence of names or patterns", repr(optional))
    patterns = (*optional, _COUNTER)
    used: dict[str, Tensor] = {}
    missing, absent = [], []
    for name, mine in net.state_dict().items():
        given = state.get(name)
        may_miss = any(fnmatchcase(name, pattern) for pattern in patterns)
        if isinstance(given, Tensor) and alike(given, mine):
            used[name] = given
            continue
        if given is not None and not may_miss:
            raise InputError(f"state[{name!r}]", list(mine.shape), told(given))
        missing.append(name)
        if not may_miss:
            absent.append(name)
    if absent:
        came = f"none of them, but {len(state)} names{_some([*islice(map(str, state), 5)])}"
        raise InputError("state", f"{len(absent)} more names{_some(absent)}", came)
    return used, missing
