"""Whole studies, each run in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stgraph.applications.study import _threads
from stgraph.cli import main
from stgraph.runs.folder import locked
from stgraph.signals import Interrupted
from stgraph.studies import running
from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.pace import Pace
from stgraph.studies.plan import Run, read_result
from stgraph.studies.running import Told, carry_out, progress_of

Study = Callable[..., str]


def runs_of(path: str, runs: str = "runs") -> list[Run]:
    return all_runs(read_study(path), runs, build=False)


def timeless(path: str, runs: str = "runs") -> list[dict[str, Any]]:
    """The results of a study but for times, and for where they lie."""
    found = [read_result(run) for run in runs_of(path, runs)]
    for result in found:
        assert result is not None
        del result["times"]
        del result["configuration"]["runs"]
    return found  # type: ignore[return-value]


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("stgraph.studies.running.subprocess.Popen", refuse)


@pytest.mark.slow
def test_a_study_is_done_once_in_shares_and_the_same_again(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study(title="Two widths")
    assert main(["study", path, "--share", "2/2", "--threads", "1"]) == 0
    assert "Two widths (partial)" in Path("runs/small/table.md").read_text()
    assert "Missing: seed 3 of “Narrow”." in Path("runs/small/table.md").read_text()
    assert [read_result(run) is not None for run in runs_of(path)] == [False, True]
    done = runs_of(path)[1].own / "result.json"
    before = done.stat().st_mtime_ns
    assert main(["study", path, "--jobs", "2", "--threads", "1"]) == 0
    assert done.stat().st_mtime_ns == before
    table = Path("runs/small/table.md").read_text()
    assert "partial" not in table
    assert "| Narrow | 12.5 |" in table
    printed = capsys.readouterr()
    assert "Narrow, seed 3: " in printed.out
    assert "small: " not in printed.err  # no bar where there is no terminal
    assert main(["study", path, "--runs", "again", "--jobs", "2", "--threads", "1"]) == 0
    assert timeless(path) == timeless(path, "again")
    assert not any(run.own.joinpath("progress").exists() for run in runs_of(path))
    # what is done needs no process
    monkeypatch.setattr("stgraph.studies.running.subprocess.Popen", None)
    assert main(["study", path]) == 0


def test_a_run_that_goes_on_keeps_its_log(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its number of threads, which its sums depend on."""
    path = study()
    run, jobs = runs_of(path)[0], []
    run.own.mkdir(parents=True)
    (run.own / "log.txt").write_text("of the first session\n")
    (run.own / "plan.json").write_text(json.dumps({"threads": 3}))

    def started(words: list[str], stdout: Any, env: dict[str, str], **more: Any) -> Any:
        stdout.write("of the second\n")
        jobs.append(env["OMP_NUM_THREADS"])
        command = [sys.executable, "-c", "input()"]
        return popen(command, **{**more, "stderr": None})

    popen = subprocess.Popen
    monkeypatch.setattr("stgraph.studies.running.subprocess.Popen", started)
    process = running._start(read_study(path), run, threads=1)
    assert os.getsid(process.pid) == process.pid  # Ctrl-C in a terminal is not for it
    process.communicate()
    assert (run.own / "log.txt").read_text() == "of the first session\nof the second\n"
    assert jobs == ["3"]


@pytest.mark.slow
def test_a_run_that_fails_does_not_lose_the_others(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"name": "Fails", "set": {"trainer.callbacks": [{"class_path": "crashes.CrashAlways"}]}},
        {"name": "Trains"},
    ]
    path = study(rows=rows)
    assert main(["study", path, "--threads", "1"]) == 1
    said = capsys.readouterr().out
    assert "Fails, seed 3: failed; runs/small/fails/seed3/study/log.txt ends with: " in said
    assert "this one never trains" in said
    assert [read_result(run) is not None for run in runs_of(path)] == [False, True]
    told = json.loads(Path("runs/small/results.json").read_text())
    assert told["missing"] == [["Fails", 3]]
    assert [one["row"] for one in told["results"]] == ["Trains"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "to_all"),
    [
        pytest.param(signal.SIGTERM, 143, None, marks=pytest.mark.long),
        (signal.SIGINT, 130, None),
        pytest.param(signal.SIGTERM, 143, "first", marks=pytest.mark.long),
        (signal.SIGTERM, 143, "last"),
    ],
)
def test_a_signal_ends_all_in_order_and_the_next_study_goes_on(
    study: Study, number: int, status: int, to_all: str | None
) -> None:
    """A queue may send it to all processes at once, in any order."""
    pause = {"class_path": "crashes.PauseOnce", "init_args": {"step": 3}}
    rows = [{"name": "Narrow", "set": {"trainer.callbacks": [pause]}}]
    path = study(rows=rows, set={"data.test.seed": 2, "trainer.max_epochs": 2})
    command = [sys.executable, "-m", "stgraph", "study", path, "--threads", "1"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as started:
        end = time.monotonic() + 120
        while not Path("reached").exists():
            assert started.poll() is None, started.stderr and started.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.05)
        child = int(Path("reached").read_text())
        if to_all == "first":
            os.kill(child, number)
            time.sleep(0.5)
        started.send_signal(number)
        time.sleep(0.5)
        if to_all == "last":  # the study has told it already
            os.kill(child, number)
            time.sleep(0.5)
        Path("go_on").touch()  # the step that it is at comes to its end
        assert started.wait(timeout=60) == status
        assert started.stderr is not None
        assert f"ended by {signal.Signals(number).name}" in started.stderr.read()
    (run,) = runs_of(path)
    assert not Path(f"/proc/{child}").exists() or not Path("/proc").exists()
    assert (run.folder / "checkpoints" / "last.ckpt").is_file()
    assert read_result(run) is None
    assert main(["study", path, "--threads", "1"]) == 0
    interrupted = read_result(run)
    assert interrupted is not None
    assert interrupted["times"]["sessions"] == 2
    assert main(["study", path, "--runs", "whole", "--threads", "1"]) == 0
    assert timeless(path) == timeless(path, "whole")


@pytest.mark.slow
def test_who_starts_it_is_killed_and_no_process_stays(study: Study) -> None:
    pause = {"class_path": "crashes.PauseOnce", "init_args": {"step": 3}}
    rows = [{"name": "Narrow", "set": {"trainer.callbacks": [pause]}}]
    path = study(rows=rows)
    command = [sys.executable, "-m", "stgraph", "study", path, "--threads", "1"]
    with subprocess.Popen(command) as started:
        end = time.monotonic() + 120
        while not Path("reached").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        started.kill()
    Path("go_on").touch()
    child = Path("/proc", Path("reached").read_text())
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < end
        time.sleep(0.05)
    (run,) = runs_of(path)
    assert (run.folder / "checkpoints" / "last.ckpt").is_file()
    with locked(run.own, "run", "does", ()):
        pass  # nobody holds it


@pytest.mark.parametrize(
    ("written", "share"), [(None, 0.0), ("", 0.0), ("half", 0.0), ("0.5", 0.5), ("1.1", 1.0)]
)
def test_a_run_is_as_far_as_it_has_written(study: Study, written: str | None, share: float) -> None:
    run = runs_of(study())[0]
    run.own.mkdir(parents=True)
    if written is not None:
        (run.own / "progress").write_text(written)
    assert progress_of(run) == share


@pytest.mark.slow
@pytest.mark.usefixtures("no_process")
def test_runs_of_another_process_are_left_to_it(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study()
    one, other = runs_of(path)
    with locked(one.own, "run", "does", ()), locked(other.own, "run", "does", ()):
        assert main(["study", path]) == 0
    assert capsys.readouterr().out.count("another process does it") == 2
    assert "0 of 2 runs are done" in Path("runs/small/table.md").read_text()


class Slow:
    """A process that does not end with its input."""

    stdin = None

    def __init__(self, number: int) -> None:
        self.number, self.told, self.first = number, list[object](), True

    def poll(self) -> int | None:
        return 0 if self.number == 0 else None

    def wait(self, seconds: float | None = None) -> None:
        if seconds is None and self.first:
            self.first = False
            if self.number == 1:
                raise Interrupted(signal.SIGTERM)
        elif self.number == 2 and seconds is not None:
            raise subprocess.TimeoutExpired("worker", seconds)

    def send_signal(self, number: int) -> None:
        self.told.append(number)

    def kill(self) -> None:
        self.told.append("kill")


def test_a_second_signal_is_handed_on_and_who_does_not_end_is_killed() -> None:
    processes: Any = [Slow(number) for number in range(4)]
    running._end(processes)
    term = signal.SIGTERM
    assert [one.told for one in processes] == [[], [term], [term, "kill"], [term]]


class Worker:
    """A process that has done its run."""

    stdin, returncode = None, 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def poll(self) -> int:
        return self.returncode


def test_a_run_that_another_process_has_left_is_taken_over_and_counted_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = runs_of(path := study())
    told: list[tuple[str, str]] = []
    pace, seen = Pace(2, now=0.0), list[float]()
    stack = ExitStack()
    stack.enter_context(locked(other.own, "run", "does", ()))

    def tell(run: Run, kind: Told) -> None:
        told.append((run.row.name, kind))
        if kind == "taken over":
            pace.take_over(run.name)
        else:
            pace.end(run.name)
        if kind == "elsewhere":
            stack.close()  # that process is killed

    def look(doing: Sequence[Run]) -> None:
        seen.append(pace.look({run.name: 0.5 for run in doing}, now=1.0)[0])

    monkeypatch.setattr("stgraph.studies.running._start", Worker)
    outcome = carry_out(read_study(path), [one, other], 2, 1, tell, look)
    assert told == [
        ("Wide", "elsewhere"),
        ("Narrow", "done"),
        ("Wide", "taken over"),
        ("Wide", "done"),
    ]
    assert (outcome.done, outcome.elsewhere) == ([one, other], [])
    assert max(seen) <= 2
    assert seen[-1] == 2


@pytest.mark.usefixtures("no_process")
def test_nothing_is_trained_where_a_row_cannot_be(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"name": "First"}, {"name": "Last", "set": {"model.model.wide": 3}}]
    path = study(rows=rows)
    for more in ([], ["--only", "check"], ["--share", "1/2"], ["--only", "report"]):
        assert main(["study", path, *more]) == 2
        assert "error: row 'Last': expected a configuration" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.usefixtures("no_process")
def test_runs_at_a_time_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [_threads(jobs) for jobs in (1, 3, 4, 16)] == [8, 2, 2, 1]


@pytest.mark.slow
def test_a_check_and_a_report_train_nothing(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study()
    assert main(["study", path, "--only", "check"]) == 0
    assert capsys.readouterr().out == "small: 2 rows, 2 runs; all of them can train\n"
    assert not Path("runs").exists()
    assert main(["study", path, "--only", "report", "--collect", "tables"]) == 0
    assert json.loads(Path("tables/small.json").read_text())["missing"] == [
        ["Narrow", 3],
        ["Wide", 3],
    ]
    assert {file.name for file in Path("runs/small").iterdir()} == {
        "table.md",
        "report.html",
        "results.json",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_process")
def test_a_changed_configuration_is_refused(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs_of(path := study())[0]
    run.own.mkdir(parents=True)
    (run.own / "result.json").write_text(json.dumps({"digest": "of another"}))
    for more in ([], ["--only", "report"], ["--share", "2/2"], ["--only=report", "--changed=anew"]):
        assert main(["study", path, *more]) == 2
        assert "begun with another configuration" in capsys.readouterr().err
    assert list(run.own.parents[1].iterdir()) == [run.own.parent]  # nothing was set aside


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--share=9/8", "share: expected a share as 2/8"),
        ("--jobs=0", "jobs: expected a whole number of at least 1"),
        ("--threads=0", "threads: expected a whole number of at least 1"),
        ("--jobs=1001", "jobs: expected a whole number of at most 1000"),
        ("--threads=4097", "threads: expected a whole number of at most 4096"),
    ],
)
def test_a_wrong_option_is_told(
    option: str, told: str, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", study(), option]) == 2
    assert told in capsys.readouterr().err
