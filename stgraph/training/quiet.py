"""What Lightning says that nobody who trains a model can act on."""

from __future__ import annotations

import logging
import warnings

__all__ = ["quiet"]

_IDLE = (
    "Tip: For seamless",  # an advertisement
    "TPU available",
    "Loading `train_dataloader` to estimate",
)


def quiet() -> None:
    """Leave out Lightning's advertisements, and warnings that ask for nothing to be done."""
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec.. is deprecated")
    # A test of averaged weights needs the average alone, and that is what is loaded.
    averaging = "You're using the WeightAveraging callback, but loading a checkpoint"
    warnings.filterwarnings("ignore", message=averaging)
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # A data module without clips to validate on has none on purpose.
    warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not any(words in str(record.msg) for words in _IDLE)
