"""The checkpoint to resume from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

__all__ = ["KeepLast", "stepped"]

_LOOKS = 20  # steps between two looks at the clock where several processes must agree


class KeepLast(Checkpoint):
    """Keeps the newest state of a fit: every few minutes, after validations and epochs.

    (``save_last`` of Lightning's ``ModelCheckpoint`` writes only when there is a new best.) A file
    is written whole before it takes the place of the one before. Between two batches whose
    gradients are accumulated nothing is kept, since gradients are no part of a checkpoint. What is
    kept of a fit that ends within an epoch lets another go on there. Of several processes the
    first one's clock counts; they look at it every 20 steps.

    Args:
        path: where the checkpoint lies.
        minutes: of training between two, at most: what an interrupt may cost.
    """

    def __init__(self, path: str | Path, minutes: float = 5.0) -> None:
        self.path = Path(path)
        self.minutes = minutes
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save where the last time is long ago, or the fit ends."""
        if _within_epoch(trainer) and (_ends(trainer) or self._is_due(trainer)):
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save within an epoch."""
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        if fitting and _within_epoch(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch; one that was left half-way, for want of time, is not over."""
        if not _within_epoch(trainer):
            self._save(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        late = time.monotonic() - self._saved >= 60 * self.minutes
        if trainer.world_size == 1:
            return late
        # Saving waits for all processes, so either all save or none.
        return trainer.global_step % _LOOKS == 0 and trainer.strategy.broadcast(late)

    def _save(self, trainer: Any) -> None:
        if trainer.fast_dev_run:
            return
        part = self.path.with_suffix(".part")
        trainer.save_checkpoint(part, weights_only=False)  # all of the state, not weights alone
        if trainer.is_global_zero:
            part.replace(self.path)
        self._saved = time.monotonic()


def _within_epoch(trainer: Trainer) -> bool:
    """Tell whether an optimiser step was just made, and more are to come in the epoch."""
    return stepped(trainer) and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def _ends(trainer: Trainer) -> bool:
    """Tell whether no further step is to be made."""
    return trainer.should_stop or trainer.global_step == trainer.max_steps


def stepped(trainer: Trainer) -> bool:
    """Tell whether the last batch completed a step of the optimiser."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    return progress.is_last_batch or progress.current.ready % trainer.accumulate_grad_batches == 0
