"""The random state of a run, kept in its checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

__all__ = ["RandomState"]


class RandomState(Callback):
    """Keeps torch's random state in checkpoints, so that a resumed run draws what it would have."""

    def __init__(self) -> None:
        self.loaded: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of the CPU and of the current GPU."""
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the first batch: setting up a run may draw numbers too."""
        self.loaded = state_dict

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Go on from the states that were loaded, once; they are those of the first process."""
        if not trainer.is_global_zero:
            return
        if "cpu" in self.loaded:
            torch.set_rng_state(self.loaded["cpu"].cpu())
        if "cuda" in self.loaded and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.loaded["cuda"].cpu())
        self.loaded = {}
