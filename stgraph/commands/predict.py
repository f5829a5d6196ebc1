"""``stgraph predict --video``: answers to video files and cameras, in place of a data module's."""

from __future__ import annotations

from typing import Literal

__all__ = ["predict"]


def predict(
    video: str | list[str],
    ckpt: str,
    config: str | None = None,
    out: str = "-",
    steps: bool = False,
    rate: float | None = None,
    frames: int | None = None,
    size: int | None = None,
    piece: int = 1,
    seconds: float | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Answer videos with a trained model; 1 when some cannot be read.

    Args:
        video: files, folders, lists, manifests; or one live video: ``camera``, ``camera:SOURCE``,
            ``camera:FORMAT:SOURCE``, an address such as ``rtsp://…``, or ``-``, standard input.
        ckpt: checkpoint of the model, or the folder of its run.
        config: configuration of the model and its data; the one saved with the run when absent.
        out: a file, ``.csv`` or ``.jsonl``, or ``-``: lines of JSON on standard output.
        steps: a line after each piece of a video, in place of one a video; live videos always.
        rate: go over whole videos with so many frames a second at most, 0 for all of them, in
            place of the few frames that the run's test would take.
        frames: of a clip, in place of the run's.
        size: height and width of what the model sees, in place of the run's.
        piece: frames at a time where the model goes over whole videos.
        seconds: of a live video, until its end when absent.
        device: where the model runs: auto takes a GPU if there is one.
    """
    from stgraph.applications.predict import run

    bad = run(video, ckpt, config, out, steps, rate, frames, size, piece, seconds, device)
    if bad:
        raise SystemExit(1)
