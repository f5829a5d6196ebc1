from __future__ import annotations

import re
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos import VideoFolder, videos_in


def test_files_and_folders_of_frames_are_found_and_nothing_else(frames, tmp_path: Path) -> None:
    frames(tmp_path / "a" / "deep" / "one", 1)
    frames(tmp_path / "b" / "10", 1)
    for name in ("a/two.MP4", "a/note.txt", "a/.hidden.mp4", "b/9.webm", ".git/x.mp4", "top.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "poster.jpg").touch()  # beside videos: none
    (tmp_path / "b" / "link").symlink_to(tmp_path / "b")
    data = VideoFolder(tmp_path)
    assert data.label_names == ["a", "b"]
    found = [(entry.name, entry.label) for entry in data.entries]
    assert found == [("a/deep/one", 0), ("a/two.MP4", 0), ("b/10", 1), ("b/9.webm", 1)]
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
