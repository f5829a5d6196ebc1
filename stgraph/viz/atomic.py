"""Files appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write a file beside its place and rename it, so that nobody ever sees half of it.

    Args:
        path: where to; missing folders are made.
        content: all of the file.

    Returns:
        The path.

    Raises:
        OSError: when it cannot be written; what stood at ``path`` before still stands there.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide the file from other readers
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
