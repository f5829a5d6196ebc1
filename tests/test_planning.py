"""The page that plans for many videos says what the benchmark found, and no other numbers."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parent.parent
FACTS = ROOT / "benchmarks/results/video-cpu.json"
pytest.importorskip("av")


@pytest.fixture
def video(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("video")


@pytest.mark.parametrize("part", ["table", "plan", "feeding"])
def test_the_page_has_the_numbers_of_the_benchmark(video: ModuleType, part: str) -> None:
    facts = json.loads(FACTS.read_text("utf-8"))
    page = (ROOT / "docs/planning.md").read_text("utf-8")
    assert "\n".join(getattr(video, part)(facts)) in page


def test_the_page_names_what_was_measured(video: ModuleType) -> None:
    facts = json.loads(FACTS.read_text("utf-8"))
    page = (ROOT / "docs/planning.md").read_text("utf-8")
    assert facts["machine"] in page
    assert f"PyAV {facts['PyAV']}" in page


def test_the_plan_is_arithmetic(video: ModuleType) -> None:
    """Of rates that make it easy, by hand."""
    facts = {
        "files": {"vp9 240 × 320": {"bytes": 1e5}},
        "a core": {"loader": 10.0, "train": 1.0},
        "entry": 500.0,
    }
    rows = [line.split(" | ") for line in video.plan(facts)]
    told = {row[0].removeprefix("| "): row[2].removesuffix(" |") for row in rows}
    assert told["videos, GB"] == "10,000"
    assert told["one view of each decoded, GB"] == f"{16 * 3 * 224 * 224 / 10:,.0f}"
    assert told["list of the clips, GB a process"] == "50.00"
    assert told["order of an epoch, GB a process"] == "0.800"
    assert told["an epoch's decoding, hours of a core"] == "2,777.8"
    assert told["… minutes of 1,024 cores"] == "162.8"
    assert told["an epoch's training, hours of a core"] == "27,778"
    assert video.feeding(facts)[-1] == "| 10,000 | 1,000 |"


@pytest.mark.slow
def test_the_benchmark_measures_all_that_the_page_needs(
    video: ModuleType, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "video.json"
    options = ["--videos", "1", "--clips", "4", "--repeat", "1", "--json", str(path)]
    options += ["--threads", str(torch.get_num_threads())]  # of this process, and it stays so
    monkeypatch.setattr("sys.argv", ["video.py", *options])
    monkeypatch.setattr(video, "SIZES", ((240, 320),))
    monkeypatch.setattr(video, "measure_training", lambda *_: video.Rate(1.0, 0.5))
    video.main()
    facts = json.loads(path.read_text("utf-8"))
    kept = json.loads(FACTS.read_text("utf-8"))
    of_the_run = {"commit", "load"}  # which some runs have
    assert facts.keys() - of_the_run == kept.keys() - of_the_run
    assert facts["ratios"].keys() == kept["ratios"].keys()
