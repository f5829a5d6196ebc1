"""``stgraph demo-video``: from files of videos to answers, metrics, graphs and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["demo_video"]


def demo_video(
    out: str = "runs/demo_video",
    seed: int = 0,
    epochs: int = 11,
    clips: int = 1200,
    unseen: int = 400,
    digits: Literal["auto", "mnist", "sklearn"] = "auto",
) -> Path:
    """Make a data set of videos, train two models on it, and do with them what there is to do.

    Args:
        out: folder of all that it leaves.
        seed: of every random number.
        epochs: passes over the training videos.
        clips: training videos.
        unseen: videos to test on.
        digits: what moves: MNIST's digits, scikit-learn's, or MNIST's where they lie (auto).

    Returns:
        The file of the results.
    """
    from stgraph.applications.demo_video import run

    return run(out, seed, epochs, clips, unseen, digits)
