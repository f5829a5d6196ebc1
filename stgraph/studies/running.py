"""Runs in processes of their own, some at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from stgraph.checks import InputError
from stgraph.reading import read_json
from stgraph.runs.folder import locked
from stgraph.signals import Interrupted
from stgraph.studies.file import Study
from stgraph.studies.plan import ELSEWHERE, LOG, PLAN, PROGRESS, RESULT, UNFINISHED, Run

__all__ = ["Outcome", "carry_out", "progress_of"]

_LOOK = 0.2  # seconds between two looks at the processes
_PATIENCE = 60.0  # seconds that a process has to end after a second signal

Kind = Literal["done", "failed", "elsewhere", "unfinished"]
"""What has become of a run."""
Told = Literal[Kind, "taken over"]
"""What is told of a run: that it has ended, or that it is to be done after all."""


@dataclass
class Outcome:
    """What became of the runs that were to be done."""

    done: list[Run] = field(default_factory=list)
    failed: list[Run] = field(default_factory=list)
    elsewhere: list[Run] = field(default_factory=list)
    """Another process does them."""
    unfinished: list[Run] = field(default_factory=list)
    """Their configuration's ``max_time`` was over."""


@dataclass
class _Process:
    run: Run
    process: subprocess.Popen[str]


def carry_out(
    study: Study,
    runs: Sequence[Run],
    jobs: int,
    threads: int,
    tell: Callable[[Run, Told], None],
    look: Callable[[Sequence[Run]], None],
) -> Outcome:
    """Do runs, each in a process of its own.

    One that fails does not keep the others from being done. When this process is to end, those that
    it has started save their last step and end first.

    Args:
        study: whose runs they are.
        runs: what is to be done, in order.
        jobs: processes at a time.
        threads: of each; a run that was begun goes on with as many as it began with.
        tell: called when a run has ended, or is left to another process; and when it is taken over
            from that one, which has left it before its end.
        look: called again and again with the runs that are being done.
    """
    outcome = Outcome()
    waiting, started = deque(runs), list[_Process]()
    try:
        while waiting or started:
            while waiting and len(started) < jobs:
                run = waiting.popleft()
                kind = _without_starting(run)
                if kind is None:
                    started.append(_Process(run, _start(study, run, threads)))
                else:
                    _note(outcome, run, kind, tell)
            for one in [one for one in started if one.process.poll() is not None]:
                started.remove(one)
                _note(outcome, one.run, _kind(one.process), tell)
            if not (waiting or started):
                # Whoever did them may have been killed meanwhile.
                left = [run for run in outcome.elsewhere if _without_starting(run) is None]
                waiting.extend(left)
                for run in left:
                    tell(run, "taken over")
                outcome.elsewhere = [run for run in outcome.elsewhere if run not in left]
            look([one.run for one in started])
            time.sleep(_LOOK if started else 0)
    finally:
        _end([one.process for one in started])
    return outcome


def progress_of(run: Run) -> float:
    """How far a run is, 0 to 1; 0 where nothing is known."""
    with suppress(OSError, ValueError):
        return min(1.0, float((run.own / PROGRESS).read_text()))
    return 0.0


def _without_starting(run: Run) -> Kind | None:
    """What can be said of a run without a process; none where it is to be done."""
    try:
        with locked(run.own, "run", "does", ()):
            return "done" if (run.own / RESULT).is_file() else None
    except InputError:
        return "elsewhere"


def _start(study: Study, run: Run, threads: int) -> subprocess.Popen[str]:
    """Start a process that does a run."""
    if (run.own / PLAN).is_file():
        threads = int(read_json(run.own / PLAN, "the plan of a run")["threads"])
    job = {
        "own": str(run.own),
        "study": run.study,
        "row": run.row.name,
        "seed": run.seed,
        "digest": run.digest,
        "metric": study.metric,
        "weights": study.weights,
        "threads": threads,
        "configuration": run.configuration,
    }
    run.own.mkdir(parents=True, exist_ok=True)
    with (run.own / LOG).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stgraph.studies.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process, which ends the others in order
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already, and its log says why
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    return process


def _note(outcome: Outcome, run: Run, kind: Kind, tell: Callable[[Run, Told], None]) -> None:
    found: list[Run] = getattr(outcome, kind)
    found.append(run)
    tell(run, kind)


def _kind(process: subprocess.Popen[str]) -> Kind:
    _close(process)
    known: dict[int, Kind] = {0: "done", ELSEWHERE: "elsewhere", UNFINISHED: "unfinished"}
    return known.get(process.returncode, "failed")


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End processes with their input: they save where they are. A second signal does so at once."""
    try:
        for process in processes:
            _close(process)
        for process in processes:
            process.wait()
    except Interrupted:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            _wait(process)


def _wait(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
