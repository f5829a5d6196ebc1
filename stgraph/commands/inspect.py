"""``stgraph inspect``: what a folder, a list or a data set of videos holds, and its bad files."""

from __future__ import annotations

from typing import Literal

__all__ = ["inspect"]


def inspect(
    root: str,
    split: Literal["train", "val", "test"] = "train",
    decode: Literal["all", "first"] = "all",
    processes: int | None = None,
    limit: float = 60.0,
    out: str | None = None,
    bar: bool = True,
) -> None:
    """Read every file of some videos once, and report what there is; 1 when some are bad.

    Args:
        root: a folder of videos, a list of them, a manifest, one video; or a configuration
            (.yaml), of which the data set is read that ``split`` names.
        split: which of the configuration's clips.
        decode: all frames; or the first one of each video, beside what its container says.
        processes: that read at the same time; as many as there are cores when absent.
        limit: seconds after which a decoder that makes no progress is killed, and its file is bad.
        out: where to write all of it as JSON, a fact for each file too.
        bar: show how far it is.
    """
    from stgraph.applications.inspect import run

    if run(root, split, decode, processes, limit, out, bar):
        raise SystemExit(1)
