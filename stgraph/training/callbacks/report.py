"""What a test has measured, as a file in the run's folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from stgraph.writing import write_whole

__all__ = ["Report"]


class Report(Callback):
    """Writes ``test.json``: what was logged, and what is too much for a log.

    The confusion matrix, the accuracies of each class, with the names of the labels where the data
    have some, and what each of the numbers about regions is a mean over. What is not finite is
    null.
    """

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it, in the first process."""
        parts: Any = trainer
        if not trainer.is_global_zero or parts.fast_dev_run or trainer.sanity_checking:
            return
        told: dict[str, Any] = {
            name: value.item()
            for name, value in sorted(trainer.callback_metrics.items())
            if isinstance(value, Tensor) and name.startswith("test/")
        }
        measured = getattr(pl_module, "measured", {})
        told |= {name: value for name, value in measured.items() if f"test/{name}" not in told}
        loaders = parts.test_dataloaders
        names = getattr(getattr(loaders, "dataset", None), "label_names", None)
        if names is not None:
            told["labels"] = list(names)
        text = json.dumps(_finite(told), indent=1, allow_nan=False)
        write_whole(Path(trainer.default_root_dir) / "test.json", text.encode())


def _finite(value: Any) -> Any:
    """With ``None`` for numbers that JSON has not: the loss of a model that diverged, say."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
