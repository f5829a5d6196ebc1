"""The folder of a graph data set while it is written: its plan, its shards, its datasheet."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from stgraph import __version__, viz
from stgraph.applications.readme import readme
from stgraph.checks import InputError
from stgraph.datasets.graphs.packing import Packed, Packer
from stgraph.datasets.graphs.shards import write_shard
from stgraph.datasets.graphs.sheet import (
    INDEX,
    SHEET,
    SKIPPED,
    Shard,
    Skipped,
    write_rows,
    write_sheet,
)
from stgraph.datasets.pieces import Clips
from stgraph.reading import digest, read_json
from stgraph.training.module import ClassificationModule
from stgraph.writing import write_whole

__all__ = [
    "SHEET",
    "OpenShard",
    "begin",
    "check_folder",
    "finish",
    "is_done",
    "plan",
    "shard_count",
    "summary",
    "tidy",
]

PLAN = "plan.json"
_FACTS = ("stgraph", "torch", "torch-geometric", "av", "pillow")


def plan(module: ClassificationModule, clips: Clips, trainer: Trainer) -> dict[str, Any]:
    """All that the numbers of a graph data set depend on, but what is wanted of it."""
    dataset = clips.dataset
    if not len(clips):
        raise InputError("data", "at least one clip", "none")
    names = getattr(dataset, "label_names", None)
    return {
        "weights": {"sha256": _weights(module.model)},
        "model": type(module.model).__name__,
        "scale": _called(module.scale),
        "hints": module.hints,
        "clips": {
            "number": len(clips),
            "dataset": _called(type(dataset)),
            "label_names": None if names is None else [str(name) for name in names],
            "batch_size": clips.batch_size,
            "decoder": getattr(dataset, "decoder", None),
        },
        "precision": str(trainer.precision),
        "device": trainer.strategy.root_device.type,
        "versions": _versions(),
    }


def check_folder(folder: Path, plan: Mapping[str, Any]) -> None:
    """Check that a folder is new, or holds what this plan has begun or completed.

    What was begun without coming to a single shard, as by a mistyped option, holds nobody up. A
    folder that was begun with ``on_error="raise"`` may go on with ``"skip"``: in its shards no clip
    was left out.

    Raises:
        InputError: when it does not, naming what is another.
    """
    sheet, begun = folder / SHEET, folder / PLAN
    if sheet.is_file():
        before = read_json(sheet, "a datasheet").get("plan", {})
    elif begun.is_file():
        if not any(folder.glob("raw/graphs_*")):
            return
        before = read_json(begun, "the plan of a graph data set")
    else:
        there = [one.name for one in folder.glob("*") if not one.name.startswith(".")]
        if there:
            expected = "a new folder, or one that `stgraph extract` has begun"
            raise InputError("out", expected, f"{folder}, which has {sorted(there)[0]!r} in it")
        return
    if before.get("on_error") == "raise":
        before = {**before, "on_error": plan["on_error"]}
    for name, was, now in _differences(before, plan):
        expected = f"{name} {_short(was)}, with which {folder} was begun (or another folder)"
        raise InputError("out", expected, _short(now))


def begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write down what a folder is going to hold."""
    write_whole(folder / PLAN, (json.dumps(plan, indent=1) + "\n").encode())
    (folder / "raw").mkdir(exist_ok=True)


def shard_count(plan: Mapping[str, Any]) -> int:
    """Number of shards."""
    return -(-int(plan["clips"]["number"]) // int(plan["shard_clips"]))


def is_done(folder: Path, number: int) -> bool:
    """Tell whether a shard is there, and its facts, which are written after it."""
    facts = _facts_path(folder, number)
    if not facts.is_file():
        return False
    shard = read_json(facts, "the facts of a shard")["shard"]
    path = folder / "raw" / shard["file"]
    return not shard["file"] or (path.is_file() and path.stat().st_size == shard["bytes"])


@dataclass
class OpenShard:
    """A shard that is being made."""

    number: int
    packer: Packer
    seen: int = 0
    """Clips that it is through with."""
    clips: int = 0
    """Those that it has graphs of."""
    skipped: list[tuple[int, str, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write the graphs, and then what is known of them."""
        name, size, sha = "", 0, ""
        packed = self.packer.packed()
        if self.packer.graphs:
            name = f"graphs_{self.number:06d}.pt"
            path = write_shard(folder / "raw" / name, packed)
            size, sha = path.stat().st_size, digest(path)
        shard = Shard(
            name,
            self.clips,
            self.packer.graphs,
            _rows(packed, "x"),
            _rows(packed, "edge_index"),
            size,
            sha,
        )
        facts = {
            "shard": asdict(shard),
            "skipped": [asdict(Skipped(*one)) for one in self.skipped],
            "labels": _labels(packed),
            "classes": _width(packed, "logits"),
            "fields": _fields(packed),
            "columns": self.columns,
        }
        write_whole(_facts_path(folder, self.number), json.dumps(facts).encode())


def finish(
    folder: Path,
    plan: Mapping[str, Any],
    label_names: Sequence[str] | None,
    told: Mapping[str, Any],
) -> Path:
    """Write the lists and the datasheet, last of all.

    Raises:
        InputError: when a shard is missing, or shards have different fields.
    """
    rows, skipped, labels = [], [], Counter[str]()
    described: dict[str, Any] = {}
    for number, facts in enumerate(_all_facts(folder, plan)):
        rows.append(Shard(**facts["shard"]))
        skipped += [Skipped(**one) for one in facts["skipped"]]
        labels.update(facts["labels"])
        if rows[-1].file:
            same = {name: facts[name] for name in ("fields", "columns", "classes")}
            if described and same != described:
                raise InputError(f"shard {number}", f"fields {described}", same)
            described = same
    counts = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("clips", "graphs", "nodes", "edges", "bytes")
    }
    files = {
        INDEX: write_rows(folder / INDEX, Shard, rows),
        SKIPPED: write_rows(folder / SKIPPED, Skipped, skipped),
    }
    names = list(label_names or [])
    about = viz.about_here(str(told.get("command", "")))
    ordered = dict(sorted(labels.items(), key=lambda pair: int(pair[0])))
    facts = {
        "stgraph": __version__,
        "graphs": plan["wanted"]["graphs"],
        "counts": counts | {"skipped": len(skipped), "shards": len(rows)},
        "num_classes": max(len(names), described.get("classes", 0)),
        "label_names": [str(name) for name in names],
        "labels": ordered,
        "fields": described.get("fields", {}),
        "edge_attr": described.get("columns", []),
        "made": {"command": about.command, "date": about.date, "machine": about.machine}
        | {"commit": about.commit, **told},
        "plan": plan,
        "files": files,
    }
    write_whole(folder / "README.md", readme(facts, skipped).encode())
    return write_sheet(folder, facts)


def tidy(folder: Path) -> None:
    """Remove what only those who write need, once the data set is complete."""
    if (folder / SHEET).is_file():
        for path in [*folder.glob("raw/*.json"), folder / PLAN]:
            path.unlink(missing_ok=True)


def summary(folder: Path) -> str:
    """What a data set holds, in a line."""
    counts = read_json(folder / SHEET, "a datasheet")["counts"]
    left = f", {counts['skipped']:,} left out" if counts["skipped"] else ""
    return f"{folder}: {counts['graphs']:,} graphs of {counts['clips']:,} clips{left}"


def _facts_path(folder: Path, number: int) -> Path:
    return folder / "raw" / f"graphs_{number:06d}.json"


def _all_facts(folder: Path, plan: Mapping[str, Any]) -> Iterator[Any]:
    for number in range(shard_count(plan)):
        if not is_done(folder, number):
            raise InputError("out", "all shards", f"{folder}, without that of number {number}")
        yield read_json(_facts_path(folder, number), "the facts of a shard")


def _weights(model: nn.Module) -> str:
    """The SHA-256 of a model's weights: names, kinds, sizes and values."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(
            value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2])), "stgraph": __version__}
    for name in _FACTS[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _called(part: Any) -> str:
    """What a part is, in words that are the same tomorrow."""
    if isinstance(part, partial):
        return f"{_called(part.func)}{part.args}{part.keywords}"
    if isinstance(part, nn.Module):
        return repr(part)
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}.{named.__qualname__}"


def _differences(was: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            yield from _differences(was.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    elif was != now:
        yield name, was, now


def _short(value: Any) -> str:
    told = json.dumps(value)
    return told if len(told) <= 80 else told[:80] + "…"


def _rows(packed: Packed, name: str) -> int:
    return int(packed.slices[name][-1]) if name in packed.slices else 0


def _width(packed: Packed, name: str) -> int:
    return int(packed.fields[name].size(-1)) if name in packed.fields else 0


def _labels(packed: Packed) -> dict[str, int]:
    """How many graphs have each label."""
    if "y" not in packed.fields:
        return {}
    label, count = packed.fields["y"].unique(return_counts=True)
    return {str(k): n for k, n in zip(label.tolist(), count.tolist(), strict=True)}


def _fields(packed: Packed) -> dict[str, str]:
    """Kind and sizes of each field."""
    told = {}
    for name, value in packed.fields.items():
        if not isinstance(value, Tensor):
            told[name] = "words"
        elif name == "edge_index":
            told[name] = "int64 [2, E]"
        else:
            sizes = ", ".join(["rows", *map(str, value.shape[1:])])
            told[name] = f"{str(value.dtype).removeprefix('torch.')} [{sizes}]"
    return told
