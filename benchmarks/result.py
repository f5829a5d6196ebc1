"""Test the best checkpoint of a run that is at its end, and write what it reached.

python benchmarks/result.py --run runs/gpu/rstg_5 --json benchmarks/results/rstg_5.json

Of SyncMNIST's official test clips ``--draw_order random`` takes away the hint that digits that move
alike are drawn first.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import torch
from facts import collect, write
from lightning.pytorch import Trainer

from stgraph.metrics import wilson
from stgraph.runs.command import Command
from stgraph.training.checkpoints import read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--draw_order", help="of the test clips' digits; by default the run's")
    options = parser.parse_args()
    name, runs = options.run.name, str(options.run.parent)
    config = ["--config", str(options.run / "config.yaml"), "--runs", runs, "--run", name]
    best = options.run / "checkpoints" / "best.ckpt"
    last = read(options.run / "checkpoints" / "last.ckpt")
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    order = [f"--data.test.draw_order={options.draw_order}"] if options.draw_order else []
    command = Command(["test", *config, *quiet, *order], run=False)
    if not _is_done(command.trainer, last):
        sys.exit(f"{name}: {last['global_step']} steps, and not at its end")
    (figures,) = command.trainer.test(
        command.model, command.datamodule, ckpt_path=str(best), weights_only=True, verbose=False
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = collect(device, int(command.config["test"]["seed_everything"]))
    steps, curve = last["global_step"], _history(options.run)
    clips = len(command.datamodule.test)
    right = round(figures["test/top1"] * clips)
    low, high = wilson(right, clips)
    print(f"{name}: top-1 {right / clips:.4f} ({low:.4f} to {high:.4f}), {clips} clips, {figures}")
    about = {
        "run": name,
        "precision": str(command.trainer.precision),
        "weights": sum(p.numel() for p in command.model.model.parameters()),
        "shown_first": sum(state.get("shown", 0) for state in last["callbacks"].values()),
        "clips": steps * command.trainer.accumulate_grad_batches * command.datamodule.batch_size,
        "steps": steps,
        "test": figures,
        "test_clips": clips,
        "interval": [low, high],  # Wilson's, of 95 %, over the clips
        "curve": curve,
    }
    write(options.json, facts | about)


def _is_done(trainer: Trainer, last: dict[str, Any]) -> bool:
    """Tell whether a run has made all steps that its configuration plans."""
    epochs = last["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    steps = trainer.max_steps >= 0 and last["global_step"] >= trainer.max_steps
    return steps or 0 < (trainer.max_epochs or 0) <= epochs


def _history(run: Path) -> list[dict[str, float]]:
    """Validation accuracy at the steps where it was measured."""
    curve = []
    for path in sorted((run / "csv").rglob("metrics.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            if row.get("val/top1"):
                curve.append({"step": int(row["step"]) + 1, "top1": float(row["val/top1"])})
    return curve


if __name__ == "__main__":
    main()
