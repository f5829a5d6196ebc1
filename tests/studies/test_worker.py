"""One run of a study: an ordinary one, that goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.metrics.answers import wilson
from stgraph.runs.folder import locked
from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.measuring import unpack
from stgraph.studies.plan import (
    ELSEWHERE,
    UNFINISHED,
    Run,
    read_result,
    set_aside,
    state,
    trains,
)
from stgraph.studies.worker import work

Study = Callable[..., str]


def first(path: str, runs: str = "runs") -> Run:
    return all_runs(read_study(path), runs, build=False)[0]


def job(run: Run, **changes: Any) -> dict[str, Any]:
    return {
        "own": str(run.own),
        "study": run.study,
        "row": run.row.name,
        "seed": run.seed,
        "digest": run.digest,
        "metric": "top1",
        "weights": "best",
        "threads": 1,
        "configuration": run.configuration,
        **changes,
    }


def timeless(run: Run, sessions: int = 1) -> dict[str, Any]:
    result = read_result(run)
    assert result is not None
    assert result.pop("times")["sessions"] >= sessions
    return result


@pytest.mark.slow
def test_a_result_is_that_of_an_ordinary_run(study: Study) -> None:
    run = first(study())
    assert state(run) == "absent"
    assert work(job(run)) == 0
    assert state(run) == "done"
    found = timeless(run)
    assert main(["fit", "--config", str(run.own / "run.yaml"), "--run", "plain"]) == 0
    plain = ["test", "--config", "runs/plain/config.yaml", "--ckpt_path", "best"]
    assert main(plain) == 0
    told = json.loads(Path("runs/plain/test.json").read_text())
    test = found["test"]
    assert test["value"] == pytest.approx(told["test/top1"])
    assert test["answers"]["loss"] == pytest.approx(told["test/loss"])
    right = unpack(test["each_clip"])
    assert len(right) == 40
    assert test["value"] == right.mean()
    assert (test["low"], test["high"]) == wilson(int(right.sum()), 40)
    # 5 batches of 8 clips, two epochs
    assert (found["clips"], found["steps"], found["shown_first"]) == (80, 10, 0)
    assert [point["clips"] for point in found["curve"]] == [40, 80]
    assert all(np.isfinite([point["loss"], point["top1"]]).all() for point in found["curve"])
    assert found["configuration"]["trainer"]["max_epochs"] == 2
    assert found["configuration"]["model"]["model"]["init_args"]["width"] == 16
    assert (found["threads"], found["device"], found["digest"]) == (1, "CPU", run.digest)
    assert found["parameters"] == 192 * 16 + 16 + 2 * 16 + 16 * 7 + 7
    assert {"python", "torch"} <= set(found["versions"])


@pytest.mark.slow
def test_answers_of_each_clip_are_those_of_the_metric(study: Study) -> None:
    run = first(study(metric="top5"))
    assert work(job(run, metric="top5")) == 0
    test = timeless(run)["test"]
    assert test["value"] == unpack(test["each_clip"]).mean() > test["answers"]["top1"]
    assert test["value"] == pytest.approx(test["answers"]["top5"])


@pytest.mark.slow
def test_the_same_study_twice_gives_the_same_but_for_times(study: Study) -> None:
    model = {"model.model.dropout": 0.5}
    rows = [{"name": "Narrow", "set": model}]
    one, other = (first(study(rows=rows), runs) for runs in ("runs", "again"))
    for run in (one, other):
        assert work(job(run)) == 0
    assert timeless(one)["configuration"].pop("runs") == "runs"
    results = [timeless(run) for run in (one, other)]
    for result in results:
        result["configuration"].pop("runs")  # where it lies
    assert json.dumps(results[0], sort_keys=True) == json.dumps(results[1], sort_keys=True)


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_and_comes_to_the_same(study: Study) -> None:
    crash = {"class_path": "crashes.CrashOnce", "init_args": {"step": 7, "place": "crashed"}}
    model = {"model.model.dropout": 0.5, "trainer.callbacks": [crash]}
    run = first(study(rows=[{"name": "Narrow", "set": model}]))
    with pytest.raises(OSError, match="the machine went down"):
        work(job(run))
    assert state(run) == "begun"
    assert (run.folder / "checkpoints" / "last.ckpt").is_file()
    assert work(job(run)) == 0
    went_on = timeless(run)
    shutil.move(run.folder, "went_on")
    assert work(job(run)) == 0
    assert went_on == timeless(run)
    assert [point["clips"] for point in went_on["curve"]] == [40, 80]


@pytest.mark.slow
def test_a_run_between_fit_and_test_is_tested_alone(study: Study) -> None:
    run = first(study())
    assert work(job(run)) == 0
    whole = timeless(run)
    (run.own / "result.json").unlink()
    before = (run.folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    assert work(job(run)) == 0
    assert timeless(run) == whole
    assert (run.folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("of", ["epochs", "steps"])
def test_a_run_of_no_steps_is_tested_as_it_was_built(of: str, study: Study) -> None:
    run = first(study(rows=[{"name": "As built", "set": {f"trainer.max_{of}": 0}}]))
    assert not trains(run.configuration)
    assert work(job(run)) == 0
    assert not list(run.folder.rglob("*.ckpt"))
    found = timeless(run, sessions=0)
    assert (found["clips"], found["steps"], found["curve"]) == (0, 0, [])
    assert found["test"]["weights"] == "as built"
    assert found["test"]["value"] == unpack(found["test"]["each_clip"]).mean()
    assert main(["test", "--config", str(run.own / "run.yaml"), "--run", "plain"]) == 0
    told = json.loads(Path("runs/plain/test.json").read_text())
    assert found["test"]["value"] == pytest.approx(told["test/top1"])


def test_a_run_that_is_done_is_not_done_again(study: Study) -> None:
    run = first(study())
    run.own.mkdir(parents=True)
    (run.own / "result.json").write_text(json.dumps({"digest": run.digest}))
    assert work(job(run)) == 0
    assert not (run.folder / "checkpoints").exists()


def test_a_run_of_another_process_is_left_to_it(study: Study) -> None:
    run = first(study())
    with locked(run.own, "run", "does", ("",)):
        assert work(job(run)) == ELSEWHERE
    assert state(run) == "absent"


def test_a_run_whose_time_is_over_is_no_result(study: Study) -> None:
    run = first(study(set={"data.test.seed": 2, "trainer.max_time": "00:00:00:00"}))
    assert work(job(run)) == UNFINISHED
    assert state(run) == "begun"


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_threads_and_configuration(study: Study) -> None:
    run = first(study())
    run.own.mkdir(parents=True)
    plan = run.own / "plan.json"
    plan.write_text(json.dumps({"digest": "begun by another", "threads": 1}))
    with pytest.raises(InputError, match="run: expected one of this configuration"):
        work(job(run))
    plan.write_text(json.dumps({"digest": run.digest, "threads": 1}))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    assert work(job(run, threads=2)) == 0
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == before + 1  # the process may have other work
    assert timeless(run)["threads"] == 1


@pytest.mark.slow
def test_a_run_of_another_configuration_is_refused_or_set_aside(study: Study) -> None:
    run = first(study())
    assert set_aside(run) is None
    other = first(study(metric="top5"))
    for name in ("plan.json", "result.json"):
        run.own.mkdir(parents=True, exist_ok=True)
        (run.own / name).write_text(json.dumps({"digest": run.digest}))
        with pytest.raises(InputError, match=r"file: expected runs of this study .*narrow/seed3"):
            state(other)
    assert set_aside(other) == run.folder.with_name("seed3.old1")
    assert state(other) == "absent"
    (run.folder / "checkpoints").mkdir(parents=True)  # of nobody's study
    with pytest.raises(InputError, match="runs: expected a folder of this study's runs"):
        state(run)
    assert set_aside(run) == run.folder.with_name("seed3.old2")


@pytest.mark.slow
def test_infinite_numbers_in_a_configuration_can_be_kept(study: Study) -> None:
    rows = [{"name": "Narrow", "set": {"trainer.gradient_clip_val": float("inf")}}]
    run = first(study(rows=rows))
    assert work(job(run)) == 0
    assert timeless(run)["configuration"]["trainer"]["gradient_clip_val"] == ".inf"
