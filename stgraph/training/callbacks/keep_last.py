"""The checkpoint to resume from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

__all__ = ["KeepLast", "between_steps", "stepped"]

_LOOKS = 20  # steps between two looks at the clock where several processes must agree


class KeepLast(Checkpoint):
    """Keeps the newest state of a fit: every few minutes, and around validations and epochs.

    (``save_last`` of Lightning's ``ModelCheckpoint`` writes only when there is a new best.) Between
    two batches whose gradients are accumulated nothing is kept, since gradients are no part of a
    checkpoint. What is kept of a fit that ends within an epoch lets another go on there. A step
    that is followed by a validation is kept when that begins, so that whoever goes on validates.
    Of several processes the first one's clock counts; they look at it every 20 steps.

    Args:
        path: where the checkpoint lies.
        minutes: of training between two, at most: what an interrupt may cost.
        ends: tells whether the fit is left after this step.
    """

    def __init__(
        self,
        path: str | Path,
        minutes: float = 5.0,
        ends: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = Path(path)
        self.minutes = minutes
        self.ends = ends
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save where the last time is long ago, or the fit ends."""
        if between_steps(trainer):
            no_more = trainer.should_stop or trainer.global_step == trainer.max_steps
            if no_more or self.ends() or self._is_due(trainer):
                self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before a validation, which may take long."""
        if _fits(trainer) and stepped(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save within an epoch."""
        if _fits(trainer) and _within_epoch(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch; one that was left half-way is not over."""
        if not _within_epoch(trainer):
            self._save(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        late = time.monotonic() - self._saved >= 60 * self.minutes
        if trainer.world_size == 1:
            return late
        # Saving waits for all processes, so either all save or none.
        return trainer.global_step % _LOOKS == 0 and trainer.strategy.broadcast(late)

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path, weights_only=False)  # all of it, not weights alone
            self._saved = time.monotonic()


def _fits(trainer: Trainer) -> bool:
    return trainer.state.fn == "fit" and not trainer.sanity_checking


def _within_epoch(trainer: Trainer) -> bool:
    """Tell whether an optimiser step was just made, and more are to come in the epoch."""
    return stepped(trainer) and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def between_steps(trainer: Trainer) -> bool:
    """Tell whether one step was just made and the next one follows, without a validation."""
    return _within_epoch(trainer) and not _validates(trainer)


def _validates(trainer: Any) -> bool:
    """Tell whether a validation follows the batch."""
    return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher))


def stepped(trainer: Trainer) -> bool:
    """Tell whether the last batch completed a step of the optimiser."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    return progress.is_last_batch or progress.current.ready % trainer.accumulate_grad_batches == 0
