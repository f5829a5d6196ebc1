"""Checkpoints appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from stgraph.writing import whole

__all__ = ["WholeCheckpoints", "save_whole"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them.

    (Lightning's own writes into the folder of temporary files. Where that is on another disk the
    file is copied over the old one, and a process that is killed meanwhile leaves neither.) For a
    trainer of your own: ``Trainer(plugins=[WholeCheckpoints()])``.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; one that is at another machine, ``s3://…``, as Lightning does."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # Of a file that Python opened, torch's error has the disk's own behind it.
        with whole(path) as part, part.open("wb") as file:
            torch.save(checkpoint, file)


def save_whole(trainer: Trainer) -> None:
    """Let a trainer write checkpoints whole, unless it was told how to write them."""
    strategy = trainer.strategy
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = WholeCheckpoints()
