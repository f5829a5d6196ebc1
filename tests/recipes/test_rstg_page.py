"""docs/rstg.md: what it says of both spellings of RSTG is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import yaml

from stgraph import backbones, initialise, layers, recipes, schedules, training

PAGE = (Path(__file__).parents[2] / "docs" / "rstg.md").read_text("utf-8")


def test_the_first_table_has_every_spelling_as_run():
    table = PAGE.split("```")[0]
    assert set(re.findall(r"`(\w+_official)`", table)) == {
        name for name in recipes.__all__ if name.endswith("_official")
    } - {"rstg_stage_official"}
    for name in re.findall(r"`(\w+)`", table):
        assert hasattr(recipes, name) or name == "_official"


def test_its_example_prints_what_it_says():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "page", "exec"), {})
    assert out.getvalue().splitlines() == re.findall(r"^# (.*)$", block, re.M)


def test_its_parts_exist():
    homes = (backbones, layers, schedules, initialise, training, recipes)
    named = re.findall(r"`(?:stgraph\.)?(?:\w+\.)?(\w+)(?:\(.*?\))?`", PAGE)
    parts = [name for name in named if name[0].isupper() and name not in ("BatchNorm3d",)]
    assert len(parts) > 10
    assert [name for name in parts if not any(hasattr(home, name) for home in homes)] == []
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    start = yaml.safe_load(block)["model"]
    assert start["class_path"] == "stgraph.training.initialised"
    assert start["init_args"]["how"] in initialise.STARTS
