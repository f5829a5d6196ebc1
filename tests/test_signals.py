from __future__ import annotations

import os
import signal
import threading

import pytest

from stgraph.signals import Interrupted, handled, listen


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_block_with_the_status_of_shells(number: int, status: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stop, handled():
        os.kill(os.getpid(), number)
    assert stop.value.code == status
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As in what a script runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handled():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_after_a_block_that_nothing_ends_signals_are_the_callers() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with handled():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_other_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def run() -> None:
        with handled():
            listen(lambda *_: None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
