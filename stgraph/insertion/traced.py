"""A CNN with blocks around its parts as a compiler follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from stgraph.insertion.copies import Around

__all__ = ["followed"]


@contextmanager
def followed(around: Sequence[Around]) -> Iterator[None]:
    """Put blocks around parts of a CNN while what it does is written down, compiled or exported.

    Modules get another ``forward`` for as long as they are followed. It is taken away again before
    the end, so it is part of nothing that runs later: programs that were written down hold what the
    blocks do, and no module is written to when they run. Where a compiler has to stop in between,
    for a block that it cannot follow, it leaves this context, and the call around it, uncompiled;
    then :mod:`stgraph.insertion.copies` is what runs.
    """
    parts = [vars(each.module) for each in around]
    before = [part.get("forward") for part in parts]
    for part, each in zip(parts, around, strict=True):
        part["forward"] = _between(each, each.module.forward)
    try:
        yield
    finally:
        for part, forward in zip(parts, before, strict=True):
            if forward is None:
                part.pop("forward", None)  # a module that stands twice has lost it already
            else:
                part["forward"] = forward


def _between(around: Around, inner: Callable[..., Any]) -> Callable[..., Any]:
    """The forward of a module with blocks before and after it."""

    def forward(images: Tensor, *args: Any, **options: Any) -> Any:
        seen = images if around.before is None else around.before(images)
        out = inner(seen, *args, **options)
        return out if around.after is None else around.after(out)

    return forward
