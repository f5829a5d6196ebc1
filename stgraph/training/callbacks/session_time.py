"""How long a fit may take."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from stgraph.training.callbacks.keep_last import stepped

__all__ = ["SessionOver", "SessionTime"]


class SessionOver(Exception):  # noqa: N818 (nothing is wrong)
    """The time of a session is over; the run is not."""


class SessionTime(Timer):
    """Tells when a fit has taken its time, and counts none but its own.

    (The time of Lightning's ``Timer`` is that of all sessions of a run: one that is resumed with
    the same limit would train nothing. And what it stops ends with a validation and the end of an
    epoch, which a run that is left alone has not.) It is over after a step of the optimiser, since
    gradients that are being accumulated are no part of a checkpoint.

    Args:
        duration: as Lightning's ``max_time``, ``DD:HH:MM:SS``.
    """

    over = False
    """Whether the time is over, for all processes."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the next session begins at 0."""
        return {}

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Look at the clock; of several processes the first one's counts."""
        left = self.time_remaining() if stepped(trainer) else None
        if left is not None:
            self.over = trainer.strategy.broadcast(left <= 0)
