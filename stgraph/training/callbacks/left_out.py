"""What of its data a run could not read, and what read the rest."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import distributed

from stgraph.datasets.clips import LeftOut
from stgraph.training.data import left_out_of
from stgraph.writing import write_whole

__all__ = ["Decoded", "LeftOutClips"]

_TITLES = ("stage", "epoch", "number", "clip", "why")
_TOLD = 5  # clips that are named at the end of an epoch; the file has all


class LeftOutClips(Callback):
    """Counts and lists the clips that were left out of each epoch, since they cannot be read.

    The list is ``left_out.csv`` in the run's folder, with the clips of all processes. An epoch that
    is gone through again, in a run that is resumed, takes the place of what was there.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "left_out.csv"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what was left out of an epoch of training."""
        self._tell(trainer, "train")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what was left out of a validation."""
        if not trainer.sanity_checking:
            self._tell(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what was left out of a test."""
        self._tell(trainer, "test")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what was left out of the answers."""
        self._tell(trainer, "predict")

    def _tell(self, trainer: Trainer, stage: str) -> None:
        found = _of_all(left_out_of(trainer, stage))
        if not trainer.is_global_zero or not found:
            return
        several = {one.number: one for one in found}  # the last ranks may see clips again
        clips = [several[number] for number in sorted(several)]
        names = ", ".join(one.clip for one in clips[:_TOLD])
        more = f" and {len(clips) - _TOLD} more" if len(clips) > _TOLD else ""
        count = f"{len(clips)} clip{'s' if len(clips) > 1 else ''}"
        rank_zero_info(f"{stage}: {count} left out ({names}{more}), see {self.path}")
        if not getattr(trainer, "fast_dev_run", False):
            epoch = str(trainer.current_epoch) if stage in ("train", "val") else ""
            self._write(stage, epoch, clips)

    def _write(self, stage: str, epoch: str, clips: Iterable[LeftOut]) -> None:
        rows: list[Mapping[str, Any]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows += csv.DictReader(file)
        rows = [row for row in rows if (row.get("stage"), row.get("epoch")) != (stage, epoch)]
        rows += [{"stage": stage, "epoch": epoch, **one._asdict()} for one in clips]
        text = StringIO(newline="")
        writer = csv.DictWriter(text, _TITLES, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path, text.getvalue().encode())


class Decoded(Callback):
    """Writes down what decodes the videos of a run, and its version, in ``decoder.json``.

    For each of fit, validate, test and predict, since other versions may give other pixels.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "decoder.json"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what decodes the clips to train on."""
        self._note(trainer, "fit", trainer.train_dataloader)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what decodes the clips to validate on."""
        if trainer.state.fn == "validate":
            self._note(trainer, "validate", trainer.val_dataloaders)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what decodes the clips to test on."""
        self._note(trainer, "test", trainer.test_dataloaders)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what decodes the clips to answer."""
        self._note(trainer, "predict", trainer.predict_dataloaders)

    def _note(self, trainer: Trainer, command: str, loaders: Any) -> None:
        if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        datasets: list[Any] = [getattr(loader, "dataset", None) for loader in _each(loaders)]
        found = next((one.decoder for one in datasets if hasattr(one, "decoder")), None)
        if found is None:
            return
        noted: dict[str, Any] = {}
        if self.path.exists():
            noted = json.loads(self.path.read_text(encoding="utf-8"))
        trained = noted.get("fit", found)
        if trained != found:
            rank_zero_info(f"{self.path}: {command} decodes by {found}, fit did by {trained}")
        noted[command] = found
        write_whole(self.path, (json.dumps(noted, indent=2) + "\n").encode())


def _each(loaders: Any) -> list[Any]:
    return list(loaders) if isinstance(loaders, (list, tuple)) else [loaders]


def _of_all(mine: list[LeftOut]) -> list[LeftOut]:
    """What was left out by all processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return mine
    everything: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everything, mine)
    return [LeftOut(*one) for part in everything for one in part]
