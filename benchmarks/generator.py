"""How many clips a second the generator makes: ids and coordinates, frames, and both.

    python benchmarks/generator.py                          # one CPU core
    python benchmarks/generator.py --device cuda --batch 512 --json generator.json

MNIST is read from STGRAPH_DATA; where it is absent, random images of its size and ink stand in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from facts import collect, write
from measure import arguments, ready

from stgraph.checks import InputError
from stgraph.datasets import DigitClips, Digits, MultiSyncMNIST, SyncMNIST, mnist, sklearn_digits


def main() -> None:
    parser = arguments(__doc__, threads=1)
    parser.add_argument("--batch", type=int, default=64, help="clips a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    options = parser.parse_args()
    device = ready(options)
    images, source = _images()
    facts = collect(
        device,
        options.seed,
        what="clips a second (best of several runs)",
        threads=options.threads,
        batch=options.batch,
        images=source,
    )
    print(f"\n{'clips a second':34}{'ids, coordinates':>18}{'frames':>10}{'whole':>10}")
    figures = {}
    for name, dataset in _datasets(images, options.seed).items():
        figure = figures[name] = measure(dataset, options.batch, device, options.seconds)
        print(
            f"{name:34}{figure['scenes']:18,.0f}{figure['frames']:10,.0f}{figure['whole']:10,.0f}"
        )
    if options.json:
        write(options.json, facts | {"clips_per_second": figures})


def measure(
    dataset: DigitClips, batch: int, device: torch.device, seconds: float
) -> dict[str, float]:
    """Return clips a second of each part of the work."""
    numbers = np.arange(batch)
    scenes = dataset.scenes(numbers)
    parts: dict[str, Callable[[], object]] = {
        "scenes": lambda: dataset.scenes(numbers),
        "frames": lambda: dataset.render(scenes.image, scenes.top_left, device),
        "whole": lambda: dataset.batch(numbers, device),
    }
    return {name: batch / _best_time(work, device, seconds) for name, work in parts.items()}


def _best_time(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the shortest time of one call; others may use the machine meanwhile."""
    work()
    best, start = float("inf"), time.perf_counter()
    while (begin := time.perf_counter()) - start < seconds:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return best


def _datasets(images: Digits, seed: int) -> dict[str, DigitClips]:
    small: dict[str, Any] = {"num_digits": 3, "num_classes": 5, "frames": 6, "step": 8}
    return {
        "SyncMNIST, 3 digits, 10 × 64²": SyncMNIST(images, num_digits=3, seed=seed),
        "SyncMNIST, 5 digits, 10 × 64²": SyncMNIST(images, seed=seed),
        "MultiSyncMNIST, 10 × 128²": MultiSyncMNIST(images, seed=seed),
        "small task, 3 digits, 6 × 32²": SyncMNIST(
            sklearn_digits(), **small, canvas=32, size=32, p_none=1 / 11, seed=seed
        ),
    }


def _images() -> tuple[Digits, str]:
    try:
        return mnist(split="test"), "MNIST, test"
    except InputError:
        random = np.random.default_rng(0)
        images = np.zeros((10_000, 28, 28), np.uint8)
        ink = random.random((10_000, 20, 14)) < 0.5  # 140 pixels a digit, as MNIST has
        images[:, 4:24, 7:21] = ink * random.integers(10, 256, ink.shape)
        return Digits(images, np.arange(10_000) % 10, "test"), "random"


if __name__ == "__main__":
    main()
