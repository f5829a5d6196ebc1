"""How many random changes of the code the tests notice: the mutation score.

    python benchmarks/mutation.py                              # 20 changes of every room
    python benchmarks/mutation.py --rooms kernels layers --count 50 --seed 1

The changes are those of cosmic-ray: another comparison, operator, number or constant, a loop that
does not run, a decorator that is gone. They are drawn from all places of a room where it can make
one. Each is tried in a copy of the repository, so the checkout stays as it is: the room's tests
run, the nearest first and slow ones last, until one fails. A change that no test notices survives,
and is printed with its diff. Where the quick tests run out of time, or what failed fails without
the change too, it is unclear whether a test noticed, and the change counts for nothing; where only
the slow ones do, it has survived. What no test can notice, annotations and lists of names for
instance, is not changed.
Needs the extra ``mutation``.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Queue

import pytest
import torch
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome
from facts import collect, write

ROOT = Path(__file__).resolve().parents[1]
SLOW = 4
"""Times as many seconds for the slow tests of a change as for the quick ones."""


@dataclass(frozen=True)
class Room:
    """Code to change, and the tests that are to notice: quick ones first, then slow ones."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


GRAPHS = (
    "tests/test_model.py",
    "tests/test_compositions.py",
    "tests/test_padding.py",
    "tests/test_bad_input.py",
    "tests/test_bad_states.py",
)
STREAMS = ("tests/recipes/test_streaming.py", "tests/weights/dyreg/test_block.py")
STATES = (
    "tests/test_recurrence.py",
    "tests/test_gru.py",
    "tests/test_states.py",
    "tests/test_half_precision.py",
)
ROOMS = {
    "kernels": Room(
        ("stgraph/kernels.py", "stgraph/shares.py", "stgraph/precision.py"),
        ("tests/test_kernels.py", "tests/test_precision.py", "tests/nodes", *STREAMS),
    ),
    "graph": Room(
        ("stgraph/graph/*.py", "stgraph/padding.py", "stgraph/edges/*.py"),
        ("tests/test_graph.py", "tests/edges", "tests/test_pyg.py", *GRAPHS),
    ),
    "nodes": Room(("stgraph/nodes/*.py",), ("tests/nodes", *GRAPHS, *STREAMS)),
    "layers": Room(("stgraph/layers/*.py",), ("tests/layers", *GRAPHS, *STREAMS)),
    "states": Room(
        (
            "stgraph/recurrence.py",
            "stgraph/gru.py",
            "stgraph/fused.py",
            "stgraph/model/*.py",
            "stgraph/classifiers.py",
        ),
        (*STATES, "tests/layers", "tests/test_classifiers.py", *GRAPHS, *STREAMS),
    ),
    "schedules": Room(
        ("stgraph/schedules.py", "stgraph/recipes/*.py"),
        ("tests/test_schedules.py", "tests/recipes", "tests/weights"),
    ),
    "labels": Room(
        ("stgraph/datasets/*.py", "stgraph/datasets/*/*.py", "stgraph/datasets/videos/*/*.py"),
        ("tests/datasets",),
    ),
    "readers": Room(
        ("stgraph/reading/*.py", "stgraph/writing.py"),
        ("tests/reading", "tests/test_writing.py", "tests/datasets"),
    ),
    "weights": Room(
        ("stgraph/weights/*.py", "stgraph/weights/*/*.py", "stgraph/backbones/*.py"),
        ("tests/weights", "tests/backbones", "tests/recipes", "tests/test_padded_cnns.py"),
    ),
    "insertion": Room(("stgraph/insertion/*.py",), ("tests/insertion", *STREAMS)),
    "training": Room(
        ("stgraph/training/*.py", "stgraph/training/callbacks/*.py", "stgraph/runs/*.py"),
        ("tests/training", "tests/runs", "tests/test_cli.py"),
    ),
    "applications": Room(
        ("stgraph/applications/*.py", "stgraph/cli.py", "stgraph/commands/*.py"),
        (
            "tests/test_cli.py",
            "tests/applications",
            "tests/weights/test_shipped.py",
            "tests/datasets/videos/test_folder.py",
            "tests/studies",
            "tests/runs",
        ),
    ),
    "studies": Room(("stgraph/studies/*.py",), ("tests/studies",)),
    "export": Room(("stgraph/export/*.py",), ("tests/export",)),
    "metrics": Room(("stgraph/metrics/*.py",), ("tests/metrics",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--count", type=int, default=20, help="changes of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="changes tried at a time")
    parser.add_argument(
        "--timeout", type=float, default=900, help="seconds of the quick tests of one change"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    facts = collect(torch.device("cpu"), options.seed, count=options.count)
    with tempfile.TemporaryDirectory() as name:
        copies: Queue[Path] = Queue()
        for job in range(options.jobs):
            copies.put(_copy(Path(name) / str(job)))
        drawn = [
            (room, change)
            for room in options.rooms
            for change in _draw(room, options.count, options.seed, Path(name))
        ]
        with ThreadPoolExecutor(options.jobs) as pool:
            tried = list(pool.map(lambda pair: _try(*pair, copies, options), drawn))
    rows = [row for row in tried if row is not None]
    print(f"\n{'room':12} {'noticed':>8} {'of':>5}  unclear")
    for room in [*options.rooms, "all"]:
        mine = [row["outcome"] for row in rows if room in ("all", row["room"])]
        noticed, unclear = mine.count("noticed"), mine.count("unclear")
        known = len(mine) - unclear
        print(f"{room:12} {noticed:8} {known:5}  {unclear:7}   {noticed / max(1, known):.1%}")
    if options.json:
        write(options.json, facts | {"changes": rows})


def _copy(folder: Path) -> Path:
    """The files that git knows, as they are here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for file in filter(None, listed.stdout.split("\0")):
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
    return folder


def _draw(room: str, count: int, seed: int, folder: Path) -> list[MutationSpec]:
    """Changes at ``count`` random places of a room's code."""
    files = sorted(file for pattern in ROOMS[room].code for file in ROOT.glob(pattern))
    with use_db(str(folder / f"{room}.sqlite"), WorkDB.Mode.create) as base:
        init([file.relative_to(ROOT) for file in files], base, {})
        every = [change for item in base.work_items for change in item.mutations]
    idle = {file.relative_to(ROOT): list(_idle(file)) for file in files}
    places: dict[tuple[str, tuple[int, int]], list[MutationSpec]] = {}
    for change in every:
        if not any(low <= change.start_pos < high for low, high in idle[change.module_path]):
            places.setdefault((str(change.module_path), change.start_pos), []).append(change)
    chance = random.Random(seed)
    drawn = chance.sample(sorted(places), min(count, len(places)))
    return [
        chance.choice(sorted(places[place], key=lambda change: change.operator_name))
        for place in drawn
    ]


def _idle(file: Path) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """What a file has that no test can notice.

    Annotations, ``__all__``, code for type checkers; examples that only tests look at; and what
    makes no difference where the code is right: ``strict`` of a zip, ``non_blocking`` of a copy,
    ``staticmethod`` of what is called by its class.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        inert: Sequence[ast.AST | None] = ()
        match node:
            case ast.FunctionDef(name="example" | "example_hints"):
                inert = [node]
            case ast.FunctionDef():
                static = [d for d in node.decorator_list if getattr(d, "id", "") == "staticmethod"]
                inert = [node.returns, *static]
            case ast.arg() | ast.AnnAssign():
                inert = [node.annotation]
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                inert = [node]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                inert = [node]
            case ast.keyword(arg="strict" | "non_blocking"):
                inert = [node.value]
        for part in filter(None, inert):
            first = part.lineno, part.col_offset - 1  # a decorator begins with its @
            yield first, (part.end_lineno, part.end_col_offset)


def _commands(
    room: str, changed: Path, folder: Path, seconds: float
) -> Iterator[tuple[str, float]]:
    """The room's tests in a copy, nearest first, then its slow ones; and seconds for them."""
    near = Path("tests", *changed.parts[1:]).with_name(f"test_{changed.name}")
    first = [str(path) for path in (changed, near) if (folder / path).exists()]
    tests = [*first, "tests/test_interface.py", *ROOMS[room].tests]
    yield _pytest(folder, tests), seconds
    slow = _pytest(folder, tests, "(slow or law) and not long", every=True)
    if _finds_tests(slow):
        yield slow, SLOW * seconds


@cache
def _finds_tests(command: str) -> bool:
    """Whether there is something to run; pytest calls it a failure to run nothing."""
    looked = subprocess.run(
        [*shlex.split(command), "--collect-only"], capture_output=True, text=True, check=False
    )
    if looked.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"tests cannot be collected: {looked.stdout[-2000:]}")
    return looked.returncode == pytest.ExitCode.OK


def _pytest(
    folder: Path, tests: Sequence[str], marked: str = "not slow", every: bool = False
) -> str:
    """Run tests in a copy until one fails, laws on a quarter or on every one of their cases."""
    # `python -m pytest` would put the checkout, from where this runs, before the copy.
    program = str(Path(sys.executable).with_name("pytest"))
    command = ["env", f"PYTHONPATH={folder}", "OMP_NUM_THREADS=1"]
    command += [f"STGRAPH_ALL_EXAMPLES={every:d}", program]
    command += [f"--rootdir={folder}", f"--config-file={folder / 'pyproject.toml'}"]
    command += ["-x", "-q", "-p", "no:cacheprovider", "-m", marked]
    return shlex.join([*command, *(str(folder / test) for test in tests)])


def _named(output: str) -> str | None:
    """The first test or file that pytest tells to have failed, in its summary."""
    _, found, summary = output.partition(" short test summary info ")
    first = re.search(
        r"^(?:FAILED|ERROR) (\S+?\.py(?:::\S+?\[.*?\]|::\S+)?)(?: - |$)", summary, re.M
    )
    return first[1] if found and first else None


def _passes(test: str, folder: Path, timeout: float) -> bool:
    """Whether a test passes on the code as it is; else it would notice every change."""
    test = str(Path.cwd() / test)  # as pytest printed it
    marked = "not long" if "::" in test else "not slow"
    command = shlex.split(_pytest(folder, [test], marked, every="::" in test))
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=timeout, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return False
    return ended in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)  # a file of none


def _try(
    room: str, change: MutationSpec, copies: Queue[Path], options: argparse.Namespace
) -> dict[str, object] | None:
    """Make one change in a copy and run the tests; ``None`` if it cannot be made."""
    folder = copies.get()
    try:
        spec = MutationSpec(
            module_path=folder / change.module_path,
            operator_name=change.operator_name,
            occurrence=change.occurrence,
            start_pos=change.start_pos,
            end_pos=change.end_pos,
            operator_args=change.operator_args,
        )
        passed = 0
        for command, seconds in _commands(room, change.module_path, folder, options.timeout):
            result = mutate_and_test([spec], command, seconds)
            if result.test_outcome != TestOutcome.SURVIVED:
                break
            passed += 1
        failed = _named(result.output or "")
        fair = failed is not None and _passes(failed, folder, SLOW * options.timeout)
    finally:
        copies.put(folder)
    if result.worker_outcome != WorkerOutcome.NORMAL:
        return None
    where = f"{change.module_path}:{change.start_pos[0]}"
    if fair:
        outcome = "noticed"
    elif passed:  # the quick tests at least, whatever became of the slow ones
        outcome = "survived"
    else:  # a test that fails anyway, no time left, a crash: nobody knows who noticed what
        outcome = "unclear"
    print(f"{outcome:8} {where} {change.operator_name}", flush=True)
    lines = [line for line in (result.diff or "").split("\n") if line[:1] in "+-"]
    body = [line for line in lines if not line.startswith(("+++", "---"))]
    if outcome != "noticed":
        print("\n".join(f"    {line}" for line in body), flush=True)
    if outcome == "unclear":
        print("\n".join((result.output or "").strip().split("\n")[-3:]), flush=True)
    return {
        "room": room,
        "place": where,
        "change": change.operator_name,
        "outcome": outcome,
        "diff": body,
    }


if __name__ == "__main__":
    main()
