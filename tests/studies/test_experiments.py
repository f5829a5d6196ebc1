"""The experiments of configs/experiments can be run, each with what was known before."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.merging import value_at

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted((CONFIGS / "experiments").glob("*.yaml"))
BASE = yaml.safe_load((CONFIGS / "experiments/bases/digits.yaml").read_text("utf-8"))
ASKED = {
    "anchors",
    "auxiliary",
    "curriculum",
    "following",
    "gates",
    "initialisation",
    "norms",
    "positions",
    "rates",
    "subsets",
}


def test_each_question_has_a_file() -> None:
    assert {path.stem for path in EXPERIMENTS} == ASKED


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_says_what_is_asked_and_what_was_known(path: Path) -> None:
    study, text = read_study(path), path.read_text("utf-8")
    assert f"stgraph study configs/experiments/{path.name} --jobs 2" in text
    assert text.startswith("# ")
    assert text.splitlines()[0].endswith("?")
    assert "Known before" in " ".join(study.about.split())
    assert len(study.rows) >= 4
    assert len(study.seeds) == 3
    assert study.reference == study.rows[0].name  # what the others change
    assert study.weights == "last"
    assert study.tried == "the rows, each as it stands"
    assert not any(row.paper for row in study.rows)


def test_the_task_is_small_and_has_the_official_ratio_of_step_to_canvas() -> None:
    task = value_at(BASE, "data.train")["init_args"]
    assert task["step"] / task["canvas"] == pytest.approx(10 / 100, rel=0.05)
    assert task["draw_order"] == "random"
    shown = BASE["trainer"]["callbacks"][1]["init_args"]["clips"]["init_args"]
    assert {name for name in task if task[name] != shown[name]} == {"frames", "seed", "length"}


def test_no_choice_is_made_by_the_clips_of_a_table() -> None:
    """Experiments choose, so they have a stream of their own."""
    seeds = {value_at(BASE, f"data.{stage}.seed") for stage in ("val", "test")}
    demo = yaml.safe_load((CONFIGS / "demo.yaml").read_text("utf-8"))
    assert value_at(demo, "data.test.seed") not in seeds
    for path in EXPERIMENTS:
        study = read_study(path)
        assert study.held_out.data is None
        assert not any(name.endswith("seed") for row in study.rows for name in row.changes)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_row_can_train(path: Path) -> None:
    study = read_study(path)
    runs = all_runs(study, "runs")
    assert len({run.digest for run in runs}) == len(study.rows) * len(study.seeds)
