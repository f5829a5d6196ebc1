"""What a fit says of itself: how large its model is, how far and how good it is."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.utilities import rank_zero_info

__all__ = ["Bar", "Metrics", "Size"]


class Bar(RichProgressBar):
    """Lightning's bar, without the number of the logger's folder."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return what stands beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}


class Metrics(Callback):
    """Computes an epoch's metrics in all processes at the same time.

    They wait for each other in it; the bar, which only the first one has, would be left waiting
    while the others wait for it to save a checkpoint.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute what the epoch has measured."""
        _ = trainer.callback_metrics  # which computes and keeps them


class Size(Callback):
    """Says how large the model is."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say it."""
        model: Any = pl_module.model
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        frozen = sum(size for size, learns in sizes if not learns)
        told = f"{type(model).__name__}: {sum(size for size, _ in sizes):,} parameters"
        rank_zero_info(told + (f", {frozen:,} of them frozen" if frozen else ""))
