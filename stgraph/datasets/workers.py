"""What processes that load clips have in common: their signals, and whence they draw."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["as_it_is", "leave_signals", "random_numbers"]


def leave_signals(worker: int) -> None:
    """Leave signals to the first process, which ends the workers.

    Terminals and schedulers send them to all processes of a command. A worker that ended would take
    the first one down before it has saved anything.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # on Linux, which tells who sent it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_the_loader, daemon=True).start()


def _end_with_the_loader() -> None:
    """Wait for the SIGTERM of the loader's process; others are not meant for a worker."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def as_it_is(batch: Any) -> Any:
    """Return a batch that is one already."""
    return batch


@contextmanager
def random_numbers(seed: int) -> Iterator[None]:
    """Let torch, NumPy and Python draw from a seed, and afterwards as if nothing had been."""
    generator = torch.default_generator
    states = generator.get_state(), np.random.get_state(), random.getstate()
    generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        generator.set_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
