"""How many random cases a law is tried on: a quarter of them, or all, as the slow tests do.

``make slow`` sets ``STGRAPH_ALL_EXAMPLES`` and runs the files that ask here once more.
"""

from __future__ import annotations

import os

from hypothesis import settings

__all__ = ["of", "some"]

ALL = "STGRAPH_ALL_EXAMPLES" in os.environ


def of(count: int) -> int:
    """So many of ``count`` cases."""
    return count if ALL else -(-count // 4)


def some(count: int) -> settings:
    """So many of ``count`` examples of hypothesis, the same ones in every run."""
    return settings(max_examples=of(count), derandomize=True, deadline=None)
