"""Test a run's best checkpoint and write what it reached.

python benchmarks/result.py --run runs/gpu/rstg_5 --json benchmarks/results/rstg_5.json
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from facts import collect, write

from stgraph.training.command import Command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    options = parser.parse_args()
    name, runs = options.run.name, str(options.run.parent)
    config = ["--config", str(options.run / "config.yaml"), "--runs", runs, "--run", name]
    best = options.run / "checkpoints" / "best.ckpt"
    command = Command(
        ["test", *config, "--trainer.logger=false", "--trainer.enable_progress_bar=false"],
        run=False,
    )
    (figures,) = command.trainer.test(
        command.model, command.datamodule, ckpt_path=str(best), weights_only=True, verbose=False
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = collect(device, int(command.config["test"]["seed_everything"]))
    steps, curve = _history(options.run)
    clips = len(command.datamodule.test)
    print(f"{name}: {figures} on {clips} clips after {steps} steps")
    write(
        options.json,
        facts | {"run": name, "test": figures, "test_clips": clips, "steps": steps, "curve": curve},
    )


def _history(run: Path) -> tuple[int, list[dict[str, float]]]:
    """Steps of training, and validation accuracy at the steps where it was measured."""
    last, curve = 0, []
    for path in sorted((run / "csv").rglob("metrics.csv")):
        for row in csv.DictReader(path.open(encoding="utf-8")):
            last = max(last, int(row["step"]) + 1)
            if row.get("val/top1"):
                curve.append({"step": int(row["step"]) + 1, "top1": float(row["val/top1"])})
    return last, curve


if __name__ == "__main__":
    main()
