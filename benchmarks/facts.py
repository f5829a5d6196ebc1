"""What every figure comes with: machine, versions, commit, seed, command and date."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from stgraph import viz

__all__ = ["collect", "commit", "write"]


def collect(device: torch.device, seed: int, **more: Any) -> dict[str, Any]:
    """Collect the facts of this run, print them, and return them."""
    command = f"python {shlex.join(sys.argv)}"
    about = dataclasses.asdict(viz.about_here(command, seed=seed))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    about["commit"] = os.environ.get("COMMIT") or about["commit"]
    about["load"] = round(os.getloadavg()[0], 1)  # of other programs, where it is above 1 or so
    facts = {key: value for key, value in about.items() if value} | {"device": name} | more
    for key, value in facts.items():
        print(f"{key:10} {value}")
    return facts


def commit() -> str:
    """Which commit is measured: COMMIT says so in a copy without git, or where results are
    written between measurements."""
    return os.environ.get("COMMIT") or viz.about_here("").commit


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write facts and figures as JSON: to a temporary file, which is then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
