"""``stgraph demo``: the demonstration on embedded digits."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo"]


def demo(
    out: str = "runs/demo",
    seed: int = 0,
    steps: int = 1000,
    warmup: int = 100,
    batch_size: int = 64,
    test_clips: int = 2000,
    shown: int = 6,
) -> Path:
    """Train dynamic regions and their fixed-grid twin on small digits, and write a report.

    Args:
        out: folder of what it writes; a page from before is replaced.
        seed: of every random number.
        steps: training steps of each model.
        warmup: steps on single frames before them, three times as many as clips a step.
        batch_size: clips a step.
        test_clips: clips of unseen digits that the models are tested on.
        shown: how many of these the page shows.

    Returns:
        The page.
    """
    from stgraph.applications.demo import run

    return run(out, seed, steps, warmup, batch_size, test_clips, shown)
