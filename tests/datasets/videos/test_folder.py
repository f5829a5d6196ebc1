from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets.videos import CentreClips, Crops, EvenFrames, VideoFolder, skip, videos_in
from stgraph.datasets.videos.finding import find_videos


def test_files_and_folders_of_frames_are_found_and_nothing_else(frames, tmp_path: Path) -> None:
    frames(tmp_path / "a" / "deep" / "one", 1)
    frames(tmp_path / "b" / "10", 1)
    for name in ("a/two.MP4", "a/note.txt", "a/.hidden.mp4", "b/9.webm", ".git/x.mp4", "top.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "more").mkdir()
    for name in ("a/poster.jpg", "a/more/poster.jpg", "a/more/three.mp4"):
        (tmp_path / name).touch()  # a picture beside videos is none
    (tmp_path / "b" / "link").symlink_to(tmp_path / "b")
    data = VideoFolder(tmp_path)
    assert data.label_names == ["a", "b"]
    found = [(entry.name, entry.label) for entry in data.entries]
    names = ["a/deep/one", "a/more/three.mp4", "a/two.MP4", "b/10", "b/9.webm"]
    assert found == list(zip(names, [0, 0, 0, 1, 1], strict=True))
    assert [path.name for path in videos_in(tmp_path / "b")] == ["10", "9.webm"]


def test_classes_can_be_those_of_another_folder(classes: Path) -> None:
    data = VideoFolder(classes, classes=["turn right"])
    assert [entry.label for entry in data.entries] == [0, 0]
    with pytest.raises(InputError, match=re.escape(f"{classes / 'stand'}")):
        VideoFolder(classes, classes=["turn left", "stand"])


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="root: expected a folder with a folder for each class"):
        VideoFolder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="with none"):
        VideoFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"root: expected videos in {tmp_path / 'empty'}"):
        VideoFolder(tmp_path)


def test_a_folder_that_cannot_be_read_is_not_left_out_in_silence(
    frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(tmp_path / "a" / "one", 1)
    frames(tmp_path / "a" / "secret" / "two", 1)
    scan = os.scandir

    def guarded(path: str) -> Any:
        if Path(path).name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    for make in (VideoFolder, videos_in, find_videos):
        with pytest.raises(
            InputError, match=r"folders that can be read, got .*secret \(Permission"
        ):
            make(tmp_path)


def test_links_in_a_circle_lead_nowhere(frames, tmp_path: Path) -> None:
    frames(tmp_path / "a" / "one", 1)
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert [entry.name for entry in VideoFolder(tmp_path).entries] == ["a/one"]
    for path in (tmp_path / "self", tmp_path / "a" / "self"):
        with pytest.raises(InputError):
            find_videos(path)


@pytest.mark.slow
def test_names_of_any_bytes_can_be_told_and_written(frames, tmp_path: Path, capsys) -> None:
    """On Linux a name is any bytes; those that are no text are shown as codes."""
    try:
        folder = frames(tmp_path / "clips" / "a\n\udcff b", 3)
    except OSError:
        pytest.skip("a system whose names are text")
    (entry,) = VideoFolder(tmp_path).entries
    assert entry.name == "clips/a\n\\udcff b"
    assert entry.path == folder
    (folder / "00002.png").write_bytes(b"bad")
    facts = tmp_path / "facts.json"
    assert main(["inspect", str(tmp_path / "clips"), f"--out={facts}"]) == 1
    assert "\\udcff b" in capsys.readouterr().out
    told = json.loads(facts.read_text())
    assert len(told["bad"]) == 1
    assert told["kinds"] == {"folders of images": 1}
    data = VideoFolder(tmp_path, CentreClips(EvenFrames(3), Crops(1, 8, 8)), on_error=skip)
    with pytest.raises(InputError) as told:
        data[0]
    assert str(told.value).encode()
