"""Learning-rate schedules: parts that turn an optimiser and a number of steps into a schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, ReduceLROnPlateau

from stgraph.checks import InputError, fraction, integer

__all__ = [
    "Constant",
    "EpochMilestones",
    "Milestones",
    "Plateau",
    "Schedule",
    "WarmupCosine",
]


class Schedule(ABC):
    """What sets the learning rate while an optimiser steps."""

    @abstractmethod
    def __call__(self, optimizer: Optimizer, steps: float) -> dict[str, Any]:
        """Return Lightning's ``lr_scheduler`` entry.

        Args:
            optimizer: the optimiser whose rates are set; its own are the peak.
            steps: optimiser steps of the whole run, infinite when the run has no end.
        """


class StepSchedule(Schedule):
    """A schedule that multiplies the peak rate by a :meth:`factor` of the progress 0..1."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Return what the peak rate is multiplied by at a progress of 0..1."""

    def __call__(self, optimizer: Optimizer, steps: float) -> dict[str, Any]:
        """Return a schedule by the step; see :class:`Schedule`.

        Raises:
            InputError: when the run has no end.
        """
        if not math.isfinite(steps):
            raise InputError("schedule", "a run with max_epochs or max_steps", "one without an end")
        # The rate at step s is that of the step's middle: never 0 at the first step or the last.
        whole = max(steps, 1.0)  # a run of no steps asks for its first rate all the same
        factors = LambdaLR(optimizer, lambda step: self.factor(min(1.0, (step + 0.5) / whole)))
        return {"scheduler": factors, "interval": "step"}


class WarmupCosine(StepSchedule):
    """A linear warm-up, then half a cosine down to ``final`` of the peak rate.

    Args:
        warmup: share of the run that warms up, 0..1.
        final: share of the peak rate at the end, 0..1.

    Examples:
        >>> tuple(round(WarmupCosine(warmup=0.5).factor(p), 2) for p in (0.25, 0.5, 0.75, 1.0))
        (0.5, 1.0, 0.5, 0.0)
    """

    def __init__(self, warmup: float = 0.1, final: float = 0.0) -> None:
        self.warmup = fraction("warmup", warmup)
        self.final = fraction("final", final)

    def factor(self, progress: float) -> float:
        """Return the rate's share of the peak at a progress of 0..1."""
        if progress < self.warmup:
            return progress / self.warmup
        rest = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 0.0
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * rest)) / 2


class Milestones(StepSchedule):
    """The peak rate, multiplied by ``gamma`` at each milestone.

    Args:
        at: milestones as shares of the run, 0..1.
        gamma: what each multiplies the rate by.

    Examples:
        >>> tuple(round(Milestones((0.5, 0.8)).factor(p), 3) for p in (0.4, 0.6, 0.9))
        (1.0, 0.1, 0.01)
    """

    def __init__(self, at: Sequence[float] = (0.5, 0.75), gamma: float = 0.1) -> None:
        self.at = tuple(fraction("at", share) for share in at)
        self.gamma = fraction("gamma", gamma)

    def factor(self, progress: float) -> float:
        """Return the rate's share of the peak at a progress of 0..1."""
        return self.gamma ** sum(progress >= share for share in self.at)


class EpochMilestones(Schedule):
    """The peak rate, multiplied by ``gamma`` after each of these epochs, however long the run is.

    DyReG's official script has (20, 30, 40) in 60 epochs, TSM (20, 40) in 50.

    Args:
        at: numbers of epochs.
        gamma: what each multiplies the rate by.
    """

    def __init__(self, at: Sequence[int], gamma: float = 0.1) -> None:
        self.at = tuple(integer("at", epoch) for epoch in at)
        self.gamma = fraction("gamma", gamma)

    def __call__(self, optimizer: Optimizer, steps: float) -> dict[str, Any]:
        """Return a schedule by the epoch; see :class:`Schedule`."""
        return {"scheduler": MultiStepLR(optimizer, self.at, self.gamma), "interval": "epoch"}


class Constant(Schedule):
    """The optimiser's own rate throughout."""

    def __call__(self, optimizer: Optimizer, steps: float) -> dict[str, Any]:
        """Return a schedule that changes nothing; see :class:`Schedule`."""
        return {"scheduler": LambdaLR(optimizer, lambda step: 1.0), "interval": "step"}


class Plateau(Schedule):
    """The rate, multiplied by ``gamma`` when a logged value has stopped falling.

    Args:
        monitor: the logged value, which is to fall.
        gamma: what the rate is multiplied by.
        patience: values in a row, none of them lower, that are waited for: one an epoch, or one a
            validation where these are rarer.
    """

    def __init__(self, monitor: str = "val/loss", gamma: float = 0.1, patience: int = 5) -> None:
        self.monitor = monitor
        self.gamma = fraction("gamma", gamma)
        self.patience = integer("patience", patience, minimum=0)

    def __call__(self, optimizer: Optimizer, steps: float) -> dict[str, Any]:
        """Return a schedule by the epoch; see :class:`Schedule`."""
        plateau = ReduceLROnPlateau(optimizer, factor=self.gamma, patience=self.patience)
        return {"scheduler": plateau, "interval": "epoch", "monitor": self.monitor}
