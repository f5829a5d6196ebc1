"""Training a video classifier: one loss, one optimiser, one schedule, each a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from stgraph.training.checkpoints import check_keys
from stgraph.training.scaling import signed
from stgraph.training.schedules import Schedule, WarmupCosine

__all__ = ["ClassificationModule", "adamw", "hits"]


def adamw(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return AdamW with a rate of 0.001.

    A default that is a function has no arguments of its own: those of an optimiser class would stay
    when a configuration names another class, and give SGD the weight decay of AdamW.
    """
    return torch.optim.AdamW(parameters, lr=1e-3)


def hits(logits: Tensor, label: Tensor, k: int) -> Tensor:
    """Tell for each clip whether its label is among the ``k`` largest logits.

    Args:
        logits: ``[B, K]``.
        label: ``[B]``.
        k: how many answers count.

    Returns:
        0 or 1 for each clip, ``[B]``, float.

    Examples:
        >>> hits(torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.1]]), torch.tensor([2, 0]), k=1)
        tensor([0., 1.])
    """
    return (logits.topk(k).indices == label[:, None]).any(1).float()


class ClassificationModule(LightningModule):
    """Trains and tests a model that answers a video with logits.

    Logs ``{train,val,test}/loss`` and ``/top1``, and ``/top5`` where there are more than five
    classes.

    Args:
        model: takes a float video ``[B, T, C, H, W]`` and returns an answer with ``logits [B, K]``.
        loss: from logits ``[B, K]`` and labels ``[B]`` to a number.
        optimizer: from parameters to an optimiser.
        schedule: what sets the learning rate.
        scale: from the frames of a clip batch to what the model sees.
        auxiliary: from an answer and its clip batch to a number that joins the loss in training,
            for example :class:`~stgraph.training.NodeClasses`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module = nn.CrossEntropyLoss(),  # noqa: B008 (nor has this)
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = adamw,
        schedule: Schedule = WarmupCosine(),  # noqa: B008 (it has no state to share)
        scale: nn.Module | Callable[[Tensor], Tensor] = signed,
        auxiliary: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.scale = scale
        self.auxiliary = auxiliary
        # without its check of values, which would wait for the device
        names = [
            f"{stage}_{name}" for stage in ("train", "val", "test") for name in ("top1", "top5")
        ]
        self.metrics = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})

    def forward(self, video: Tensor, state: Any = None) -> Any:
        """Answer clips ``[B, T, C, H, W]`` as they come from the data, unscaled."""
        return self.model(self.scale(video), state)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a clip batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure a clip batch."""
        self._step(batch, "val")

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Measure a clip batch."""
        self._step(batch, "test")

    def predict_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return index, label, answer and its probability for each clip, each ``[B]``."""
        probability, answer = self(batch["video"]).logits.softmax(-1).max(-1)
        return {
            "index": batch["index"],
            "label": batch["label"],
            "answer": answer,
            "probability": probability,
        }

    def _step(self, batch: Mapping[str, Tensor], stage: str) -> Tensor:
        label = batch["label"]
        answer = self(batch["video"])
        logits: Tensor = answer.logits  # [B, K]
        loss: Tensor = self.loss(logits, label)
        size = len(label)
        fitting = stage == "train"
        total = loss
        if fitting and self.auxiliary is not None:
            extra = self.auxiliary(answer, batch)
            self.log("train/auxiliary", extra, batch_size=size)
            total = loss + extra
        self.log(
            f"{stage}/loss",
            loss,
            on_step=fitting,
            on_epoch=not fitting,
            batch_size=size,
            sync_dist=not fitting,
        )
        for name, k in (("top1", 1), ("top5", 5)):
            if k == 1 or logits.shape[1] > k:
                metric: Any = self.metrics[f"{stage}_{name}"]
                metric.update(hits(logits.detach(), label, k))
                self.log(
                    f"{stage}/{name}",
                    metric,
                    on_step=False,
                    on_epoch=True,
                    prog_bar=k == 1,
                    batch_size=size,
                )
        return total

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the parameters that learn, and its schedule."""
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        steps = float(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer, steps)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, after a check that they are this model's when ``strict``.

        Raises:
            InputError: when they are another model's.
        """
        if strict:
            check_keys(self, state_dict)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)
