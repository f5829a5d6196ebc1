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
    video: str | list[str] | None = None,
    frames: int | None = None,
    size: int | None = None,
) -> Path:
    """Write a page of the regions that a model finds in a clip.

    Args:
        ckpt: checkpoint of the model, or the folder of its run.
        config: configuration of the model and its data; the one saved with the run when absent.
        split: which of the configuration's clips.
        index: number of the first clip, or of the first video.
        count: how many clips from there.
        out: the page.
        video: files, folders, lists or manifests to show in place of the configuration's clips.
        frames: of a clip of a video, in place of the run's.
        size: height and width of what the model sees of a video, in place of the run's.

    Returns:
        The page.
    """
    from stgraph.applications.show import run

    return run(ckpt, config, split, index, count, out, video, frames, size)
