"""The trainer's options: checked before anything is made of them, and told in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from traceback import walk_tb
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from stgraph.checks import LARGEST, InputError, integer
from stgraph.reading import reason

__all__ = ["check_numbers", "options_of_lightning"]

DEVICES = 64
"""Of one run at most; each has a process."""


def check_numbers(config: Mapping[str, Any]) -> None:
    """Check the trainer's numbers, and how many processes they make.

    Text is whatever Python takes for a number, as it is for Lightning: ``1_000_000``.
    """
    for name, value in config.items():
        if isinstance(value, int) and not isinstance(value, bool):
            integer(f"trainer.{name}", value, -LARGEST)
    devices = config["devices"]
    if isinstance(devices, str):
        with suppress(ValueError):
            devices = int(devices)
    if isinstance(devices, int):
        integer("trainer.devices", devices, -1, DEVICES)
    integer("trainer.num_nodes", config["num_nodes"], maximum=DEVICES)


@contextmanager
def options_of_lightning(only_its_own: bool = False) -> Iterator[None]:
    """Tell what Lightning says of its options, in whichever way it does.

    Args:
        only_its_own: tell errors of its own kind, and those that its own code raises, where parts
            of others run too.

    Raises:
        InputError: in place of them.
    """
    kinds = (ModuleNotFoundError, OverflowError, TypeError, ValueError)
    try:
        yield
    except InputError:
        raise
    except (MisconfigurationException, *kinds) as error:
        if getattr(error, "name", None) is not None:  # a module that is to be installed
            raise
        its_own = isinstance(error, MisconfigurationException) or _raised_by_lightning(error)
        if only_its_own and not its_own:
            raise
        raise InputError("trainer", "options that Lightning takes", reason(error)) from error


def _raised_by_lightning(error: BaseException) -> bool:
    """Tell whether it was Lightning's code that found fault, not code that it called."""
    last = None
    for frame, _ in walk_tb(error.__traceback__):
        last = frame
    return last is not None and last.f_globals.get("__name__", "").startswith("lightning.")
