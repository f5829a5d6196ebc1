"""The folder of a run: where it lies, and that one process at a time trains in it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from stgraph.checks import InputError
from stgraph.writing import LEFT_OVER

__all__ = ["locked", "run_folder"]

LOCK = ".lock"


def run_folder(runs: str | Path, name: str) -> Path:
    """Return where a run of this name lies.

    Args:
        runs: the folder of all runs, anywhere.
        name: of a folder in it, or in a folder in it, ``series/first``.

    Raises:
        InputError: when the name is none, leads out of ``runs``, by ``..``, as an absolute path or
            by a link, or is that of a file.
    """
    folder = Path(runs, name)
    inside = name.strip() and name.isprintable() and not Path(name).is_absolute()
    if not inside or ".." in Path(name).parts or not Path(name).parts:
        raise InputError("run", "the name of a folder in --runs", repr(name))
    try:
        outside = Path(runs).resolve() not in folder.resolve().parents
        file = next((part for part in (folder, *folder.parents) if part.exists()), folder)
    except (OSError, RuntimeError) as error:  # too long, or links in a circle
        raise InputError("run", "the name of a folder in --runs", f"{name!r} ({error})") from error
    if outside:
        raise InputError("run", f"the name of a folder in {runs}", f"{folder.resolve()}")
    if file.exists() and not file.is_dir():
        raise InputError("run", "the name of a folder", f"{file}, which is a file")
    return folder


@contextmanager
def locked(
    folder: Path,
    option: str = "run",
    does: str = "trains",
    places: Sequence[str] = ("", "checkpoints/", "csv/*/"),
) -> Iterator[None]:
    """Let nobody else train in a run's folder, or do another work in its own, within the block.

    The lock is the operating system's: it ends with the process, however that ends. Its file says
    who holds it, and is removed at the end; one that a crash leaves holds nothing. So do files that
    the process before was writing when it was killed, which are removed.

    Args:
        folder: of the work; made if it is not there.
        option: what the folder is called on the command line.
        does: what somebody does there, in a word.
        places: where in the folder files are written, and not in folders of others in it.

    Raises:
        InputError: when somebody does so already: which process, on which machine, since when.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        came, name = f"{folder} ({error.strerror})", "runs" if option == "run" else option
        raise InputError(name, "a folder that can be written to", came) from error
    path = folder / LOCK
    try:
        holder = _Holder(path, option, does)
        try:
            for place in places:
                for part in folder.glob(place + LEFT_OVER):
                    part.unlink(missing_ok=True)
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: who opens it finds it gone, and again
            holder.close()
    finally:
        if made:
            with contextlib.suppress(OSError):  # something is in it, as there should be
                folder.rmdir()


class _Holder:
    """An open file that is locked; not for processes that this one forks, such as a loader's."""

    def __init__(self, path: Path, option: str, does: str) -> None:
        self.file: int | None = None
        while self.file is None:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(file, path, option, does)
                if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                    self.file, file = file, -1  # otherwise its holder has just removed it
            finally:
                if file >= 0:
                    os.close(file)
        told = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%c}"}
        with contextlib.suppress(OSError):  # a full disk: it is a lock without a word in it too
            os.truncate(self.file, 0)
            os.write(self.file, json.dumps(told).encode())
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))

    def close(self) -> None:
        """Let it go; a copy of a forked process leaves the lock where it is."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def _let_go(holder: weakref.ref[_Holder]) -> None:
    if (one := holder()) is not None:
        one.close()


def _lock(file: int, path: Path, option: str, does: str) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        expected = f"one that nobody {does}"
        raise InputError(option, expected, _told(path, does)) from None
    except OSError as error:
        rank_zero_warn(f"{path.parent} cannot be locked ({error}): use it in one place only.")


def _told(path: Path, does: str) -> str:
    told: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # it is just being written, or was removed
        told = json.loads(path.read_text())
    who = f"process {told.get('pid', '?')} on {told.get('host', '?')}"
    return f"{path.parent}, which {who} {does} since {told.get('since', '?')}"
