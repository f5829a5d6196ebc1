from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stgraph.applications.inspect import Inspection, inspect_videos, run
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets.videos import Entry
from stgraph.datasets.videos.inspection import FileFacts

pytest.importorskip("av")
NAMES = ("to the left", "to the right", "never")


@pytest.fixture
def entries(
    video_file: Callable[..., Path], frame_folder: Callable[..., Path], tmp_path: Path
) -> list[Entry]:
    """Parts of a video of a second, another one, images and a ruin."""
    long = video_file(tmp_path / "long.mp4", frames=25)
    wide = video_file(tmp_path / "wide.mp4", frames=5, size=(80, 48))
    images = frame_folder(tmp_path / "images", 3)
    ruin = tmp_path / "ruin.mp4"
    ruin.write_bytes(b"no video")
    parts = {"first": (0.0, 0.5), "rest": (0.5, None), "late": (1.0, None), "none": (0.4, 0.4)}
    parts |= {"backwards": (0.6, 0.2), "before": (-1.0, 0.0), "early": (-1.0, 0.1)}
    made = [Entry(long, 1, name, start, end) for name, (start, end) in parts.items()]
    made += [Entry(wide, 0, "wide"), Entry(images, None, "images"), Entry(ruin, 3, "ruin")]
    return [*made, Entry(images, None, "some images", 0.0, 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("full", [True, False])
def test_what_there_is_is_counted(entries: list[Entry], full: bool) -> None:
    told = inspect_videos(entries, NAMES, full, processes=1)
    facts = told.summary()
    assert (facts["clips"], facts["files"], facts["bad_files"]) == (11, 4, 1)
    assert facts["frames"] == {"all": 33, "least": 3, "median": 5, "most": 25}
    assert facts["seconds"]["all"] == pytest.approx(1.2)
    assert facts["seconds"]["median"] == pytest.approx(0.6)
    assert facts["without_times"] == 1
    assert facts["rates"] == {"25": 2}
    assert facts["sizes"]["80x48"] == 1
    assert facts["kinds"] == {".mp4": 3, "folders of images": 1}
    assert facts["classes"] == {"to the left": 1, "to the right": 7, "never": 0, "3": 1}
    assert facts["decoded"] == ("all frames" if full else "first frames")
    assert "PyAV" in facts["decoder"]


@pytest.mark.slow
def test_clips_that_are_no_part_of_their_video_are_bad(entries: list[Entry]) -> None:
    told = inspect_videos(entries, NAMES, processes=1)
    assert set(told.bad) == {"late", "none", "backwards", "before", "ruin", "some images"}
    assert told.bad["late"] == "start and end: expected a part of 1.000 s, got 1.0 to None s"
    assert told.bad["none"] == "start and end: expected a part of 1.000 s, got 0.4 to 0.4 s"
    assert told.bad["some images"].startswith("start and end: expected none, for a video without")


@pytest.mark.slow
def test_the_summary_in_words(entries: list[Entry]) -> None:
    text = inspect_videos(entries, NAMES, processes=1).text()
    assert text.startswith("11 clips in 4 files (")
    assert ".mp4 (3), folders of images (1))\nbad: 6 clips, 1 files (all frames decoded)" in text
    assert "frames: 33 in all, 3 to 25 (median 5) a file" in text
    assert "seconds: 1.2 in all, 0.2 to 1 (median 0.6) a file" in text
    assert "frames a second: 25 (2)" in text
    assert "without times: 1 files" in text
    assert "classes: 4, of 0 to 7 clips (median 1); always the commonest answer is" in text
    assert "right in 77.8 %" in text
    assert "clips a class: to the right (7), to the left (1), 3 (1), never (0)" in text
    assert "bad late: start and end: expected a part" in text


def test_long_lists_are_cut() -> None:
    file = FileFacts("a.mp4")
    bad = {f"clip {number}": "damaged" for number in range(23)}
    classes = {f"class {number}": 1 for number in range(11)}
    text = Inspection([file], bad, classes, 23, True, {}).text()
    assert "bad clip 19: damaged\nand 3 more (--out FILE writes all)" in text
    assert "clip 20" not in text
    assert "class 7 (1) and 3 others" in text
    assert "right in 9.1 %" in text


def test_lists_that_are_just_short_enough_are_whole() -> None:
    files = [FileFacts("a.mp4", bytes=1_200_000), FileFacts("b.mp4", bytes=1_000_000)]
    bad = {f"clip {number}": "damaged" for number in range(20)}
    classes = {f"class {number}": 1 for number in range(8)}
    text = Inspection(files, bad, classes, 20, True, {}).text()
    assert "2 files (2.2 MB; .mp4 (2))" in text
    assert text.endswith("bad clip 19: damaged")
    assert "class 7 (1)\n" in text
    assert "others" not in text
    alone = Inspection(files, {}, {"one": 1}, 1, True, {}).text()
    assert "always the commonest answer is right in 100.0 %" in alone


def test_no_labels_make_no_classes(video_file: Callable[..., Path], tmp_path: Path) -> None:
    told = inspect_videos([Entry(video_file(tmp_path / "a.mp4", frames=5))], NAMES, processes=1)
    assert told.classes == {}
    assert "class" not in told.text()
    assert not told.bad


@pytest.mark.slow
def test_the_clips_of_a_configuration(
    config: Callable[..., str], video_file: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            video_file(tmp_path / split / f"class {number}" / "a.mp4", frames=5)
    changes = {
        f"data.{split}": {
            "class_path": "stgraph.datasets.videos.VideoFolder",
            "init_args": {"root": str(tmp_path / split)},
        }
        for split in ("train", "val")
    }
    path = config({**changes, "data.test": None})
    out = tmp_path / "facts.json"
    assert main(["inspect", path, "--split=val", f"--out={out}", "--processes=1"]) == 0
    facts = json.loads(out.read_text())
    assert (facts["clips"], len(facts["each"]), facts["bad"]) == (2, 2, {})
    assert facts["classes"] == {"class 0": 1, "class 1": 1}
    assert "2 clips in 2 files" in capsys.readouterr().out
    assert yaml.safe_load(Path(path).read_text())["data"]["train"]


def test_a_configuration_without_videos_is_refused(config: Callable[..., str]) -> None:
    said = r"data.train: expected videos \(a data set with entries\)"
    with pytest.raises(InputError, match=said):
        run(config({}))


@pytest.mark.slow
def test_options_of_an_inspection_are_handed_on(
    video_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    video_file(tmp_path / "a.mkv", frames=4)
    for decode, told in (("all", "all frames decoded"), ("first", "first frames decoded")):
        assert run(str(tmp_path), decode=decode, processes=1) == 0
        assert told in capsys.readouterr().out
    seen: list[tuple[object, ...]] = []

    def inspected(*words: object) -> None:
        seen.append(words[2:])
        raise InputError("limit", "to be handed on", "it")

    monkeypatch.setattr("stgraph.applications.inspect.inspect_videos", inspected)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for options, expected in (
        ({}, (True, None, 60.0, True)),
        ({"decode": "first", "processes": 2, "limit": 5.0, "bar": False}, (False, 2, 5.0, False)),
    ):
        with pytest.raises(InputError, match="to be handed on"):
            run(str(tmp_path), **options)  # type: ignore[arg-type]
        assert seen.pop() == expected
