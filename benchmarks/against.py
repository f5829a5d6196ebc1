"""Training with this library beside training with that of another commit, in one run.

    python benchmarks/against.py 4c7eda6 --json benchmarks/results/against-cpu.json
    python benchmarks/against.py HEAD --training full

Each training has a process of its own for either side, and these take turns of some steps, data
included, so that drift meets both alike: while one works the other waits for its turn.
"""

from __future__ import annotations

import io
import os
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from facts import collect, write
from measure import arguments, ready

ROOT = Path(__file__).resolve().parent.parent
FITTING = ROOT / "benchmarks/fitting.py"
STEPS = {"demonstration": 10, "small": 10, "full": 2}
"""Trainings of `fitting.py`, and steps of a turn."""

TOLD = ("there", "here", "ratio", "ratio, process time")
"""Clips a second of either side, and how many times as many here, by the clock and by the time that
processes have had."""


@contextmanager
def side(folder: Path, training: str, threads: int) -> Iterator[Callable[[], tuple[float, float]]]:
    """A process that trains by the library in a folder.

    A call is a turn, and returns clips a second by the clock and of the process's own time.
    """
    environment = os.environ | {"PYTHONPATH": str(folder)}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    words = [sys.executable, str(FITTING), training, str(STEPS[training]), str(threads)]
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=quiet, text=True, env=environment
    ) as process:

        def answer() -> str:
            line = process.stdout.readline().strip()
            if not line:
                raise SystemExit(f"PYTHONPATH={folder} {shlex.join(words)}: no answer")
            return line

        library, _, batch = answer().rpartition(" ")
        if not Path(library).is_relative_to(folder):
            raise SystemExit(f"{library} is not the library in {folder}")

        def turn() -> tuple[float, float]:
            process.stdin.write("\n")
            process.stdin.flush()
            clock, own = (int(batch) * STEPS[training] / float(one) for one in answer().split())
            return clock, own

        yield turn


def main() -> None:
    parser = arguments(__doc__, threads=2, repeat=5)
    parser.add_argument("commit", help="what is compared with, as git names it")
    parser.add_argument("--training", choices=STEPS, action="append", help="which; all by default")
    options = parser.parse_args()
    if ready(options).type != "cpu":
        parser.error("--device: other commits are compared on a CPU")
    facts = collect(
        torch.device("cpu"), options.seed, threads=options.threads, against=options.commit
    )
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.commit, Path(folder))
        for training in options.training or STEPS:
            rows[training] = compare(Path(folder), training, options.threads, options.repeat)
            told = (f"{name} {rows[training][name]:.2f}" for name in TOLD)
            print(f"{training:14} {', '.join(told)}", flush=True)
    if options.json:
        write(options.json, facts | {"trainings": rows})


def unpack(commit: str, folder: Path) -> None:
    """Put the files of a commit into a folder."""
    git = ["git", "-C", str(ROOT), "archive", "--end-of-options", commit, "stgraph"]
    files = subprocess.run(git, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")


def compare(other: Path, training: str, threads: int, repeat: int) -> dict[str, Any]:
    """Clips a second of both sides: medians over turns, and the median ratio of turns in a row."""
    with side(other.resolve(), training, threads) as there, side(ROOT, training, threads) as here:
        seen = [{"there": there(), "here": here()} for _ in range(repeat + 1)][1:]
    return {
        "there": statistics.median(turn["there"][0] for turn in seen),
        "here": statistics.median(turn["here"][0] for turn in seen),
        **{
            name: statistics.median(turn["here"][which] / turn["there"][which] for turn in seen)
            for which, name in enumerate(("ratio", "ratio, process time"))
        },
        "turns": seen,
    }


if __name__ == "__main__":
    main()
