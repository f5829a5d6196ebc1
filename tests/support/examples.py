"""How many random cases a law is tried on: a quarter of them, or all, as the slow tests do.

A test that asks here is marked ``law``; ``make slow`` sets ``STGRAPH_ALL_EXAMPLES=1`` and runs it,
slow or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

__all__ = ["of", "some"]

ALL = os.environ.get("STGRAPH_ALL_EXAMPLES") == "1"


def of(count: int) -> int:
    """So many of ``count`` cases. The test has to be marked ``law``."""
    return count if ALL else -(-count // 4)


def some(count: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A law on so many of ``count`` examples of hypothesis, the same ones in every run."""
    chosen = settings(max_examples=of(count), derandomize=True, deadline=None)

    def law(test: Callable[..., Any]) -> Callable[..., Any]:
        return pytest.mark.law(chosen(test))

    return law
