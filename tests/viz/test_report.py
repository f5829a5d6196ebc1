from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stgraph.checks import InputError
from stgraph.viz import About, RunCurve, about_here, demo_report, show

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")


RUNS = [
    RunCurve("regions", [1, 2], [1, 2], [2, 1], [0.3, 0.9], 0.9, 200, 1000),
    RunCurve("fixed <grid>", [1, 2], [1, 2], [2, 1], [0.2, 0.5], 0.5, 200, 900),
]
GUESSES = {"chance": 0.09, "best_without_motion": 0.31}
ABOUT = About(
    command="stgraph demo --seed 3",
    seed=3,
    seconds=95,
    versions={"torch": "2.13.0"},
    machine="2 cores",
    commit="abc123",
    date="2030-01-02",
    more={"data": "digits"},
)


@pytest.fixture
def words(check_page):
    def read(path: Path) -> str:
        return " ".join(" ".join(check_page(path.read_text(encoding="utf-8")).words).split())

    return read


@pytest.mark.slow
def test_demo_page_says_what_was_run_and_what_came_out(clip, words, tmp_path):
    clips = [
        clip(label="1 and 2", prediction="1 and 2", confidence=0.97, box=torch.rand(4, 3, 4)),
        clip(label="3 and 4", prediction="none <in step>"),
    ]
    path = demo_report(tmp_path / "report.html", runs=RUNS, clips=clips, about=ABOUT, **GUESSES)
    text = words(path)
    for expected in (
        "90.0 % ± 2.1",
        "fixed <grid>",
        "best guess without motion 31.0 %",
        "chance 9.0 %",
        "correct answer: 1 and 2 (97 %)",
        "wrong answer: none <in step> true: 3 and 4",
        "Attention in frame 3 of 4",
        "stgraph demo --seed 3",
        "1 min 35 s",
        "abc123",
        "torch 2.13.0",
        "2 cores",
        "2030-01-02",
        "digits",
    ):
        assert expected in text
    page = path.read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert page.count("<svg") == 4 + 1 + 2  # curves, paths, attention
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_demo_page_says_how_regions_lie_to_the_objects(words, tmp_path):
    steps = RUNS[0].steps
    moving = {"iou": [0.25] * len(steps), "displacement": [0.0123] * len(steps)}
    still = {"iou": [0.125] * len(steps), "displacement": [float("nan")] * len(steps)}
    runs = [replace(RUNS[0], objects=moving), replace(RUNS[1], objects=still)]
    path = demo_report(tmp_path / "report.html", runs=runs, clips=[], about=ABOUT, **GUESSES)
    text = words(path)
    assert "Do the regions follow?" in text
    assert f"{runs[0].name} 0.250 – 0.012 –" in text
    assert f"{runs[1].name} 0.125 – – –" in text
    assert path.read_text(encoding="utf-8").count("<svg") == 4 + 2  # those that were measured
    with pytest.raises(InputError, match="objects: expected one of"):
        replace(RUNS[0], objects={"speed": [0.0] * len(steps)})
    with pytest.raises(InputError, match="iou: expected"):
        replace(RUNS[0], objects={"iou": []})


def test_demo_page_without_clips_has_no_pictures_of_them(words, tmp_path):
    text = words(demo_report(tmp_path / "a.html", runs=RUNS[:1], clips=[], about=ABOUT, **GUESSES))
    assert "Where it looks" not in text
    assert "Who listens" not in text


@pytest.mark.slow
def test_show_draws_every_clip(clip, words, tmp_path):
    plain = clip(nodes=14, height=12, width=20, channels=3, absent=((0, 3),))
    answered = clip(frames=1, label="a", prediction="b")
    path = show(tmp_path / "show.html", [plain, answered], summary="two clips", about=ABOUT)
    text = words(path)
    assert "Clip 1" in text
    assert "Clip 2: a" in text
    assert path.read_text(encoding="utf-8").count("<svg") == 2 * 3


def test_failing_page_leaves_the_old_one(clip, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("older")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        show(path, [clip()])
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "older"


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(InputError, match="runs: expected at least one run"):
        demo_report(tmp_path / "a.html", runs=[], clips=[], about=ABOUT, **GUESSES)
    with pytest.raises(InputError, match="clips: expected at least one clip"):
        show(tmp_path / "a.html", [])
    assert not list(tmp_path.iterdir())


def test_about_here_knows_this_machine():
    about = about_here("make demo", seed=1, seconds=2.0, more={"a": 1})
    assert about.versions["torch"] == torch.__version__
    assert "cores" in about.machine
    assert about.date.endswith("UTC")
    assert about.command == "make demo"
    assert about.more == {"a": 1}


def test_of_a_run_all_is_told_that_is_known(clip, words, tmp_path):
    """A seed of 0 and a time of none too; and nothing of what is not known."""
    known = replace(ABOUT, seed=0, seconds=0.0, commit="", more={"bad": 0, "note": ""})
    text = words(show(tmp_path / "a.html", [clip()], title="Of a user", about=known))
    assert "Of a user" in text
    assert "seed 0" in text
    assert "took 0.0 s" in text
    assert "bad 0" in text
    assert "commit" not in text
    assert "note" not in text
