"""What the scripts that take times share: their options, and times of calls in turn."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["arguments", "medians", "ready", "turns", "waiting"]

WARM = 3
"""Calls of each part before those that count."""


def arguments(doc: str, threads: int, repeat: int | None = None) -> argparse.ArgumentParser:
    """Return the options of a script that takes times.

    Args:
        doc: what the script is, of which the first line is told.
        threads: of the CPU, where nothing else is said.
        repeat: timed calls of each part, where nothing else is said; no such option when absent.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=threads, help="CPU threads")
    if repeat is not None:
        parser.add_argument("--repeat", type=int, default=repeat, help="timed calls, in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser


def ready(options: argparse.Namespace) -> torch.device:
    """Set threads and seed, and return the device."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return torch.device(options.device)


def waiting(device: torch.device) -> Callable[[], object]:
    """What waits until a device has done all that it was told."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def turns(
    parts: dict[str, Callable[[], object]], repeat: int, device: torch.device, warm: int = WARM
) -> dict[str, list[float]]:
    """Seconds of each part in each turn, called in turn so that drift meets all alike.

    Args:
        parts: what is called, by name.
        repeat: turns that count.
        device: what is waited for.
        warm: turns before these.
    """
    wait = waiting(device)
    times: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(repeat + warm):
        for name, part in parts.items():
            wait()
            start = time.perf_counter()
            part()
            wait()
            if turn >= warm:
                times[name].append(time.perf_counter() - start)
    return times


def medians(
    parts: dict[str, Callable[[], object]], repeat: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each part, called in turn."""
    return {name: statistics.median(each) for name, each in turns(parts, repeat, device).items()}
