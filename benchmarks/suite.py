"""Measure everything, and make the page of it: one command.

    python benchmarks/suite.py                        # into runs/benchmarks: JSON and Markdown
    python benchmarks/suite.py --only speed models    # some
    python benchmarks/suite.py --keep                 # also to benchmarks/results and docs
    python benchmarks/suite.py --device cuda --resume

Each measurement is a process of its own, one after another; what is measured on a CPU wants idle
cores, and notes the load that it met.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pages
from facts import commit

ROOT = Path(__file__).resolve().parent.parent

SUITES = {
    "cpu": {
        "macs": "macs.py",
        "speed-cpu-1": "speed.py --threads 1",
        "speed-cpu-2": "speed.py --threads 2",
        "speed-cpu-1-compiled": "speed.py --threads 1 --compiled default",
        "breakdown-cpu": "breakdown.py --threads 1",
        "models-cpu": "models.py --threads 2",
        "against-cpu": "against.py 4c7eda6 --threads 2",
        "block-cpu": "block.py --threads 1",
        "growth-cpu": "growth.py --threads 1",
        "stream-cpu": "stream.py --threads 1 --frames 10000",
        "stream-cpu-compiled": "stream.py --threads 1 --frames 10000 --compiled",
        "generator-cpu": "generator.py --threads 1",
        "throughput-cpu": "throughput.py --threads 2",
    },
    "cuda": {
        "speed-cuda-fp32": "speed.py --device cuda",
        "speed-cuda-bf16": "speed.py --device cuda --precision bf16",
        "speed-cuda-bf16-compiled": "speed.py --device cuda --precision bf16 --compiled default",
        "speed-cuda-bf16-graphs": (
            "speed.py --device cuda --precision bf16 --compiled reduce-overhead"
        ),
        "models-cuda-bf16": "models.py --device cuda --precision bf16",
        "models-cuda-bf16-compiled": "models.py --device cuda --precision bf16 --compiled",
        "block-cuda": "block.py --device cuda --clips 64",
        "breakdown-cuda": "breakdown.py --device cuda",
        "generator-cuda": "generator.py --device cuda --batch 512",
        "growth-cuda": "growth.py --device cuda",
        "stream-cuda": "stream.py --device cuda --frames 10000",
        "stream-cuda-compiled": "stream.py --device cuda --frames 10000 --compiled",
        "throughput-cuda": "throughput.py --device cuda --clips 16 --repeat 9",
    },
}
"""What is run for each file of figures, most telling first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=SUITES, default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files or scripts, by name")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--keep", action="store_true", help="as the repository's own figures")
    parser.add_argument("--resume", action="store_true", help="skip what this commit has measured")
    options = parser.parse_args()
    suite = chosen(SUITES[options.device], options.only)
    if not suite:
        parser.error(f"--only: expected some of {', '.join(SUITES[options.device])}")
    environment = os.environ | {"COMMIT": commit()}  # as it was before anything was written
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, words in suite.items():
        path = options.out.resolve() / f"{name}.json"
        if options.resume and measured(path, environment["COMMIT"]):
            continue
        start = time.perf_counter()
        print(f"\n== {name}", flush=True)
        if subprocess.run(command(words, path), cwd=ROOT, env=environment).returncode:
            failed.append(name)
        print(f"== {name}: {time.perf_counter() - start:.0f} s", flush=True)
    written = options.out / "performance.md"
    written.write_text(pages.page(options.out), encoding="utf-8")
    print(f"wrote {written}")
    if options.keep:
        keep(options.out, [name for name in suite if name not in failed])
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def chosen(suite: dict[str, str], only: list[str] | None) -> dict[str, str]:
    """The measurements that are asked for: all, or those of these files or scripts."""
    if only is None:
        return suite
    return {name: words for name, words in suite.items() if {name, words.split(".")[0]} & {*only}}


def command(words: str, path: Path) -> list[str]:
    """The command line of a measurement, with paths as one would type them."""
    script, *rest = shlex.split(words)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return [sys.executable, f"benchmarks/{script}", *rest, "--json", str(shown)]


def measured(path: Path, here: str) -> bool:
    """Whether figures are there, and of this commit; of changed files nobody knows."""
    if not path.exists() or not here or here.endswith("changes"):
        return False
    return json.loads(path.read_text("utf-8")).get("commit") == here


def keep(out: Path, names: list[str]) -> None:
    """Make figures the repository's own, and its pages of them."""
    for name in names:
        shutil.copyfile(out / f"{name}.json", pages.RESULTS / f"{name}.json")
    pages.main()


if __name__ == "__main__":
    main()
