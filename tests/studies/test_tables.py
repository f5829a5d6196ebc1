"""The studies of configs/tables can train, row by row, and cite what is published."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.plan import Run

TABLES = sorted((Path(__file__).parents[2] / "configs" / "tables").glob("*.yaml"))
stem = attrgetter("stem")
MINI = next(path for path in TABLES if path.stem == "mini")
PUBLISHED = {  # in per cent: see the papers
    "rstg_sync_mnist_3": [77.0, 95.0, 61.3, 89.7, 95.7, 97.0, 98.9],
    "rstg_sync_mnist_5": [39.7, 90.6, 93.5, 58.3, 74.1, 94.5, 97.2],
    "dyreg_multi_sync_mnist": [
        *(54.40, 52.29, 78.85, 81.48, 82.41, 86.77, 91.43, 93.41, 95.09, 97.30),
    ],
    "dyreg_sizes": [95.09, 93.41, 94.11, 94.04, 94.03, 90.99],
    "dyreg_regions": [39.0, 47.1, 27.8, 26.8],
    "dyreg_kernels": [93.41, 91.74, 91.52, 90.46, 89.85],
}


def test_there_are_tables() -> None:
    assert {path.stem for path in TABLES} >= {
        *PUBLISHED,
        "mini",
        "mini_wide_steps",
        "rstg_adjacency",
    }


@pytest.mark.parametrize("path", TABLES, ids=stem)
def test_published_numbers_are_those_of_the_papers(path: Path) -> None:
    study = read_study(path)
    told = [row.paper for row in study.rows if row.paper is not None]
    assert told == PUBLISHED.get(path.stem, [])
    assert all(row.source for row in study.rows if row.paper is not None)
    assert study.tried != "not said"
    assert f"stgraph study configs/tables/{path.name}" in path.read_text("utf-8")


@cache
def runs_of(path: Path) -> list[Run]:
    """The runs of a table, whose configurations take a while to read."""
    return all_runs(read_study(path), "runs", build=False)


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=stem)
def test_every_row_is_a_configuration(path: Path) -> None:
    study = read_study(path)
    runs = runs_of(path)
    assert len(runs) == len(study.rows) * len(study.seeds)
    assert len({run.digest for run in runs}) == len(runs)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("path", TABLES, ids=stem)
def test_every_row_can_train(path: Path, request: pytest.FixtureRequest) -> None:
    if not path.stem.startswith("mini"):
        request.getfixturevalue("data_root")
    all_runs(read_study(path), "runs")


@pytest.mark.slow
def test_rows_of_the_small_table_see_the_same_clips() -> None:
    """But for the model, and what only models with nodes take, rows are the same."""
    seen = []
    for run in runs_of(MINI):
        told = {name: run.configuration[name] for name in ("data", "trainer")}
        told["trainer"] = {k: v for k, v in told["trainer"].items() if k != "callbacks"}
        if run.seed == 0:
            seen.append(told)
    assert len(seen) == 10
    assert all(told == seen[0] for told in seen)
    assert seen[0]["data"]["train"]["init_args"]["step"] == 3
    assert seen[0]["data"]["train"]["init_args"]["canvas"] == 48
    assert seen[0]["data"]["train"]["init_args"]["draw_order"] == "random"
