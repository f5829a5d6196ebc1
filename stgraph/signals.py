"""Signals that end a command, and the exit status that says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ENDING", "Interrupted", "handled", "interrupt", "listen"]

ENDING = (signal.SIGTERM, signal.SIGINT)
"""Signals that end a command: a request of the system, and Ctrl-C."""


class Interrupted(SystemExit):
    """A signal ended the command.

    Its exit status is that of shells, 128 and the signal's number: 143 after SIGTERM and 130 after
    Ctrl-C.

    Args:
        number: of the signal.
        status: another exit status.
    """

    def __init__(self, number: int, status: int | None = None) -> None:
        super().__init__(128 + number if status is None else status)
        self.number = number

    def __str__(self) -> str:
        return f"ended by {signal.Signals(self.number).name}"


def interrupt(number: int, frame: FrameType | None = None) -> None:
    """End the command at once: what SIGTERM and SIGINT do where nothing else is arranged."""
    raise Interrupted(number)


def listen(handler: Callable[[int, FrameType | None], object]) -> None:
    """Let a handler have SIGTERM and SIGINT; one that the caller of the process ignores stays so.

    Only the main thread can; elsewhere this does nothing.
    """
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


@contextmanager
def handled() -> Iterator[None]:
    """Let SIGTERM and SIGINT raise :class:`Interrupted` within the block."""
    before = {number: signal.getsignal(number) for number in ENDING}
    listen(interrupt)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
