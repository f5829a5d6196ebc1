"""What was run, with what, where and when: the facts that make a page worth keeping."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["About", "about_here"]

_PACKAGES = ("stgraph-video", "torch", "torch-geometric", "lightning", "numpy")


@dataclass(frozen=True)
class About:
    """Facts of a run, as plain texts.

    Args:
        command: what to type to do it again.
        seed: of every random number.
        seconds: how long all of it took.
        versions: version of every package that matters.
        machine: processor, cores, accelerator, system.
        commit: state of the source code.
        date: when.
        more: further facts by name.
    """

    command: str
    seed: int | None = None
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    commit: str = ""
    date: str = ""
    more: Mapping[str, object] = field(default_factory=dict)


def about_here(
    command: str,
    *,
    seed: int | None = None,
    seconds: float | None = None,
    more: Mapping[str, object] | None = None,
) -> About:
    """Collect the facts of this machine, this minute and this source code."""
    return About(
        command=command,
        seed=seed,
        seconds=seconds,
        versions={"python": platform.python_version(), **_versions()},
        machine=_machine(),
        commit=_commit(),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        more=more or {},
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    import torch

    cores = f"{os.cpu_count()} cores (torch uses {torch.get_num_threads()})"
    parts = [_processor(), cores]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}"])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor unknown"


def _commit() -> str:
    """Commit of the source tree that this package stands in, if it stands in one of its own."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():  # installed, perhaps inside somebody else's repository
        return ""
    git = ["git", "-C", str(tree)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if commit.returncode:
        return ""
    return commit.stdout.strip() + (" with changes" if changed.stdout.strip() else "")
