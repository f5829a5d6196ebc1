"""Files appear whole or not at all, wherever temporary files are kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from stgraph.writing import whole, write_whole


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
    path = write_whole(tmp_path / "deep" / "a.txt", b"old")

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
