"""``stgraph study``: rows × seeds as ordinary runs, and the table of what they reached."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stgraph.checks import choice, integer
from stgraph.studies.checking import all_runs
from stgraph.studies.collecting import kept
from stgraph.studies.file import Study, read_study
from stgraph.studies.pace import Pace
from stgraph.studies.pages import page
from stgraph.studies.plan import LOG, Run, read_result, set_aside, state
from stgraph.studies.running import Told, carry_out, progress_of
from stgraph.studies.share import Share
from stgraph.studies.summary import gathered
from stgraph.studies.table import markdown, of_test
from stgraph.training.quiet import quiet
from stgraph.viz.curves import minutes
from stgraph.viz.optional import need
from stgraph.writing import write_whole

__all__ = ["run"]

_TAIL = 3  # lines of the log of a run that failed


def run(
    file: str,
    runs: str = "runs",
    jobs: int = 1,
    threads: int | None = None,
    share: str = "1/1",
    only: Literal["check", "report"] | None = None,
    changed: Literal["refuse", "anew"] = "refuse",
    collect: str | None = None,
) -> int:
    """Do all runs of a study that are not done, and write its table and its page.

    All rows are built and asked for an answer first. Runs that were interrupted go on from their
    last checkpoint. Beside the folders of the rows lie ``table.md``, ``report.html`` and
    ``results.json``, of what there is so far.

    Args:
        file: the study, in YAML.
        runs: the folder of all runs; those of a study lie in one that is called like its file.
        jobs: runs at a time.
        threads: of each run; all cores divided among the jobs when absent. They change the last
            bits of a result.
        share: which part of the runs is done here, for example 2/8 of eight machines with one file
            system.
        only: check, build all rows and do no more; or report, train nothing and write table and
            page of what there is.
        changed: what happens to runs of another configuration: refuse, or anew, which sets them
            aside in folders that end in .old1, .old2, …
        collect: a folder where what the study has reached is kept as one file, for the tables of
            the documentation.

    Returns:
        How many runs failed.

    Raises:
        InputError: when the file is none of a study, a row cannot be trained, or a run of another
            configuration lies where one of these is to be.
    """
    integer("jobs", jobs, maximum=1000)
    threads = _threads(jobs) if threads is None else integer("threads", threads, maximum=4096)
    choice("only", only, (None, "check", "report"))
    choice("changed", changed, ("refuse", "anew"))
    part = Share.of(share)
    need("matplotlib.figure")  # found out now, and not when all is trained
    quiet()
    study = read_study(file)
    whole = all_runs(study, runs, build=only != "report")
    if only == "check":
        print(f"{study.name}: {len(study.rows)} rows, {len(whole)} runs; all of them can train")
        return 0
    if changed == "anew" and only is None:
        _set_aside(whole)
    states = {one.name: state(one) for one in whole}  # of all shares: none is another file's
    failed = 0
    if only is None:
        mine = part.select(whole)
        left = [one for one in mine if states[one.name] != "done"]
        failed = _train(study, left, len(mine), jobs, threads)
    summary = gathered(study, whole)
    for path in _written(summary, Path(runs, study.name), collect):
        print(f"wrote {path}")
    return failed


def _threads(jobs: int) -> int:
    """Cores of this process, divided among the jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // jobs)


def _set_aside(runs: Sequence[Run]) -> None:
    for one in runs:
        if (old := set_aside(one)) is not None:
            print(f"{one}: another configuration's run is now {old}")


def _train(study: Study, runs: Sequence[Run], planned: int, jobs: int, threads: int) -> int:
    """Do runs with a bar over all of them, where there is a terminal; return how many failed."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    before, pace = planned - len(runs), Pace(len(runs), time.monotonic())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(study.name, total=max(1, len(runs)), left="")

        def tell(one: Run, kind: Told) -> None:
            if kind == "taken over":
                pace.take_over(one.name)
            else:
                pace.end(one.name)
            print(f"{one}: {_told(one, kind)}", flush=True)

        def look(doing: Sequence[Run]) -> None:
            shares = {one.name: progress_of(one) for one in doing}
            done, left = pace.look(shares, time.monotonic())
            said = f"{study.name}: {before + done:.1f} of {planned} runs"
            rest = "" if left is None else f"{minutes(left)} left"
            bar.update(task, completed=done, description=said, left=rest)

        outcome = carry_out(study, runs, jobs, threads, tell, look)
    return len(outcome.failed)


def _told(one: Run, kind: Told) -> str:
    """What became of a run, in a line."""
    if kind == "elsewhere":
        return "another process does it"
    if kind == "taken over":
        return "the other process has left it, and it is done here"
    if kind == "unfinished":
        return "its time is over; it goes on the next time"
    result: dict[str, Any] | None = read_result(one) if kind == "done" else None
    if result is None:
        log = one.own / LOG
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        return f"failed; {log} ends with: {' / '.join(line.strip() for line in tail)}"
    seconds = result["times"]["training"]
    return f"{of_test(result['test'], ' %')}, {minutes(seconds) if seconds else 'not trained'}"


def _written(summary: dict[str, Any], folder: Path, collect: str | None) -> list[Path]:
    """Write table, page and results, and what is collected."""
    written = [
        write_whole(folder / "results.json", kept(summary)),
        write_whole(folder / "table.md", markdown(summary).encode()),
        page(summary).save(folder / "report.html"),
    ]
    if collect is not None:
        written.append(write_whole(Path(collect, f"{summary['study']}.json"), kept(summary)))
    return written
