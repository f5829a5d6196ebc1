"""The file of a study: what it may hold, and what is told of what it may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stgraph.checks import InputError
from stgraph.studies.file import read_study

ROW: dict[str, Any] = {"name": "one"}


def test_what_a_file_says(study: Callable[..., str]) -> None:
    said = {"title": "A title", "tried": 12, "held_out": "40 clips", "seeds": 3}
    read = read_study(study(**said, reference="Wide", metric="top5", weights="last"))
    assert (read.name, read.title, read.tried) == ("small", "A title", "12")
    assert read.seeds == (0, 1, 2)
    assert (read.held_out.about, read.held_out.data) == ("40 clips", None)
    assert (read.metric, read.weights, read.reference) == ("top5", "last", "Wide")
    narrow, wide = read.rows
    assert (narrow.paper, narrow.source, narrow.folder) == (12.5, "a paper, table 1", "narrow")
    assert (wide.paper, wide.note, wide.changes) == (
        None,
        "twice as wide",
        {"model.model.width": 32},
    )
    assert read.base is not None
    assert read.base.is_file()


def test_the_base_lies_beside_the_file_wherever_one_is(
    study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(study()).resolve()
    monkeypatch.chdir(tmp_path.parent)
    read = read_study(path)
    assert read.base is not None
    assert read.base.is_file()


def test_a_study_that_says_no_more_than_its_rows(study: Callable[..., str]) -> None:
    path = Path(study())
    content = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump({"base": content["base"], "rows": [ROW]}), encoding="utf-8")
    read = read_study(path)
    assert read.seeds == (0,)
    assert (read.title, read.metric, read.weights) == ("small", "top1", "best")
    assert read.reference is None
    assert read.rows[0].changes == {}


def test_limits_are_within(study: Callable[..., str]) -> None:
    assert read_study(study(seeds=1000)).seeds == tuple(range(1000))
    assert read_study(study(seeds=[0, 2**32 - 1])).seeds == (0, 2**32 - 1)
    (row,) = read_study(study(rows=[ROW | {"paper": 100, "source": "x"}])).rows
    assert row.paper == 100
    (row,) = read_study(study(rows=[ROW | {"paper": 0, "source": "x"}])).rows
    assert row.paper == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": 1}, "study: expected names among title, about, .*, got 'colour'"),
        ({"rows": [{"name": "a", "over": {}}]}, r"rows\[0\]: expected names among name, .* 'over'"),
        ({"held_out": {"of": 1}}, "held_out: expected names among about, data, got 'of'"),
        ({"rows": []}, "rows: expected at least one row"),
        ({"rows": None}, "rows: expected a list"),
        ({"rows": ["a"]}, r"rows\[0\]: expected names and values"),
        ({"rows": [{}]}, r"rows\[0\]\.name: expected text, got None"),
        ({"rows": [{"name": "…"}]}, r"rows\[0\]\.name: expected letters or digits"),
        ({"rows": [ROW, {"name": "One"}]}, r"rows\[1\]\.name: .* 'One' beside 'one'"),
        ({"rows": [ROW | {"paper": 95.1}]}, r"rows\[0\]: expected `paper` and `source`"),
        ({"rows": [ROW | {"source": "x"}]}, r"rows\[0\]: expected `paper` and `source`"),
        ({"rows": [ROW | {"paper": 101, "source": "x"}]}, r"rows\[0\]\.paper: .* per cent"),
        ({"rows": [ROW | {"paper": -0.5, "source": "x"}]}, r"rows\[0\]\.paper: .* per cent"),
        ({"rows": [ROW | {"paper": True, "source": "x"}]}, r"rows\[0\]\.paper: .* per cent"),
        ({"rows": [ROW | {"set": {"seed_everything": 1}}]}, r"rows\[0\]\.set: .*which the study"),
        ({"set": {"run": "x"}}, "set: expected no name, seed or checkpoint"),
        ({"base": None}, r"rows\[0\]\.base: expected a configuration"),
        ({"seeds": [1, 1]}, "seeds: expected different whole numbers"),
        ({"seeds": []}, "seeds: expected different whole numbers"),
        ({"seeds": [-1]}, "seeds: expected a whole number of at least 0"),
        ({"seeds": True}, "seeds: expected a list"),
        ({"seeds": 1001}, "seeds: expected a whole number .*1000"),
        ({"seeds": [2**32]}, "seeds: expected a whole number"),
        ({"metric": "recall"}, "metric: expected one of 'top1', 'top5', 'iou'"),
        ({"weights": "first"}, "weights: expected one of 'best', 'last'"),
        ({"reference": "Other"}, "reference: expected one of 'Narrow', 'Wide'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_with_its_place(
    changes: dict[str, Any], told: str, study: Callable[..., str]
) -> None:
    with pytest.raises(InputError, match=told):
        read_study(study(**changes))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file"):
        read_study(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="study: expected names and values"):
        read_study(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    with pytest.raises(InputError, match="file"):
        read_study(tmp_path / "broken.yaml")
