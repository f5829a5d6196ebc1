"""How long a fit may take."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from stgraph.training.keep_last import stepped

__all__ = ["SessionTime"]


class SessionTime(Timer):
    """Stops a fit after some time, and counts none but its own.

    (The time of Lightning's ``Timer`` is that of all sessions of a run: one that is resumed with
    the same limit would train nothing.) It stops after a step of the optimiser, since gradients
    that are being accumulated are no part of a checkpoint.

    Args:
        duration: as Lightning's ``max_time``, ``DD:HH:MM:SS``.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the next session begins at 0."""
        return {}

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Look at the clock."""
        if stepped(trainer):
            super().on_train_batch_end(trainer)
