"""How fits end, in one process that stands for the first of several."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

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


def test_what_another_thread_asks_for_is_no_signal() -> None:
    leave: Any = Leave()
    assert not leave.ask()  # there is no fit
    leave._trains = True
    assert leave.ask()
    leave._receive(signal.SIGINT, None)  # the first one, which ends nothing at once
    leave._agree(SimpleNamespace(world_size=1))
    assert leave.agreed == signal.SIGINT
    with pytest.raises(Interrupted, match="SIGINT") as info:
        leave._receive(signal.SIGINT, None)
    assert info.value.code == 130
