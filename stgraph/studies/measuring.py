"""What a study measures of a run beside what every run logs: its curve, and each clip's answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from stgraph.metrics.answers import hits
from stgraph.metrics.running import ClipMetric

__all__ = ["Curve", "EachClip", "pack", "unpack"]

_EVERY = 1.0  # seconds between two words about how far a run is


class Curve(Callback):
    """Records what is validated against the clips seen, over all sessions of a run.

    Args:
        progress: file in which stands how far the run is, 0 to 1, for whoever waits for it.
    """

    def __init__(self, progress: Path) -> None:
        self.progress = progress
        self.clips = 0
        self.sessions = 0
        self.points: list[dict[str, float]] = []
        self.seconds: list[float] = []
        """Of training and validation, at each point."""
        self._before = 0.0  # seconds of the sessions before
        self._since = self._told = time.monotonic()
        self._loss, self._of = 0.0, 0
        self._losses: list[tuple[Tensor, int]] = []  # which nobody has waited for

    @property
    def total(self) -> float:
        """Seconds of training and validation so far."""
        return self._before + time.monotonic() - self._since

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded."""
        self._settle()
        return {
            "clips": self.clips,
            "sessions": self.sessions,
            "points": [dict(point) for point in self.points],
            "seconds": [*self.seconds],
            "total": self.total,
            "loss": [self._loss, self._of],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what the session before has recorded."""
        self.clips, self.sessions = state_dict["clips"], state_dict["sessions"]
        self.points, self.seconds = state_dict["points"], state_dict["seconds"]
        self._before = state_dict["total"]
        self._loss, self._of = state_dict["loss"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a session."""
        self.sessions += 1
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the clips, and keep their loss."""
        clips = len(batch["label"]) * trainer.world_size if batch else 0
        self.clips += clips
        self._losses.append((trainer.callback_metrics["train/loss"].detach(), clips))
        if time.monotonic() - self._told >= _EVERY:
            self._tell(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down where the training stands."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._settle()
        point = {"clips": float(self.clips)}
        if self._of:
            point["loss"] = self._loss / self._of
        metrics = trainer.callback_metrics
        names = sorted(name for name in metrics if name.startswith("val/"))
        point |= {name.removeprefix("val/"): float(metrics[name]) for name in names}
        self.points.append(point)
        self.seconds.append(self.total)
        self._loss, self._of = 0.0, 0

    def _settle(self) -> None:
        """Add up the losses; the device is waited for here alone."""
        for loss, clips in self._losses:
            self._loss += float(loss) * clips
            self._of += clips
        self._losses.clear()

    def _tell(self, trainer: Trainer) -> None:
        self._told = time.monotonic()
        steps = float(trainer.estimated_stepping_batches)
        with suppress(OSError):
            self.progress.write_text(f"{trainer.global_step / steps:.4f}")


class EachClip(ClipMetric):
    """Which clips were answered right, in order, so that rows can be compared clip by clip.

    Args:
        k: how many answers count.
    """

    right: list[Tensor]
    label: list[Tensor]

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k
        self.add_state("right", [], dist_reduce_fx="cat")
        self.add_state("label", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, answer: Any, batch: Mapping[str, Tensor]) -> None:
        """Take in a batch: see :class:`~stgraph.metrics.running.ClipMetric`."""
        self.right.append(hits(logits, batch["label"], self.k).bool())
        self.label.append(batch["label"])

    def compute(self) -> dict[str, Any]:
        """Return ``each_clip``: right or not, packed, and what the labels add up to."""
        if not len(self.right):
            return {"each_clip": pack([], [])}
        right, label = (
            torch.cat(part).tolist() if isinstance(part, list) else part.tolist()
            for part in (self.right, self.label)
        )
        return {"each_clip": pack(right, label)}


def pack(right: list[bool], labels: list[int]) -> dict[str, Any]:
    """Pack answers, eight clips a byte, in hexadecimal digits.

    Args:
        right: whether each clip was answered right.
        labels: of the clips; of them a digest is kept, which says whether clips are the same.

    Examples:
        >>> packed = pack([True, False, True], [3, 1, 4])
        >>> packed["right"], unpack(packed).tolist()
        ('a0', [True, False, True])
    """
    bits = np.packbits(np.asarray(right, dtype=bool)).tobytes()
    said = hashlib.sha256(np.asarray(labels, dtype="<i8").tobytes()).hexdigest()
    return {"clips": len(right), "right": bits.hex(), "labels": said}


def unpack(packed: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which clips were answered right, of :func:`pack`."""
    data = np.frombuffer(bytes.fromhex(packed["right"]), dtype=np.uint8)
    return np.unpackbits(data, count=int(packed["clips"])).astype(bool)
