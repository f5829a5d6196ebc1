"""The random state of a run, kept in its checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, distributed

__all__ = ["RandomState"]


class RandomState(Callback):
    """Keeps torch's random state in checkpoints, so that a resumed run draws what it would have.

    Of several processes each keeps its own.
    """

    def __init__(self) -> None:
        self.loaded: list[dict[str, Tensor]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of the CPU and of the current GPU, of all processes."""
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        states: list[Any] = [state]
        if distributed.is_available() and distributed.is_initialized():
            states = [None] * distributed.get_world_size()
            distributed.all_gather_object(states, state)
        return {"processes": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the first batch: setting up a run may draw numbers too."""
        for state in state_dict["processes"]:
            torch.Generator().set_state(state["cpu"].cpu())  # which checks it
        self.loaded = state_dict["processes"]

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        """Go on with a validation that was left, as with a batch."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.on_train_batch_start(trainer)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Go on from the states that were loaded, once; with more processes some begin anew."""
        if trainer.global_rank < len(self.loaded):
            state = self.loaded[trainer.global_rank]
            torch.set_rng_state(state["cpu"].cpu())
            if "cuda" in state and torch.cuda.is_available():
                torch.cuda.set_rng_state(state["cuda"].cpu())
        self.loaded = []
