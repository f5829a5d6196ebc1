"""Files appear whole or not at all, wherever temporary files are kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from stgraph.training.saving import WholeCheckpoints
from stgraph.weights import save_pretrained
from stgraph.writing import append_whole, whole, write_whole


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to files, in order; a name does not move between folders."""
    events: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        events.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def renamed(source: Path, target: Path) -> Path:
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, "another disk")
        events.append(f"rename {source.name} {target.name}")
        return replace(source, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    return events


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_content_is_on_the_disk_before_its_name_and_the_name_after(
    tmp_path: Path, order: list[str]
) -> None:
    write_whole(tmp_path / "a.txt", b"new")
    part = order[0].removeprefix("sync ")
    assert part.startswith(".")
    assert part.endswith(".part")
    assert order == [f"sync {part}", f"rename {part} a.txt", f"sync {tmp_path.name}"]
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "deep" / "deeper" / "a.txt", b"old")

    def fail() -> None:
        with whole(path) as part:
            part.write_bytes(b"half of the n")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["a.txt"]


def test_a_file_is_readable_like_any_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        made = write_whole(tmp_path / "a.txt", b"").stat().st_mode
    finally:
        os.umask(old)
    assert made & 0o777 == 0o640


def test_a_name_may_be_as_long_as_names_may_be(tmp_path: Path) -> None:
    write_whole(tmp_path / ("a" * 255), b"x")
    assert names(tmp_path) == ["a" * 255]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file grows beyond 20,000 bytes: the system refuses it as a full disk would."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path, small_disk: None) -> None:
    """Also where torch and safetensors, which have errors of their own, write."""
    weights = {"weight": torch.zeros(10000)}
    model = nn.Linear(100, 100)
    for name, write in (
        ("a.bin", lambda path: write_whole(path, bytes(30000))),
        ("a.ckpt", lambda path: WholeCheckpoints().save_checkpoint(weights, path)),
        ("model.safetensors", lambda path: save_pretrained(model, path.parent)),
    ):
        with pytest.raises(OSError, match="File too large") as told:
            write(tmp_path / name)
        assert told.value.errno == errno.EFBIG
        assert told.value.filename == str(tmp_path / name)
    assert names(tmp_path) == []


def test_what_is_appended_is_there_whole_or_not_at_all(tmp_path: Path, small_disk: None) -> None:
    """A system writes as many bytes as it can, and says so: half a row."""
    path = tmp_path / "rows.csv"
    for _ in range(3):
        append_whole(path, bytes(6000))
    with pytest.raises(OSError, match=r"rows\.csv"):
        append_whole(path, bytes(6000))
    assert path.read_bytes() == bytes(18000)
