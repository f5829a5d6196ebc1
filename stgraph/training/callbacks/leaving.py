"""Fits that end before their end: by a signal, or for want of time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from stgraph.signals import ENDING, Interrupted, interrupt, listen
from stgraph.training.callbacks.keep_last import between_steps, stepped
from stgraph.training.callbacks.session_time import SessionOver, SessionTime

__all__ = ["Leave"]


class Leave(Callback):
    """Ends a fit after a step of the optimiser, when a signal or the session's time asks for it.

    SIGTERM or Ctrl-C are noted while a fit trains. At the end of the step, or of a validation's
    batch, all processes agree on whether one of them has noted a signal;
    :class:`~stgraph.training.callbacks.keep_last.KeepLast` writes its checkpoint; and the fit ends,
    without what ends an epoch, since the epoch is not over. A second signal ends it at once, as
    does the first one before the first step and outside of fits.

    (Lightning's own handler of SIGTERM waits for other processes within the handler, saves nothing
    and lets the process exit with 0. What it does
    for SLURM on SIGUSR1 stays, and waits for the end of a step too, where there is one process.)

    Args:
        time: of the session, if that has an end.
    """

    def __init__(self, time: SessionTime | None = None) -> None:
        self.time = time
        self.noted = 0  # number of the signal that this process had
        self.asked = 0  # number of one that another thread has asked for in its place
        self.agreed = 0  # number of the signal that all processes end for
        self._trains = False
        self._together = False  # in validation
        self._queued: Callable[[], object] | None = None  # to save and be put into SLURM's queue

    @property
    def wanted(self) -> bool:
        """Whether the fit is to end here."""
        return bool(self.agreed) or (self.time is not None and self.time.over)

    def ask(self) -> bool:
        """End the fit after its step, as a signal does; whether there is one, or it ends already.

        It is no signal: one that comes as well, from a queue that sends it to all processes, is the
        first, which ends nothing at once. May be called from any thread.
        """
        if self._trains:
            self.asked = signal.SIGTERM
        return self._trains or bool(self.noted or self.agreed)

    def leave(self, trainer: Trainer) -> None:
        """End the fit if it is to end.

        Raises:
            Interrupted: after a signal.
            SessionOver: when its time is over.
        """
        if self.agreed:
            name = Interrupted(self.agreed)
            rank_zero_info(f"{name} after step {trainer.global_step}")
            # The first process ends those that it has started when one of them fails.
            raise Interrupted(self.agreed, status=0 if _started(trainer) else None)
        if self.wanted:
            raise SessionOver

    def at_the_end(self, trainer: Trainer) -> None:
        """Say that a signal came, when the fit has come to its end meanwhile.

        Raises:
            Interrupted: if one did.
        """
        self.agreed = self.agreed or self.noted or self.asked
        if self.agreed:
            self.leave(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to be saved."""
        self.noted = self.asked = self.agreed = 0  # of an earlier fit
        self._trains = True
        listen(self._receive)
        environment = getattr(trainer.strategy, "cluster_environment", None)
        environment = environment or trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            self._defer(trainer, environment.requeue_signal or signal.SIGUSR1)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the place of Lightning's handlers, which it has registered before."""
        listen(self._receive)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the place of Lightning's handlers."""
        listen(self._receive)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Agree on whether to end."""
        if stepped(trainer):
            self._agree(trainer)
        if self._queued is not None and between_steps(trainer):
            queue, self._queued = self._queued, None
            queue()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """End after the step before, which is saved and logged."""
        self.leave(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End after the epoch before."""
        self.leave(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out whether all processes validate as many batches, and so can agree after each."""
        listen(self._receive)
        mine = trainer.num_val_batches
        number = float(sum(mine if isinstance(mine, list) else [mine]))
        every = trainer.strategy.all_gather(
            torch.tensor(number, device=trainer.strategy.root_device)
        )
        fitting = self._trains and not trainer.sanity_checking and stepped(trainer)
        self._together = fitting and bool((every == number).all()) and number < float("inf")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End before the validation, which is left to the next session."""
        if self._together:
            self.leave(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """End within the validation, which the next session begins anew."""
        if self._together:
            self._agree(trainer)
            self.leave(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing is left to be saved."""
        self._trains = False

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the processes that this one has started, where they do not know of it."""
        self._trains = False
        kill: Any = getattr(trainer.strategy.launcher, "kill", None)
        if isinstance(exception, Interrupted) and not self.agreed and kill is not None:
            kill(9)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.noted or not (self._trains or self.agreed):
            interrupt(number)
        self.noted = number

    def _defer(self, trainer: Trainer, number: int) -> None:
        """Let SLURM's signal wait for the end of a step, within which nothing can be saved."""
        handler = signal.getsignal(number)
        if callable(handler) and trainer.world_size == 1 and number not in ENDING:

            def note(number: int, frame: FrameType | None) -> None:
                self._queued = partial(handler, number, None)

            signal.signal(number, note)

    def _agree(self, trainer: Trainer) -> None:
        mine = self.noted or self.asked
        if trainer.world_size == 1:
            self.agreed = mine
            return
        number = torch.tensor(mine, device=trainer.strategy.root_device)
        self.agreed = int(trainer.strategy.reduce(number, reduce_op="max"))


def _started(trainer: Any) -> bool:
    """Tell whether the first process has started this one."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and environment.local_rank() > 0
