"""The checkpoint to resume from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

__all__ = ["KeepLast"]


class KeepLast(Checkpoint):
    """Keeps the newest state of a fit: every few minutes, after validations and epochs.

    (``save_last`` of Lightning's ``ModelCheckpoint`` writes only when there is a new best.) A file
    is written whole before it takes the place of the one before.

    Args:
        path: where the checkpoint lies.
        minutes: of training between two, at most: what an interrupt may cost.
    """

    def __init__(self, path: str | Path, minutes: float = 5.0) -> None:
        self.path = Path(path)
        self.minutes = minutes
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save where the last time is long ago."""
        at_end = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if not at_end and time.monotonic() - self._saved >= 60 * self.minutes:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save within an epoch."""
        at_end = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not at_end:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch."""
        self._save(trainer)

    def _save(self, trainer: Any) -> None:
        if trainer.fast_dev_run:
            return
        part = self.path.with_suffix(".part")
        trainer.save_checkpoint(part, weights_only=False)  # all of the state, not weights alone
        if trainer.is_global_zero:
            part.replace(self.path)
        self._saved = time.monotonic()
