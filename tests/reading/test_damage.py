"""Whatever becomes of a file, it is read or an :class:`InputError` says what is wrong with it."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from damage import damaged, little_memory
from safetensors.torch import save
from torch import nn

from stgraph import recipes
from stgraph.backbones import resnet18
from stgraph.checks import InputError
from stgraph.datasets.digits import idx
from stgraph.reading import read_json, read_npz, read_safetensors, read_torch, read_yaml
from stgraph.training import load_weights
from stgraph.weights import from_pretrained, imagenet_weights, load_official, save_pretrained


@pytest.fixture(autouse=True, scope="module")
def _little_memory() -> Iterator[None]:
    yield from little_memory()


def images() -> bytes:
    return struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))


def npz(save_arrays: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save_arrays(buffer, a=np.arange(40.0).reshape(5, 8), b=np.ones(3, bool), c=np.array("text"))
    return buffer.getvalue()


def module() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))


def checkpoint(today: bool) -> bytes:
    buffer = io.BytesIO()
    content = {"epoch": 3, "state_dict": module().state_dict(), "more": [(1, 2.5), {"k": "v"}]}
    torch.save(content, buffer, _use_new_zipfile_serialization=today)
    return buffer.getvalue()


def official() -> bytes:
    buffer = io.BytesIO()
    state = resnet18(num_classes=3, stages=1).state_dict()
    torch.save({"state_dict": {f"module.base_model.{k}": v for k, v in state.items()}}, buffer)
    return buffer.getvalue()


def loaded(path: Path) -> None:
    """Load a checkpoint; all of it, or nothing."""
    net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        load_weights(net, path)
    except InputError:
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        raise


YAML = "model: &one {class_path: a.B, init_args: {channels: 3}}\ndata: [*one, 1.5, null, text]\n"
JSON = json.dumps({"format": 1, "recipe": "x", "arguments": {"a": [1, 2.5, None, {"b": "c"}]}})


class Kind(NamedTuple):
    whole: Callable[[], bytes]
    read: Callable[[Path], Any]
    cases: int


KINDS = {
    "idx": Kind(images, lambda path: idx.read(path, 3), 300),
    "idx.gz": Kind(lambda: gzip.compress(images()), lambda path: idx.read(path, 3), 300),
    "npz": Kind(lambda: npz(np.savez), read_npz, 300),
    "packed.npz": Kind(lambda: npz(np.savez_compressed), read_npz, 300),
    "ckpt": Kind(lambda: checkpoint(True), lambda path: read_torch(path, "weights"), 300),
    "former.ckpt": Kind(lambda: checkpoint(False), lambda path: read_torch(path, "weights"), 300),
    "loaded.ckpt": Kind(lambda: checkpoint(True), loaded, 200),
    "pth": Kind(lambda: checkpoint(True), lambda path: imagenet_weights("resnet18", path), 40),
    "pth.tar": Kind(official, lambda path: load_official(resnet18(3, stages=1), path), 40),
    "safetensors": Kind(
        lambda: save(module().state_dict()), lambda path: read_safetensors(path, "weights"), 300
    ),
    "folder": Kind(bytes, from_pretrained, 0),
    "json": Kind(JSON.encode, lambda path: read_json(path, "a configuration"), 300),
    "yaml": Kind(YAML.encode, lambda path: read_yaml(path, "a configuration"), 200),
}
FILES = [kind for kind in KINDS if kind != "folder"]


def told(kind: str, path: Path) -> str | None:
    """What is said of a file, if it is not read."""
    try:
        KINDS[kind].read(path)
    except InputError as error:
        message = str(error)
        assert len(message) < 2000
        for word in ("MemoryError", "allocate", "Cannot allocate", "RecursionError"):
            assert word not in message, message
        return message
    return None


@pytest.mark.parametrize("kind", FILES)
def test_damage_is_told(tmp_path: Path, kind: str) -> None:
    whole, chance = KINDS[kind].whole(), random.Random(kind)
    path = tmp_path / f"file.{kind}"
    path.write_bytes(whole)
    refuses_all = kind == "pth"  # which is no whole network
    assert (told(kind, path) is not None) == refuses_all
    refused = 0
    for _ in range(KINDS[kind].cases):
        path.write_bytes(damaged(whole, chance))
        refused += told(kind, path) is not None
    assert refused > KINDS[kind].cases // 4


@pytest.mark.parametrize("kind", FILES)
def test_files_of_other_kinds_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"file.{kind}"
    mine = kind.split(".")[-1]
    family = {"ckpt": "torch", "pth": "torch", "tar": "torch"}
    for other in FILES:
        if family.get(mine, mine) == family.get(other.split(".")[-1], other.split(".")[-1]):
            continue
        if (kind, other) == ("yaml", "json"):  # JSON is YAML
            continue
        path.write_bytes(KINDS[other].whole())
        assert told(kind, path), other
    if mine != "yaml":  # of which no word at all is nothing
        path.write_bytes(b"")
        assert told(kind, path)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    suffix = f"file.{kind}"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / suffix).mkdir()
    os.mkfifo(tmp_path / f"pipe.{kind}")
    (tmp_path / f"loop.{kind}").symlink_to(tmp_path / f"loop.{kind}")
    (tmp_path / f"broken.{kind}").symlink_to(tmp_path / "nothing")
    (tmp_path / f"zeros.{kind}").symlink_to("/dev/zero")
    (tmp_path / f"plain.{kind}").write_bytes(b"")
    for name in (
        *(f"{what}.{kind}" for what in ("pipe", "loop", "broken", "zeros", "nothing")),
        f"folder/{suffix}",
        f"plain.{kind}/{suffix}",
        f"{'long' * 100}.{kind}",
        f"no\0name.{kind}",
    ):
        assert told(kind, tmp_path / name), name


def test_damaged_folders_are_told(tmp_path: Path) -> None:
    folder = save_pretrained(recipes.small_regions(4, 4), tmp_path / "regions")
    files = {file: file.read_bytes() for file in folder.iterdir()}
    chance, refused = random.Random(5), 0
    for _ in range(30):
        for file, whole in files.items():
            file.write_bytes(damaged(whole, chance))
            refused += told("folder", folder) is not None
            file.write_bytes(whole)
    assert refused > 30
