"""``stgraph show``: a page of the regions and the attention that a trained model has on clips."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["show"]


def show(
    ckpt: str,
    config: str | None = None,
    split: Literal["train", "val", "test"] = "test",
    index: int = 0,
    count: int = 1,
    out: str = "show.html",
) -> Path:
    """Write a page of the regions that a model finds in a clip.

    Args:
        ckpt: checkpoint of the model.
        config: configuration of the model and its data; the one saved beside the checkpoint's run
            when absent.
        split: which of the configuration's clips.
        index: number of the first clip.
        count: how many clips from there.
        out: the page.

    Returns:
        The page.
    """
    from stgraph.applications.show import run

    return run(ckpt, config, split, index, count, out)
