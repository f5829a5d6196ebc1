"""What the models cost, and that docs/costs.md says so."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SOMETHING, CINEMA = (16, 3, 224, 224), (32, 3, 224, 224)
MULTI, SYNC = (10, 1, 128, 128), (10, 1, 64, 64)


def test_a_share_is_that_of_the_model_without_graphs(macs):
    from torch import device, nn

    throughput, pages = (importlib.import_module(name) for name in ("throughput", "pages"))
    rows = [
        macs.Row("plain", nn.Identity, paper=macs.Paper(1.0, clips=20.0)),
        macs.Row("with", nn.Tanh, "plain", paper=macs.Paper(1.0, clips=15.0)),
    ]
    found = throughput.measured((2, 1, 64, 64), rows, 4, 3, device("cpu"))
    assert found["with"]["share"] == found["with"]["clips"] / found["plain"]["clips"]
    assert (found["plain"]["share"], found["plain"]["paper"]) == (None, None)
    assert found["with"]["paper"] == 0.75
    about = {"machine": "m", "versions": {"torch": "2"}, "commit": "c", "date": "d", "command": "x"}
    facts = about | {"device": "CPU", "threads": 1, "clips": 4, "throughput": {"2×1×64×64": found}}
    text = "\n".join(pages.throughput(facts))
    assert "| 2×1×64×64 | clips a second | share | share in the paper |" in text
    assert "| 0.750 |" in text


@pytest.fixture
def macs(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("macs")


@pytest.mark.slow
def test_graphs_add_less_than_those_of_the_official_code(macs):
    lines, costs = macs.table(SOMETHING, macs.TABLES[SOMETHING])
    base, r4, r345 = (cost.macs / 1e9 for cost in costs.values())
    assert base == pytest.approx(65.40, abs=0.01)
    assert 0 < r4 - base <= 0.45
    assert 0 < r345 - base <= 1.2
    page = (ROOT / "docs/costs.md").read_text("utf-8")
    assert "\n".join(lines) in page


@pytest.mark.slow
@pytest.mark.parametrize("clip", [CINEMA, MULTI, SYNC], ids=str)
def test_the_page_says_what_the_table_does(macs, clip):
    lines, _ = macs.table(clip, macs.TABLES[clip])
    page = (ROOT / "docs/costs.md").read_text("utf-8")
    assert "\n".join(lines) in page
