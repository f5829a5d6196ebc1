"""Training a video classifier: loss, optimiser, groups, schedule and the rest, each a part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from stgraph.checks import InputError
from stgraph.metrics import hits
from stgraph.metrics.running import Classes, ClipMetric, Objects
from stgraph.training.auxiliary import Auxiliary
from stgraph.training.batches import (
    check_batch,
    check_classes,
    check_labels,
    mean_of_processes,
    mean_of_views,
    no_clips,
    one_view_each,
    readable,
    sums_of_processes,
)
from stgraph.training.checkpoints import check_keys
from stgraph.training.data import left_out_of, one_loader
from stgraph.training.groups import Groups, build, together
from stgraph.training.hints import ask
from stgraph.training.regime import Regime, check_same, describe
from stgraph.training.restoring import first_step
from stgraph.training.scaling import signed
from stgraph.training.schedules import Schedule, WarmupCosine

__all__ = ["Asked", "ClassificationModule", "adamw", "hits"]

_STAGES = ("train", "val", "test")
_REGIME, _UNSEEN = "stgraph_training", "stgraph_unseen"


def adamw(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return AdamW with a rate of 0.001.

    A default that is a function has no arguments of its own: those of an optimiser class would stay
    when a configuration names another class, and give SGD the weight decay of AdamW.
    """
    return torch.optim.AdamW(parameters, lr=1e-3)


class Asked(NamedTuple):
    """What a model was asked, and what it said."""

    answer: Any
    """Of the model, to B·V clips: each view of each clip."""
    batch: dict[str, Any]
    """The clip batch with a clip for each view, B·V in all; its ``video`` is not scaled yet."""
    seen: dict[str, Any]
    """The same with ``video`` as the model saw it: scaled."""
    views: int
    """V, of each clip."""

    @property
    def logits(self) -> Tensor:
        """Means over the views of a clip ``[B, K]``."""
        return mean_of_views(self.answer.logits, self.views)


def _measures(parts: Sequence[ClipMetric]) -> nn.ModuleList:
    """Metrics for a stage of their own."""
    for part in parts:
        if not isinstance(part, ClipMetric):
            raise InputError("metrics", "parts that are a ClipMetric", type(part).__name__)
    return nn.ModuleList(map(deepcopy, parts))


class ClassificationModule(LightningModule):
    """Trains and tests a model that answers a video with logits.

    A checkpoint says how it was trained: with which optimiser, schedule and groups. A run that is
    resumed goes on with the same ones.

    Logs ``{train,val,test}/loss`` and ``/top1``, and ``/top5`` where there are more than five
    classes; in validation and test also what the metrics find.

    Args:
        model: takes a float video ``[B, T, C, H, W]`` and returns an answer with ``logits [B, K]``.
            Where clips have several views ``[B, V, T, C, H, W]`` it sees each as a clip, and logits
            are averaged.
        loss: from logits ``[B, K]`` and labels ``[B]`` to a number; cross-entropy by default.
        optimizer: from parameters to an optimiser.
        schedule: what sets the learning rate.
        scale: from the frames of a clip batch to what the model sees.
        auxiliary: what joins the loss in training, for example
            :class:`~stgraph.training.NodeClasses` or :class:`~stgraph.training.KickStart`.
        groups: which parameters learn at which share of the optimiser's rate and decay; all alike
            by default, :class:`~stgraph.training.TSMGroups` as the papers do on
            Something-Something.
        hints: what the model is told beside the video: fields of the clip batch, by the name of the
            model's argument; ``{"boxes": "box"}`` for an extractor of known boxes.
        metrics: what else is measured in validation and test; by default
            :class:`~stgraph.metrics.running.Objects`, where clips have boxes and the model makes
            graphs, and :class:`~stgraph.metrics.running.Classes`. None with an empty list.

    Raises:
        InputError: on an auxiliary or metrics that are none, and in a run: on hints that are no
            fields of the clip batch or that the model does not take, groups that do not hold each
            parameter once, another number of classes than the data have labels, a run without an
            end where the auxiliary has a share of it, a schedule that waits for a value that is not
            logged, or another optimiser, schedule or groups than those that a resumed run began
            with.
    """

    logged: tuple[str, ...] = ("loss", "top1", "top5")
    """What is logged in training and validation, without the stage; a subclass may log more."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = adamw,
        schedule: Schedule = WarmupCosine(),  # noqa: B008 (it has no state to share)
        scale: nn.Module | Callable[[Tensor], Tensor] = signed,
        auxiliary: Auxiliary | None = None,
        groups: Groups = together,
        hints: Mapping[str, str] | None = None,
        metrics: Sequence[ClipMetric] | None = None,
    ) -> None:
        super().__init__()
        if not (auxiliary is None or isinstance(auxiliary, Auxiliary)):
            raise InputError("auxiliary", "an Auxiliary", type(auxiliary).__name__)
        self.model = model
        self.loss = nn.CrossEntropyLoss() if loss is None else loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.scale = scale
        self.auxiliary = auxiliary
        self.groups = groups
        self.hints = dict(hints or {})
        if auxiliary is not None:
            auxiliary.hints = self.hints
        self._steps = math.inf  # of the run; known when it starts
        self._regime: Regime = {}  # of this run, and of the one that it resumes
        self._resumed: Regime = {}
        self._unseen: float | None = None
        self._resumes = False
        classes = getattr(model, "num_classes", None)
        # whether there are more than five classes; where the model does not say, answers do
        self._five = classes > 5 if isinstance(classes, int) else None
        # without its check of values, which would wait for the device
        names = [f"{stage}_{name}" for stage in _STAGES for name in ("top1", "top5")]
        names += [f"{stage}_loss" for stage in _STAGES[1:]]
        self.metrics = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})
        parts = (Objects(), Classes()) if metrics is None else metrics
        self.measures = nn.ModuleDict({stage: _measures(parts) for stage in ("val", "test")})
        self.measured: dict[str, Any] = {}
        """All that the metrics of the last validation or test have found."""

    def setup(self, stage: str) -> None:
        """Check that the model has as many classes as the data."""
        check_classes(getattr(self.trainer, "datamodule", None), self.model, stage)

    def forward(self, video: Tensor, state: Any = None, **hints: Any) -> Any:
        """Answer clips ``[B, T, C, H, W]`` as they come from the data, unscaled."""
        return self.model(self.scale(video), state, **hints)

    def answer(self, batch: Mapping[str, Tensor]) -> Any:
        """Answer a clip batch, with the hints that it has for the model.

        Of a batch with several views, each view is answered as a clip of its own, B·V in all.
        """
        return self.asked(batch).answer

    def asked(self, batch: Mapping[str, Tensor]) -> Asked:
        """Answer a clip batch as :meth:`answer` does, and say what the model saw of it.

        Args:
            batch: ``video`` ``[B, T, C, H, W]`` or, of several views, ``[B, V, T, C, H, W]``, and
                the hints that the model is told.

        Raises:
            InputError: on a batch without clips, without one of the hints, or with a field that
                has no views where the video has some.
        """
        check_batch(batch)
        flat, views = one_view_each(batch)
        seen = {**flat, "video": self.scale(flat["video"])}
        return Asked(ask(self.model, seen["video"], flat, self.hints), flat, seen, views)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a clip batch; of one without clips it is zero."""
        return self._step(batch, "train")

    def validation_step(
        self, batch: Mapping[str, Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Measure a clip batch."""
        self._step(batch, "val")

    def test_step(
        self, batch: Mapping[str, Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Measure a clip batch."""
        self._step(batch, "test")

    def predict_step(
        self, batch: Mapping[str, Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return answer and probability for each clip, with ``index`` and ``label`` if it has them.

        Each is ``[B]``. Logits of several views are averaged before. Nothing of no clips.
        """
        if not batch:
            return {}
        logits = self.answer(batch).logits  # [B·V, K]
        _, views = one_view_each(batch)
        probability, answer = mean_of_views(logits, views).softmax(-1).max(-1)
        known = {name: batch[name] for name in ("index", "label") if name in batch}
        return {**known, "answer": answer, "probability": probability}

    def _step(self, batch: Mapping[str, Tensor], stage: str) -> Tensor:
        if not batch:
            return self._step_without_clips(stage)
        check_batch(batch, "label")
        label = batch["label"].long()
        asked = self.asked(batch)
        logits = asked.logits  # [B, K]
        check_labels(label, logits)
        loss: Tensor = self.loss(logits, label)
        total, extra = loss, torch.zeros_like(loss)
        if stage == "train":
            if self.auxiliary is not None and self._within(self.auxiliary.share):
                extra = self.auxiliary(asked.answer, asked.seen)
                total = loss + extra
            self._log(loss, extra, len(label), logits.shape[1])
        else:
            for measure in self._measures(stage):
                # Answers and boxes are those of views, logits and labels those of clips.
                measure.update(logits.detach(), asked.answer, {**asked.batch, "label": label})
            self._metric(stage, "loss").update(loss.detach().expand(len(label)))  # a value a clip
        for name, k in (("top1", 1), ("top5", 5)):
            if k == 1 or logits.shape[1] > k:
                self._metric(stage, name).update(hits(logits.detach(), label, k))
        return total

    def _step_without_clips(self, stage: str) -> Tensor:
        """None could be read, or there is none left, but other processes may have some.

        What is logged has to be the same everywhere: it is waited for.
        """
        if stage != "train":  # at whose end processes compare
            return torch.zeros((), device=self.device)
        loss = no_clips(self)
        self._log(loss, torch.zeros_like(loss), 0, 0)
        return loss

    def _log(self, loss: Tensor, extra: Tensor, clips: int, classes: int) -> None:
        """Log means over the clips of all processes in training, be there none in this one."""
        log = partial(self.log, batch_size=clips)
        if self.auxiliary is not None:  # logged always: the last value would stay otherwise
            log("train/auxiliary", mean_of_processes(extra, clips))
        log("train/loss", mean_of_processes(loss, clips))
        if self._five is None:  # processes make steps together, so here they can tell each other
            self._know_five(*sums_of_processes(clips, classes > 5, device=self.device))
        self._log_metrics("train", ("top1", "top5") if self._five else ("top1",))

    def _know_five(self, clips: float, five: float) -> None:
        """Keep whether answers are of more than five classes, once any process knows."""
        self._five = five > 0 if clips else None

    def _log_metrics(self, stage: str, names: Sequence[str]) -> None:
        for name in names:
            metric, bar = self._metric(stage, name), name == "top1"
            if not metric.update_called:  # by clips of this process
                metric.update(torch.zeros(0, device=self.device))
            self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True, prog_bar=bar)

    def _metric(self, stage: str, name: str) -> Any:
        return self.metrics[f"{stage}_{name}"]

    def _measures(self, stage: str) -> list[ClipMetric]:
        parts: Any = self.measures[stage]
        return list(parts)

    def on_validation_epoch_start(self) -> None:
        """Measure from the beginning: the last validation may have been left half-way."""
        self._begin("val")

    def on_validation_epoch_end(self) -> None:
        """Log what was measured."""
        self._end("val")

    def on_test_epoch_start(self) -> None:
        """Measure from the beginning."""
        self._begin("test")

    def on_test_epoch_end(self) -> None:
        """Log what was measured."""
        self._end("test")

    def on_train_epoch_end(self) -> None:
        """Check that there was something to learn from."""
        self._compare("train")

    def on_predict_epoch_start(self) -> None:
        """Check that there is one loader."""
        one_loader(self.trainer, "predict")

    def _begin(self, stage: str) -> None:
        one_loader(self.trainer, stage)
        metrics = [self._metric(stage, name) for name in ("loss", "top1", "top5")]
        for measure in (*metrics, *self._measures(stage)):
            measure.reset()

    def _compare(self, stage: str) -> float:
        """How many clips all processes have seen in an epoch.

        Raises:
            InputError: when there were some, but none that could be read.
        """
        top1, five = self._metric(stage, "top1"), self._metric(stage, "top5").update_called
        left_out = left_out_of(self.trainer, stage)
        mine = float(top1.weight), five, len(left_out)
        clips, five, count = sums_of_processes(*mine, device=self.device)
        if self._five is None:
            self._know_five(clips, five)
        # The first batches of several processes, before a run, need not have any.
        if count and not (self.trainer.sanity_checking and self.trainer.world_size > 1):
            readable(stage, clips, left_out, count)
        return clips

    def _end(self, stage: str) -> None:
        """Log the plain numbers of all processes, and keep the rest for the run's folder.

        What is logged has to be the same everywhere, since it is waited for.
        """
        if self._compare(stage):
            self._log_metrics(stage, ("loss", "top1", "top5") if self._five else ("loss", "top1"))
        self.measured = {}
        for measure in self._measures(stage):
            self.measured |= measure.compute()
            measure.reset()
        for name, value in self.measured.items():
            if isinstance(value, (int, float)):
                self.log(f"{stage}/{name}", value, sync_dist=True)  # the same in all of them

    def _within(self, share: float) -> bool:
        """Tell whether the run is still within this share of its steps."""
        return share == 1 or self.trainer.global_step < share * self._steps

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the parameters that learn, and its schedule."""
        optimizer = build(self, self.optimizer, self.groups)
        self._regime = describe(optimizer, self.schedule, dict(self.named_parameters()))
        check_same(self._resumed, self._regime)
        self._resumed = {}
        steps = self._steps = float(self.trainer.estimated_stepping_batches)
        if self.auxiliary is not None and self.auxiliary.share < 1 and math.isinf(steps):
            expected = "a run with max_epochs or max_steps, of which it has a share"
            raise InputError("auxiliary", expected, "one without an end")
        schedule = self.schedule(optimizer, steps)
        if "monitor" in schedule:
            schedule = {"frequency": self._pace(schedule["monitor"]), **schedule}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _pace(self, monitor: str) -> int:
        """Return after how many epochs there is a new value of what a schedule waits for."""
        stages = {"train": 1, "val": self.trainer.check_val_every_n_epoch or 0}
        if not self.trainer.enable_validation:
            stages["val"] = 0
        logged = [f"{stage}/{name}" for stage, n in stages.items() if n for name in self.logged]
        if stages["val"]:
            logged += [f"val/{name}" for one in self._measures("val") for name in one.names]
        if self.auxiliary is not None:
            logged.append("train/auxiliary")
        if monitor not in logged:
            expected = f"a monitor that every few epochs log, one of {logged}"
            raise InputError("schedule", expected, repr(monitor))
        return stages[monitor.split("/")[0]]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down how the run is trained."""
        if self._regime:
            checkpoint[_REGIME] = self._regime
        # After an epoch it is saved before schedules that wait for a value have seen the epoch's,
        # and the trainer does not show it to them when it goes on.
        trainer: Any = self.trainer
        epoch = trainer.fit_loop.epoch_progress.current
        for config in trainer.lr_scheduler_configs:
            plateau = config.reduce_on_plateau and config.interval == "epoch"
            shown = (trainer.current_epoch + 1) % config.frequency == 0
            value = trainer.callback_metrics.get(config.monitor)
            if plateau and epoch.processed > epoch.completed and shown:
                checkpoint[_UNSEEN] = None if value is None else float(value)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how the run that is resumed was trained, until this one's optimiser is built."""
        if self._trainer is not None and self._trainer.state.fn == "fit":
            regime, unseen = checkpoint.get(_REGIME, {}), checkpoint.get(_UNSEEN)
            if not all(isinstance(word, str) for pair in regime.items() for word in pair):
                raise ValueError(f"{_REGIME}, which is no text by name")
            self._resumed, self._unseen = regime, None if unseen is None else float(unseen)

    def on_train_start(self) -> None:
        """Show a schedule what it has not seen of the run that is resumed."""
        for config in self.trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and self._unseen is not None:
                plateau: Any = config.scheduler
                plateau.step(self._unseen)
        self._unseen = None
        self._resumes = self.trainer.ckpt_path is not None

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Make a step; the first one of a run that is resumed tells whether its state fits."""
        step = partial(super().optimizer_step, epoch, batch_idx, optimizer)
        if self._resumes:
            first_step(self.trainer.ckpt_path, step, optimizer_closure)
            self._resumes = False
        else:
            step(optimizer_closure)

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
