"""How fits end, in one process that stands for the first of several."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from stgraph.signals import Interrupted
from stgraph.training.callbacks.leaving import Leave


@pytest.mark.parametrize(
    ("exception", "agreed", "ends_others"),
    [
        (Interrupted(signal.SIGTERM), 0, True),
        (Interrupted(signal.SIGINT), 0, True),
        (Interrupted(signal.SIGTERM), signal.SIGTERM, False),
        (ValueError("of a step"), 0, False),
        (ValueError("of a step"), signal.SIGTERM, False),
        (KeyboardInterrupt(), 0, False),
    ],
)
def test_who_ends_at_once_ends_the_processes_that_it_has_started(
    exception: BaseException, agreed: int, ends_others: bool
) -> None:
    """Others know of an end that all have agreed on; errors are for Lightning to tell them."""
    killed: list[int] = []
    leave, module = Leave(), SimpleNamespace()
    leave.agreed = agreed
    started = SimpleNamespace(kill=killed.append)
    for launcher in (started, None):  # none has started any process
        trainer: Any = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
        leave.on_exception(trainer, module, exception)  # type: ignore[arg-type]
    assert killed == ([signal.SIGKILL] if ends_others else [])


def test_after_an_error_a_signal_ends_at_once() -> None:
    leave: Any = Leave()
    leave._trains = True
    leave._receive(signal.SIGTERM, None)
    assert leave.noted == signal.SIGTERM
    leave.on_exception(SimpleNamespace(strategy=SimpleNamespace(launcher=None)), None, ValueError())
    leave.noted = 0
    with pytest.raises(Interrupted):
        leave._receive(signal.SIGTERM, None)


def test_after_a_fit_a_signal_ends_at_once() -> None:
    leave: Any = Leave()
    leave._trains = True
    leave.on_train_end(SimpleNamespace(), None)
    assert not leave.ask()  # there is no fit any more
    with pytest.raises(Interrupted):
        leave._receive(signal.SIGTERM, None)


ALONE: Any = SimpleNamespace(world_size=1, global_step=7, strategy=SimpleNamespace())


def test_what_another_thread_asks_for_is_no_signal() -> None:
    leave: Any = Leave()
    assert not leave.ask()  # there is no fit
    leave._trains = True
    assert leave.ask()
    leave._receive(signal.SIGINT, None)  # the first one, which ends nothing at once
    leave._agree(ALONE)
    assert leave.agreed == signal.SIGINT
    with pytest.raises(Interrupted, match="SIGINT") as info:
        leave._receive(signal.SIGINT, None)
    assert info.value.code == 130


def test_what_another_thread_asks_for_ends_a_fit() -> None:
    leave: Any = Leave()
    leave._trains = True
    leave.ask()
    assert not leave.wanted  # not before the end of the step
    leave._agree(ALONE)
    assert leave.wanted
    with pytest.raises(Interrupted, match="SIGTERM") as info:
        leave.leave(ALONE)
    assert info.value.code == 143


def test_what_was_asked_for_in_the_last_step_is_told_at_the_end() -> None:
    for name in ("asked", "noted"):
        leave: Any = Leave()
        leave.at_the_end(ALONE)
        setattr(leave, name, signal.SIGTERM)
        with pytest.raises(Interrupted):
            leave.at_the_end(ALONE)
        assert leave.ask()  # it ends already


def test_a_second_signal_ends_at_once_when_the_fit_is_over_too() -> None:
    leave: Any = Leave()
    leave.agreed = signal.SIGTERM
    leave._receive(signal.SIGTERM, None)  # others of the group may still save
    with pytest.raises(Interrupted):
        leave._receive(signal.SIGTERM, None)


@pytest.mark.parametrize(("rank", "status"), [(0, 143), (1, 0)])
def test_processes_that_the_first_one_started_end_well(
    rank: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take them for failed, and end the others before they have saved."""
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    strategy = SimpleNamespace(cluster_environment=LightningEnvironment())
    leave: Any = Leave()
    leave.agreed = signal.SIGTERM
    with pytest.raises(Interrupted) as info:
        leave.leave(SimpleNamespace(global_step=7, strategy=strategy))
    assert info.value.code == status


def test_a_second_fit_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.training.callbacks.leaving.listen", lambda handler: None)
    leave: Any = Leave()
    leave.noted = leave.asked = leave.agreed = signal.SIGTERM
    leave.on_train_start(Trainer(logger=False, accelerator="cpu", devices=1), None)
    assert not leave.wanted
    assert (leave.noted, leave.asked) == (0, 0)
