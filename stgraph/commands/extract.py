"""``stgraph extract``: a data set of graphs from what a trained model makes of clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

__all__ = ["extract"]


def extract(
    ckpt: str,
    out: str,
    config: str | None = None,
    split: Literal["train", "val", "test", "predict"] = "test",
    graphs: Literal["frames", "clips"] = "frames",
    features: str = "nodes",
    place: str | None = None,
    attention: str | None = None,
    kernel: bool = False,
    half: bool = False,
    shard_clips: int = 256,
    on_error: Literal["raise", "skip"] = "raise",
    options: Sequence[str] = (),
) -> Path:
    """Run a trained model over clips and write a data set of its graphs.

    Args:
        ckpt: checkpoint of the model.
        out: folder of the data set: a new one, or one to go on with.
        config: configuration of the model and its data; that of the checkpoint's run when absent.
        split: which of the configuration's clips.
        graphs: frames, a graph a frame; or clips, a space-time graph a clip.
        features: nodes, those of the extractor; processed, those after the whole schedule; or those
            after a place of it, by its number or the name of its layer.
        place: of a CNN with several graphs, the name of the place; the last one when absent.
        attention: number of the stage whose weights of edges are kept, all or none; that of the
            last stage that has any when absent.
        kernel: keep each node's kernel too.
        half: keep features, weights and kernels in half precision.
        shard_clips: clips of a shard.
        on_error: what happens to a clip that cannot be read: raise, or skip and list it.
        options: further options of a run, for example ``--data.root clips`` or
            ``--trainer.devices 2``.

    Returns:
        The datasheet.
    """
    from stgraph.applications.extract import run

    return run(
        ckpt,
        out,
        config,
        split,
        graphs,
        features,
        place,
        attention,
        kernel,
        half,
        shard_clips,
        on_error,
        options,
    )
