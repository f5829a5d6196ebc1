"""Clips that a model is shown before it is trained on those of the run."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.utils.data import Dataset

from stgraph.checks import InputError, integer
from stgraph.datasets import ClipBatch, ClipLoader
from stgraph.training.batches import check_batch, check_labels
from stgraph.training.groups import build

__all__ = ["ShowFirst", "TeachFirst"]


class ShowFirst(Callback):
    """Shows other clips first, from which the auxiliary loss alone learns.

    What finds the nodes, the CNN and the regions, is trained before the recurrent layers hear of
    it: with :class:`~stgraph.training.NodeClasses` and clips of a single frame, which are cheap, in
    seconds. Each clip is seen once. The module's own optimiser, groups and schedule are built for
    these steps, and anew for the run. A run that is resumed has seen them; one that is interrupted
    meanwhile begins again.

    Args:
        clips: a data set that makes batches, with ``batch(indices, device)``.
        batch_size: clips a step.
        seed: of their order.

    Raises:
        InputError: on another data set; in use, for a module without an auxiliary, or a run of
            several processes or in half precision with a scaled loss.
    """

    def __init__(
        self,
        clips: Dataset,  # type: ignore[type-arg]
        batch_size: int = 192,
        seed: int = 0,
    ) -> None:
        if not callable(getattr(clips, "batch", None)):
            expected = "a dataset with batch(indices, device)"
            raise InputError("clips", expected, type(clips).__name__)
        self.clips: Any = clips
        self.batch_size = integer("batch_size", batch_size)
        self.seed = seed
        self.shown = 0
        """Clips that were shown."""

    def state_dict(self) -> dict[str, Any]:
        """Return how many clips were shown."""
        return {"shown": self.shown}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Show none to a run that goes on."""
        self.shown = state_dict["shown"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show them, unless the run is resumed."""
        module: Any = pl_module
        self._check(module)
        if trainer.world_size > 1:
            raise InputError("trainer.devices", "one, where clips are shown first", "several")
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            expected = "one that scales no loss, where clips are shown first"
            raise InputError("trainer.precision", expected, trainer.precision)
        if trainer.ckpt_path is None and not self.shown:
            self._show(trainer, module)

    def _check(self, module: Any) -> None:
        """Check that there is something that learns from these clips."""
        if getattr(module, "auxiliary", None) is None:
            raise InputError("model.auxiliary", "one that learns from what is shown first", "none")

    def _loss(self, module: Any, batch: ClipBatch) -> Tensor:
        """What is learnt of a batch."""
        asked = module.asked(batch)
        loss: Tensor = module.auxiliary(asked.answer, asked.seen)
        return loss

    def _show(self, trainer: Trainer, module: Any) -> None:
        device = trainer.strategy.root_device
        loader = ClipLoader(
            self.clips, self.batch_size, shuffle=True, seed=self.seed, device=device
        )
        optimizer = build(module, module.optimizer, module.groups)
        schedule = module.schedule(optimizer, float(len(loader)))
        for batch in loader:
            with trainer.precision_plugin.forward_context():
                loss: Any = self._loss(module, batch)
            loss.backward()
            if trainer.gradient_clip_val is not None:
                how = GradClipAlgorithmType(trainer.gradient_clip_algorithm or "norm")
                trainer.precision_plugin.clip_gradients(optimizer, trainer.gradient_clip_val, how)
            optimizer.step()
            optimizer.zero_grad()
            if schedule["interval"] == "step":  # the others are for runs of several epochs
                schedule["scheduler"].step()
            self.shown += len(batch["label"])


class TeachFirst(ShowFirst):
    """Shows other clips first, from which everything learns: a curriculum.

    For clips that are easier than those of the run, of fewer digits or with wider steps, and with
    labels that are numbered alike. Else it is :class:`ShowFirst`.

    Args:
        clips: a data set that makes batches, with ``batch(indices, device)``.
        batch_size: clips a step.
        seed: of their order.

    Raises:
        InputError: as :class:`ShowFirst`, but for the auxiliary, which the module need not have;
            and in use, for labels that are not the model's.
    """

    def _check(self, module: Any) -> None:
        """Labels can always be learnt."""

    def _loss(self, module: Any, batch: ClipBatch) -> Tensor:
        """The loss of the labels, and that of the auxiliary if there is one."""
        check_batch(batch, "label")
        asked, label = module.asked(batch), batch["label"].long()
        check_labels(label, asked.logits)
        loss: Tensor = module.loss(asked.logits, label)
        if module.auxiliary is not None:
            loss = loss + module.auxiliary(asked.answer, asked.seen)
        return loss
