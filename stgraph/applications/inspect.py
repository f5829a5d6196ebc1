"""What a folder, a list or a data set of videos holds: counts, lengths, sizes, bad files."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, decoder
from stgraph.datasets.videos.finding import find_videos
from stgraph.datasets.videos.inspection import FileFacts, read_each
from stgraph.writing import write_whole

__all__ = ["Inspection", "inspect_videos", "run"]

_SHOWN = 20


@dataclass(frozen=True)
class Inspection:
    """What reading all videos told.

    Args:
        files: facts of each file, once, in the order of its first clip.
        bad: clips that cannot be read, by name, and why.
        classes: clips of each class, by its name; empty without labels.
        clips: how many there are.
        full: whether all frames were decoded.
        decoder: what decoded, and its version.
    """

    files: Sequence[FileFacts]
    bad: Mapping[str, str]
    classes: Mapping[str, int]
    clips: int
    full: bool
    decoder: Mapping[str, str]

    def summary(self) -> dict[str, Any]:
        """Counts, and how frames, sizes, rates and lengths of the good files are spread."""
        good = [one for one in self.files if not one.reason]
        times = [one.seconds for one in good if one.seconds is not None]
        return {
            "clips": self.clips,
            "files": len(self.files),
            "bad_clips": len(self.bad),
            "bad_files": len(self.files) - len(good),
            "bytes": sum(one.bytes for one in good),
            "frames": {"all": sum(one.frames for one in good)} | _spread(o.frames for o in good),
            "seconds": {"all": sum(times)} | _spread(times),
            "without_times": len(good) - len(times),
            "rates": _counted(f"{one.rate:.4g}" for one in good if one.rate is not None),
            "sizes": _counted(f"{one.width}x{one.height}" for one in good),
            "kinds": _counted(_kind(one.path) for one in self.files),
            "classes": dict(self.classes),
            "decoded": "all frames" if self.full else "first frames",
            "decoder": dict(self.decoder),
        }

    def text(self) -> str:
        """The summary, a line a fact."""
        told = self.summary()
        frames, seconds = told["frames"], told["seconds"]
        lines = [
            f"{told['clips']} clips in {told['files']} files ({told['bytes'] / 1e6:,.1f} MB; "
            f"{_most(told['kinds'])})",
            f"bad: {told['bad_clips']} clips, {told['bad_files']} files "
            f"({told['decoded']} decoded)",
        ]
        if frames.get("median") is not None:
            lines += [
                f"frames: {frames['all']:,} in all, {_between(frames)} a file",
                f"sizes: {_most(told['sizes'])}",
            ]
        if told["rates"]:
            lines += [
                f"seconds: {seconds['all']:,.1f} in all, {_between(seconds)} a file",
                f"frames a second: {_most(told['rates'])}",
            ]
        if told["without_times"]:
            lines.append(f"without times: {told['without_times']} files")
        if counts := sorted(self.classes.values()):
            share = max(counts) / max(1, sum(counts))
            lines.append(
                f"classes: {len(counts)}, of {counts[0]} to {counts[-1]} clips (median "
                f"{median(counts):g}); always the commonest answer is right in {100 * share:.1f} %"
            )
            lines.append(f"clips a class: {_most(self.classes)}")
        lines += [f"bad {name}: {why}" for name, why in list(self.bad.items())[:_SHOWN]]
        if len(self.bad) > _SHOWN:
            lines.append(f"and {len(self.bad) - _SHOWN} more (--out FILE writes all)")
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """All of it in plain values."""
        files = [asdict(one) for one in self.files]
        return {**self.summary(), "bad": dict(self.bad), "each": files}


def inspect_videos(
    entries: Sequence[Entry],
    label_names: Sequence[str] = (),
    full: bool = True,
    processes: int | None = None,
    limit: float = 60.0,
    bar: bool = False,
) -> Inspection:
    """Read every file that some clips are of once, and say what there is.

    Args:
        entries: the clips.
        label_names: the labels in words, by number.
        full: decode all frames; otherwise only what containers say, and first frames.
        processes: that read at the same time; as many as there are cores if None.
        limit: seconds after which a decoder that makes no progress is killed, and its file is bad.
        bar: show how far it is.

    Raises:
        InputError: on numbers below 1.
    """
    paths = list(dict.fromkeys(str(entry.path) for entry in entries))
    facts: dict[str, FileFacts] = {}
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with (
        Progress(*columns, console=console, disable=not bar, transient=True) as progress,
        closing(read_each(paths, full, processes, limit)) as done,  # type: ignore[type-var]
    ):
        task = progress.add_task("", total=len(paths))
        for number, told in done:
            facts[paths[number]] = told
            progress.advance(task)
    bad = {}
    for entry in entries:
        told = facts[str(entry.path)]
        if reason := told.reason or _outside(entry, told):
            bad[entry.name or str(entry.path)] = reason
    labels = Counter(entry.label for entry in entries if entry.label is not None)
    known = range(max([len(label_names), *(label + 1 for label in labels)])) if labels else ()
    classes = {label_names[k] if k < len(label_names) else str(k): labels.get(k, 0) for k in known}
    return Inspection([facts[p] for p in paths], bad, classes, len(entries), full, decoder())


def _outside(entry: Entry, facts: FileFacts) -> str:
    """What is wrong with the stretch of a clip in its video; empty if nothing."""
    if entry.start is None and entry.end is None:
        return ""
    start, end = entry.start or 0.0, entry.end
    if facts.seconds is None:
        return "start and end: expected none, for a video without time stamps"
    if start >= facts.seconds or (end is not None and end <= max(start, 0.0)):
        return f"start and end: expected a part of {facts.seconds:.3f} s, got {start} to {end} s"
    return ""


def _spread(values: Iterable[float]) -> dict[str, float | None]:
    known = sorted(values)
    if not known:
        return dict.fromkeys(("least", "median", "most"))
    return {"least": known[0], "median": median(known), "most": known[-1]}


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _kind(path: str) -> str:
    return Path(path).suffix.lower() or "folders of images"


def _between(spread: Mapping[str, Any]) -> str:
    return f"{spread['least']:.4g} to {spread['most']:.4g} (median {spread['median']:.4g})"


def _most(counts: Mapping[str, int]) -> str:
    """The commonest few."""
    common = Counter(counts).most_common(8)
    told = ", ".join(f"{word} ({count})" for word, count in common)
    return told + (f" and {len(counts) - 8} others" if len(counts) > 8 else "")


def run(
    root: str,
    split: Literal["train", "val", "test"] = "train",
    decode: Literal["all", "first"] = "all",
    processes: int | None = None,
    limit: float = 60.0,
    out: str | None = None,
    bar: bool = True,
) -> int:
    """Read every file of some videos once, and print what there is.

    Args:
        root: a folder of videos, a list of them, a manifest, one video; or a configuration
            (.yaml), of which the data set is read that ``split`` names.
        split: which of the configuration's clips.
        decode: all frames; or the first one of each video, beside what its container says.
        processes: that read at the same time; as many as there are cores when absent.
        limit: seconds after which a decoder that makes no progress is killed, and its file is bad.
        out: where to write all of it as JSON, a fact for each file too.
        bar: show how far it is.

    Returns:
        How many clips are bad.

    Raises:
        InputError: when there are no videos, or on numbers below 1.
    """
    if Path(root).suffix in (".yaml", ".yml") and Path(root).is_file():
        entries, names = _of_configuration(root, split)
    else:
        entries, names = find_videos(root)
    told = inspect_videos(
        entries, names, decode == "all", processes, limit, bar and sys.stderr.isatty()
    )
    print(told.text())
    if out is not None:
        write_whole(out, json.dumps(told.json(), indent=1).encode())
        print(f"wrote {out}")
    return len(told.bad)


def _of_configuration(path: str, split: str) -> tuple[Sequence[Entry], Sequence[str]]:
    from stgraph.runs.command import Command
    from stgraph.training.data import dataset_of

    options = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    command = Command(["fit", "--config", path, *options], run=False)
    dataset = dataset_of(command.datamodule, split)
    entries = getattr(dataset, "entries", None)
    if entries is None:
        raise InputError(f"data.{split}", "videos (a data set with entries)", type(dataset))
    return entries, getattr(dataset, "label_names", ())
