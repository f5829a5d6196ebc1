"""``stgraph predict --video``: a model's answers to video files, folders, lists and cameras."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import torch

from stgraph.applications.answers import (
    Answered,
    Latency,
    answer_clips,
    answer_frames,
    streams,
    timed_frames,
)
from stgraph.applications.trained import Trained, trained
from stgraph.checks import InputError, choice, integer, positive, printable
from stgraph.datasets.videos import Entry
from stgraph.datasets.videos.finding import find_videos
from stgraph.datasets.videos.live import LiveVideo, live_video
from stgraph.signals import Interrupted
from stgraph.writing import append_whole, whole, write_whole

__all__ = ["entries_of", "predict_live", "predict_videos", "run"]

Row = dict[str, Any]
OF_VIDEO = ("video", "answer", "class", "probability", "frames", "error")
OF_STEP = ("video", "seconds", "frames", "answer", "class", "probability", "milliseconds")
LIVE = (*OF_STEP, "dropped")


def run(
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
) -> int:
    """Answer videos with a trained model.

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

    Returns:
        How many videos could not be read.

    Raises:
        InputError: when files are missing or do not fit, or there is no such live video.
    """
    if rate is not None and rate != 0:
        positive("rate", rate)
    integer("piece", piece)
    words = [video] if isinstance(video, str) else video
    found = [live_video(word) for word in words]
    kind = _kind(out)
    if any(found) and len(found) > 1:
        raise InputError("video", "one live video, or files", " ".join(words))
    if not any(found):
        if seconds is not None:
            raise InputError("seconds", "none, for files", seconds)
        if rate is None and piece != 1:
            raise InputError(
                "piece", "1, for the few frames of a test (--rate asks for all)", piece
            )
    entries = [] if any(found) else entries_of(words)
    one = trained(ckpt, config, frames, size, _device(device))
    _tell(_how(one, rate is None and not any(found)))
    live = found[0]
    if live is None:
        return predict_videos(one, entries, out, kind, steps, rate, piece)
    live.rate = rate or None
    predict_live(one, live, out, kind, piece, seconds)
    return 0


def entries_of(words: Sequence[str]) -> list[Entry]:
    """The clips that some words of a command line name, each once; of one name, by their paths.

    Raises:
        InputError: when there is nothing where one of them leads to.
    """
    found: dict[Any, Entry] = {}
    for word in words:
        for entry in find_videos(word)[0]:
            found.setdefault((entry.path, entry.start, entry.end), entry)
    times = Counter(entry.name for entry in found.values())
    return [_by_path(entry) if times[entry.name] > 1 else entry for entry in found.values()]


def _by_path(entry: Entry) -> Entry:
    all_of_it = entry.start is None and entry.end is None
    stretch = "" if all_of_it else f"@{entry.seconds}"
    return replace(entry, name=printable(f"{entry.path}{stretch}"))


def predict_videos(
    one: Trained,
    entries: Sequence[Entry],
    out: str,
    kind: str = "jsonl",
    steps: bool = False,
    rate: float | None = None,
    piece: int = 1,
) -> int:
    """Write a model's answers to videos; one that cannot be read is told in its line.

    Args:
        one: the model.
        entries: the videos.
        out: a file, or ``-``. A file appears when all is written; when a signal ends the command,
            with the videos that were done.
        kind: ``csv`` or ``jsonl``.
        steps: a line after each piece, in place of one a video.
        rate: frames a second at most, 0 for all; the frames of the run's test if None.
        piece: frames at a time, with a rate.

    Returns:
        How many could not be read.
    """
    latency, bad, done, stopped = Latency(), 0, 0, None
    with _rows(out, kind, (*OF_STEP, "error") if steps else OF_VIDEO) as write:
        try:
            for entry in entries:
                for row in _rows_of(one, entry, steps, rate, piece, latency):
                    write(row)
                    bad += "error" in row
                done += 1
        except Interrupted as stop:
            stopped = stop
    _tell(f"{done} of {len(entries)} videos, {bad} of them bad; {_latencies(latency)}")
    if stopped is not None:
        raise stopped
    return bad


def _rows_of(
    one: Trained, entry: Entry, steps: bool, rate: float | None, piece: int, latency: Latency
) -> Iterator[Row]:
    """The lines of a video; the last one tells why it cannot be read, if so."""
    name, answered = entry.name or str(entry.path), None
    try:
        for answered in _answered(one, entry, rate, piece):
            latency.add(answered.latency)
            if steps:
                yield _step(one, name, answered)
        if answered is None:
            raise InputError(name, "a video with frames", "none")
        if not steps:
            yield _row(one, name, answered)
    except (InputError, OSError) as error:
        yield {"video": name, "error": str(error)}


def predict_live(
    one: Trained,
    live: LiveVideo,
    out: str = "-",
    kind: str = "jsonl",
    piece: int = 1,
    seconds: float | None = None,
) -> LiveVideo:
    """Write a line for each piece of a live video, when it is answered.

    Args:
        one: the model.
        live: the camera or stream.
        out: a file, or ``-``; lines are there at once.
        kind: ``csv`` or ``jsonl``.
        piece: frames at a time.
        seconds: when to end; with the stream if None.

    Returns:
        The live video, which tells how many frames were dropped.

    Raises:
        InputError: when it cannot be opened, or ends with an error.
    """
    if seconds is not None:
        positive("seconds", seconds)
    _warm_up(one, piece)
    latency, seen, begun = Latency(), 0, time.monotonic()
    with ExitStack() as stack:
        write = stack.enter_context(_lines(out, kind, LIVE))
        stack.enter_context(live)
        try:
            for answered in answer_frames(one, _newest(live, seconds), piece):
                latency.add(answered.latency)
                seen = answered.frames
                write({**_step(one, live.source, answered), "dropped": live.dropped})
        finally:
            pace = seen / max(time.monotonic() - begun, 1e-9)
            _tell(
                f"{seen} frames, {pace:.1f} a second, {live.dropped} dropped; {_latencies(latency)}"
            )
    return live


def _warm_up(one: Trained, piece: int) -> None:
    """Answer a black clip first: the first call of a model is slow, and would cost frames."""
    black = torch.zeros(3, 480, 640, dtype=torch.uint8)
    next(answer_frames(one, repeat((black, None)), piece))


def _newest(live: LiveVideo, seconds: float | None) -> Iterator[tuple[torch.Tensor, float]]:
    for frame in live:
        if seconds is not None and frame.seconds >= seconds:
            return
        yield frame.pixels, frame.seconds


def _answered(one: Trained, entry: Entry, rate: float | None, piece: int) -> Iterator[Answered]:
    if rate is None:
        return answer_clips(one, entry)
    return answer_frames(one, timed_frames(entry, rate or None), piece)


def _row(one: Trained, name: str, answered: Answered) -> Row:
    return {
        "video": name,
        "answer": answered.label,
        "class": one.name(answered.label),
        "probability": round(answered.probability, 6),
        "frames": answered.frames,
    }


def _step(one: Trained, name: str, answered: Answered) -> Row:
    told = None if answered.seconds is None else round(answered.seconds, 3)
    took = round(1000 * answered.latency, 3)
    return {**_row(one, name, answered), "seconds": told, "milliseconds": took}


def _how(one: Trained, clips: bool) -> str:
    """How a model goes over videos, and why."""
    streaming, why = streams(one)
    what = f"the frames of the run's test ({one.rule})" if clips else "whole videos"
    way = "piece by piece with its state" if streaming else "clip by clip, each from no memory"
    return f"{what}, {way}: {why}"


def _latencies(latency: Latency) -> str:
    if not latency.count:
        return "no answers"
    half, most = (1000 * latency.quantile(share) for share in (0.5, 0.99))
    return f"latency of {latency.count} answers: p50 {half:.1f} ms, p99 {most:.1f} ms"


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device", "cpu: there is no GPU that torch can use", name)
    return name


def _kind(out: str) -> str:
    return (
        "jsonl"
        if out == "-"
        else choice("suffix of out", Path(out).suffix.lower().removeprefix("."), ("csv", "jsonl"))
    )


@contextmanager
def _rows(out: str, kind: str, columns: Sequence[str]) -> Iterator[Any]:
    """Write rows to a file that appears whole, or lines to standard output."""
    if out == "-":
        yield _writer(_print, kind, columns)
        return
    with whole(out) as part:
        yield _writer(partial(_append, part), kind, columns)
    _tell(f"wrote {out}")


@contextmanager
def _lines(out: str, kind: str, columns: Sequence[str]) -> Iterator[Any]:
    """Write rows where each is to be seen at once."""
    if out == "-":
        yield _writer(_print, kind, columns)
        return
    write_whole(out, b"")
    yield _writer(partial(_append, Path(out)), kind, columns)


def _writer(put: Callable[[str], object], kind: str, columns: Sequence[str]) -> Any:
    """What writes rows, each as one text."""

    def write(row: Row) -> None:
        if kind == "csv":
            put(_line(columns, row))
        else:
            put(json.dumps({name: row[name] for name in columns if name in row}) + "\n")

    if kind == "csv":
        put(_line(columns, dict(zip(columns, columns, strict=True))))
    return write


def _line(columns: Sequence[str], row: Row) -> str:
    text = StringIO(newline="")
    csv.DictWriter(text, columns).writerow(row)
    return text.getvalue()


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _append(path: Path, text: str) -> None:
    append_whole(path, text.encode())


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
