"""Trainings by the clock, as `stgraph fit` does them: data included, and the data alone.

    python benchmarks/fitting.py NAME STEPS THREADS      # a line in, times of so many steps out

It uses only what has been in the library since commit 4c7eda6 and is run as a program by
`against.py`, once for each of the commits that it compares.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import stgraph
from stgraph import recipes
from stgraph.datasets import ClipLoader, Digits, MultiSyncMNIST, SyncMNIST, sklearn_digits
from stgraph.training import ClassificationModule, NodeClasses, WarmupCosine

LENGTH = 1_000_000
"""Clips of a data set: more than a measurement sees."""


class Training(NamedTuple):
    """What is trained on what."""

    module: LightningModule
    data: Any
    batch: int

    def loader(self, device: torch.device) -> ClipLoader:
        """Its batches, from the first one on."""
        return ClipLoader(self.data, self.batch, device=device)


class Spent(NamedTuple):
    """Seconds."""

    clock: float
    """By the clock."""
    own: float
    """Of this process's own time, which other programs hardly change; of all its threads."""


class Clock(Callback):
    """Takes the time from the end of the first steps to that of the last one.

    Args:
        warm: steps that do not count.
    """

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.spent = self._since = Spent(0.0, 0.0)

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        """Start when the first steps are done."""
        if trainer.global_step == self.warm:
            self._since = _now(trainer.strategy.root_device)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Stop."""
        now = _now(trainer.strategy.root_device)
        self.spent = Spent(*(end - start for end, start in zip(now, self._since, strict=True)))


def fit(
    training: Training, steps: int, device: torch.device, precision: str = "32-true", warm: int = 1
) -> Spent:
    """What so many training steps take, data included, after some that do not count."""
    clock = Clock(warm)
    trainer = Trainer(
        max_steps=warm + steps,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=precision,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
    )
    trainer.fit(training.module, training.loader(device))
    return clock.spent


def load(training: Training, steps: int, device: torch.device, warm: int = 1) -> float:
    """Seconds of so many batches, with nothing done to them."""
    batches = iter(training.loader(device))
    for _ in itertools.islice(batches, warm):
        pass
    start = _now(device)
    for _ in itertools.islice(batches, steps):
        pass
    return _now(device).clock - start.clock


def _now(device: torch.device) -> Spent:
    """The time, once a device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Spent(time.perf_counter(), time.process_time())


def demonstration() -> Training:
    """The demonstration's dynamic model, task and batch, as they are in this library."""
    try:
        demo = importlib.import_module("stgraph.applications.demo")
        module = demo.module(demo.dynamic())
    except ModuleNotFoundError:  # until it moved
        demo = importlib.import_module("stgraph.training.demo")
        module = demo.module(recipes.small_regions())
    batch = inspect.signature(demo.run).parameters["batch_size"].default
    return Training(module, demo.clips("train", LENGTH), batch)


def small() -> Training:
    """What the demonstration's dynamic model, task and batch were at 4c7eda6."""
    data = SyncMNIST(
        sklearn_digits("train"),
        **{"num_digits": 3, "num_classes": 5, "frames": 6, "canvas": 32, "size": 32, "step": 8},
        p_none=1 / 11,
        draw_order="random",
        length=LENGTH,
    )
    adamw = partial(torch.optim.AdamW, lr=5e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    module = ClassificationModule(
        recipes.dyreg_small(11, recipes.small_regions()),
        optimizer=adamw,
        schedule=WarmupCosine(0.1),
        auxiliary=NodeClasses(32, 5),
    )
    return Training(module.to(memory_format=torch.channels_last), data, 48)


def full(batch: int = 8) -> Training:
    """Full DyReG on MultiSyncMNIST; of random images, which take as long as digits."""
    drawn = np.random.default_rng(0)
    ink = drawn.random((1000, 28, 28)) < 0.18  # 140 pixels a digit, as MNIST has
    images = (ink * drawn.integers(10, 256, ink.shape)).astype(np.uint8)
    digits = Digits(images, np.arange(1000) % 10, "train")
    sgd = partial(torch.optim.SGD, lr=0.001, momentum=0.9)
    module = ClassificationModule(recipes.dyreg_multi_sync_mnist(), optimizer=sgd)
    return Training(module, MultiSyncMNIST(digits, length=LENGTH), batch)


TRAININGS: dict[str, Callable[[], Training]] = {
    "demonstration": demonstration,
    "small": small,
    "full": full,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Lightning says of a trainer that neither logs nor validates."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def main() -> None:
    name, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with quiet():
        training = TRAININGS[name]()
        print(stgraph.__file__, training.batch, file=out, flush=True)
        for _ in sys.stdin:
            print(*fit(training, steps, torch.device("cpu")), file=out, flush=True)


if __name__ == "__main__":
    main()
