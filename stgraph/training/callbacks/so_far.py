"""What an epoch has measured and logged so far, kept in checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loops.evaluation_loop import RestartStage
from torch import distributed

from stgraph.training.restoring import told
from stgraph.training.results import dump_metrics, dump_results, load_metrics, load_results
from stgraph.training.rows import RowLogger

__all__ = ["SoFar"]

_KEY = "stgraph_so_far"


class SoFar(Callback):
    """Lets a run that is resumed measure and log what it would have, had it been left alone.

    Lightning's checkpoints hold weights and counters. What they lack to go on within an epoch is
    kept here: the state of metrics, of each process; values that schedules, the best checkpoint or
    early stopping may wait for; the row that is logged only after a checkpoint was written; how
    far the table of rows is; and whether a validation was to follow.

    (It reads and writes what Lightning calls private, since there is no other way; the versions
    that this works with are pinned by tests that stop a run at each of its steps.)
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._steps_known = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write down where the epoch stands."""
        if trainer.state.fn != "fit":
            return
        ended = _ended(trainer)
        mine = {
            "metrics": dump_metrics(trainer, pl_module, ended),
            "results": [] if ended else dump_results(trainer),
        }
        checkpoint[_KEY] = {
            "processes": _of_all(mine),
            "seen": {
                name: value.detach().cpu() for name, value in trainer.callback_metrics.items()
            },
            "row": _row(trainer, ended),
            "tables": [one.place() for one in trainer.loggers if isinstance(one, RowLogger)],
            "validate": _validation_begins(trainer),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep it until the fit begins, when modules and metrics are where they belong."""
        if trainer.state.fn == "fit":
            self._loaded = checkpoint.get(_KEY)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on from there."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        self._steps_known = False
        with told(trainer.ckpt_path):
            _go_on(trainer, pl_module, loaded)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Count steps for the loggers as if the run had not been left."""
        parts: Any = trainer
        if not self._steps_known and pl_module.automatic_optimization:
            parts.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        self._steps_known = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let schedules see the epoch's values, although its beginning was in another process."""
        trainer.fit_loop.restarting = False


def _go_on(trainer: Trainer, pl_module: LightningModule, loaded: dict[str, Any]) -> None:
    """Let an epoch go on from what was written down."""
    parts: Any = trainer
    if trainer.global_rank < len(loaded["processes"]):
        mine = loaded["processes"][trainer.global_rank]
        load_metrics(pl_module, mine["metrics"])
        load_results(trainer, pl_module, mine["results"])
        if mine["results"]:  # otherwise the first batch to log would reset them
            parts._logger_connector._first_loop_iter = False
    device = trainer.strategy.root_device
    seen = {name: value.to(device).reshape(()) for name, value in loaded["seen"].items()}
    parts._logger_connector._callback_metrics.update(seen)
    if loaded["validate"]:
        val_loop = parts.fit_loop.epoch_loop.val_loop
        val_loop._restart_stage = RestartStage.RESTARTED_MID_EVALUATION
    if _is_of_the_same_run(trainer):
        _log(trainer, loaded)


def _of_all(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """Gather what each process has."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, mine)
    return found


def _ended(trainer: Any) -> bool:
    """Tell whether the epoch is over, but for its rows."""
    epoch = trainer.fit_loop.epoch_progress.current
    return bool(epoch.processed > epoch.completed)


def _validation_begins(trainer: Any) -> bool:
    return trainer.validating and not trainer.fit_loop.epoch_loop.val_loop._has_run


def _row(trainer: Any, ended: bool) -> dict[str, Any] | None:
    """Return what is logged next about the steps that were made, as after an epoch or a step."""
    loop = trainer.fit_loop.epoch_loop
    batch = loop.batch_progress.current
    step = loop._batches_that_stepped
    if ended:
        step -= 1
    elif (
        trainer.validating
        or batch.processed <= batch.completed
        or trainer.log_every_n_steps == 0
        or (step + 1) % trainer.log_every_n_steps
    ):
        return None
    logged = convert_tensors_to_scalars(loop._results.metrics(on_step=not ended)["log"])
    if not logged:
        return None
    step = int(logged.pop("step", step))
    return {"step": step, "values": {**logged, "epoch": trainer.current_epoch}}


def _is_of_the_same_run(trainer: Trainer) -> bool:
    folder = Path(trainer.default_root_dir).resolve()
    return trainer.ckpt_path is not None and folder in Path(trainer.ckpt_path).resolve().parents


def _log(trainer: Trainer, loaded: dict[str, Any]) -> None:
    """Log the row that the session before had not, or that is cut off from its table."""
    tables = [one for one in trainer.loggers if isinstance(one, RowLogger)]
    for table, place in zip(tables, loaded["tables"], strict=False):
        table.go_on(place)
    row = loaded["row"]
    if row is not None:
        for logger in trainer.loggers:
            logger.log_metrics(row["values"], step=row["step"])
            logger.save()
