"""Whatever becomes of a list of videos, it is read or an :class:`InputError` names the file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damage import damaged, little_memory

from stgraph.checks import InputError
from stgraph.datasets import SomethingSomething, VideoManifest

CASES = 150  # of each kind

CSV = "path,label,split,start,end\n" + "".join(
    f"clip {number}.mp4,{('left', 'right')[number % 2]},train,{number}.5,{number + 2}\n"
    for number in range(8)
)
LINES = "".join(
    json.dumps({"path": f"{number}.mp4", "label": f"class {number % 3}", "start": 0.5}) + "\n"
    for number in range(8)
)
TEMPLATES = {"Moving something up": "0", "Pushing something": "1", "Holding something": "2"}
SPLIT = [
    {"id": str(number), "label": "moving a cup up", "template": "Moving [something] up"}
    for number in range(8)
]
V1_LABELS = "Moving something up\nPushing something\nHolding something\n"
V1_SPLIT = "".join(f"{number};Pushing something\n" for number in range(8))


@pytest.fixture(autouse=True, scope="module")
def _little_memory() -> Iterator[None]:
    yield from little_memory()


def something(folder: Path, labels: Path, split: Path) -> SomethingSomething:
    (folder / "videos").mkdir(exist_ok=True)
    for number in range(8):
        (folder / "videos" / f"{number}.webm").touch()
    return SomethingSomething(videos=folder / "videos", labels=labels, split=split)


# What the file is called, what is in it, and what reads it beside a sound one of the other kind.
KINDS: dict[str, tuple[str, str, Callable[[Path, Path], object]]] = {
    "manifest": ("list.csv", CSV, lambda folder, path: VideoManifest(path)),
    "lines": ("list.jsonl", LINES, lambda folder, path: VideoManifest(path)),
    "labels": (
        "labels.json",
        json.dumps(TEMPLATES),
        lambda folder, path: something(folder, path, sound(folder / "s.json", json.dumps(SPLIT))),
    ),
    "split": (
        "split.json",
        json.dumps(SPLIT),
        lambda folder, path: something(
            folder, sound(folder / "l.json", json.dumps(TEMPLATES)), path
        ),
    ),
    "labels of version 1": (
        "labels.csv",
        V1_LABELS,
        lambda folder, path: something(folder, path, sound(folder / "s.csv", V1_SPLIT)),
    ),
    "split of version 1": (
        "split.csv",
        V1_SPLIT,
        lambda folder, path: something(folder, sound(folder / "l.csv", V1_LABELS), path),
    ),
}


def sound(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_list_is_told(kind: str, tmp_path: Path) -> None:
    name, text, read = KINDS[kind]
    path, chance = tmp_path / name, random.Random(kind)
    read(tmp_path, sound(path, text))
    refused = 0
    for _ in range(CASES):
        path.write_bytes(damaged(text.encode(), chance))
        try:
            read(tmp_path, path)
        except InputError as error:
            refused += 1
            told = str(error)
        else:
            continue
        assert str(tmp_path) in told, told
        assert len(told) < 2000
    assert refused > CASES // 10
