"""What is kept of files: what a new look would tell, within bounds, and never of another file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import VideoFile, reading
from stgraph.datasets.videos.index import FrameIndex, Identity, IndexCache, identity

pytest.importorskip("av")


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> IndexCache:
    fresh = IndexCache()
    monkeypatch.setattr(reading, "indexed", fresh)
    return fresh


def settled(path: Path, seconds: float = 100.0) -> Path:
    """Let a file be older."""
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))
    return path


def test_a_file_is_gone_through_once(cache: IndexCache, video_file: Any, tmp_path: Path) -> None:
    path = settled(video_file(tmp_path / "a.mp4", frames=30))
    first, again = VideoFile(path), VideoFile(path)
    assert again._index is first._index
    assert len(cache) == 1
    assert cache.nbytes == first._index.nbytes > 30 * 8
    order = [29, 0, 13, 13, 2]
    assert torch.equal(first.read(order), again.read(order))
    assert np.array_equal(first.times, again.times)
    whole = torch.stack(list(again.frames()))
    assert torch.equal(whole[order], again.read(order))


def test_a_file_without_stamps_is_counted_once(
    cache: IndexCache, video_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(video_file(tmp_path / "a.h264", frames=9))
    assert VideoFile(path).times is None
    monkeypatch.setattr(VideoFile, "_counted", lambda self: 1 / 0)
    assert VideoFile(path).length == 9


def test_another_file_of_the_name_is_another(
    cache: IndexCache, video_file: Any, tmp_path: Path
) -> None:
    """Replaced, rewritten in its place, gone, or a folder by now."""
    path = settled(video_file(tmp_path / "a.mp4", frames=9))
    assert VideoFile(path).length == 9
    settled(video_file(tmp_path / "b.mp4", frames=12)).replace(path)
    assert VideoFile(path).length == 12
    path.write_bytes(video_file(tmp_path / "b.mp4", frames=15).read_bytes())
    settled(path, 50)
    assert VideoFile(path).length == 15
    path.write_bytes(b"no film" * 100)
    with pytest.raises(InputError, match="that FFmpeg reads"):
        VideoFile(path)
    path.unlink()
    with pytest.raises(InputError, match="where there is none"):
        VideoFile(path)


def test_a_file_that_has_just_changed_is_not_kept(
    cache: IndexCache, video_file: Any, tmp_path: Path
) -> None:
    path = video_file(tmp_path / "a.mp4", frames=9)
    assert VideoFile(path).length == 9
    assert len(cache) == 0


def test_memory_is_bounded_and_what_was_asked_for_last_stays(tmp_path: Path) -> None:
    cache, made = IndexCache(most=10000), []

    def index(name: str, frames: int = 100) -> FrameIndex:
        path = tmp_path / name
        if not path.exists():
            path.touch()
            settled(path)

        def make() -> FrameIndex:
            made.append(name)
            return FrameIndex(frames, np.arange(frames), np.zeros((1, 2), dtype=np.int64), 1.0)

        return cache(identity(path), make)

    for number in range(30):
        index(str(number))
        index("often")
        assert cache.nbytes <= 10000
    assert made.count("often") == 1
    assert len(cache) == 9
    assert cache.nbytes == sum(one.nbytes for one in cache._kept.values())
    index("large", 2000)  # which would take all there is
    assert len(cache) == 9


@pytest.mark.parametrize("what", ["replaced", "longer", "gone"])
def test_frames_are_those_of_the_file_that_was_opened_or_none(
    what: str, video_file: Any, tmp_path: Path
) -> None:
    """Never those of another video, with whose frames it may share all its times."""
    path = video_file(tmp_path / "a.mp4", frames=9)
    video = VideoFile(path)
    if what == "replaced":
        video_file(tmp_path / "b.mp4", frames=9, size=(48, 64)).replace(path)
    elif what == "longer":
        path.write_bytes(path.read_bytes() + bytes(8))
    else:
        path.unlink()
    for read in (lambda: video.read([3]), lambda: next(video.frames())):
        with pytest.raises(InputError, match=r"a\.mp4: expected"):
            read()


def test_a_cache_may_be_full_to_the_byte() -> None:
    index = FrameIndex(9, np.arange(9), np.zeros((1, 2), dtype=np.int64), 1.0)
    for most, kept in ((2 * index.nbytes, 2), (index.nbytes, 1), (index.nbytes - 1, 0)):
        cache = IndexCache(most)
        for number in range(3):
            cache(Identity("a", number, 0, 0), lambda: index)
        assert len(cache) == kept
