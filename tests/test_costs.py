"""What the models cost, and that docs/costs.md says so."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SOMETHING, MULTI = (16, 3, 224, 224), (10, 1, 128, 128)


@pytest.fixture
def macs(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("macs")


def test_graphs_add_less_than_those_of_the_official_code(macs):
    lines, costs = macs.table(SOMETHING, macs.TABLES[SOMETHING])
    base, r4, r345 = (cost.macs / 1e9 for cost in costs.values())
    assert base == pytest.approx(65.40, abs=0.01)
    assert 0 < r4 - base <= 0.45
    assert 0 < r345 - base <= 1.2
    page = (ROOT / "docs/costs.md").read_text("utf-8")
    assert "\n".join(lines) in page


def test_the_page_says_what_the_table_does(macs):
    lines, _ = macs.table(MULTI, macs.TABLES[MULTI])
    page = (ROOT / "docs/costs.md").read_text("utf-8")
    assert "\n".join(lines) in page
