"""Files appear whole or not at all.

What is written goes into a file beside its place, and onto the disk, before it gets its name. So a
process that is killed, and a machine that loses its power, leave the old file or the new one; and
since both lie in one folder, it does not matter where temporary files are kept.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["LEFT_OVER", "settle", "whole", "write_whole"]

LEFT_OVER = "*.part"
"""Names of what a process that was killed may leave beside a file; it may be deleted."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a file to write to, which gets its name when the block ends.

    Args:
        path: where to; missing folders are made.

    Yields:
        A new, empty file in the same folder. When the block fails it is deleted.

    Raises:
        OSError: when it cannot be written; what stood at ``path`` before still stands there.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole(f"{folder}/a.txt") as part:
        ...         _ = part.write_text("all of it")
        ...     print(*[file.name for file in Path(folder).iterdir()])
        a.txt
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    part.touch(exist_ok=False)
    try:
        yield part
        settle(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write all of a file: see :func:`whole`.

    Returns:
        The path.

    Raises:
        OSError: when it cannot be written; what stood at ``path`` before still stands there.
    """
    with whole(path) as part:
        part.write_bytes(content)
    return Path(path)


def settle(part: Path, target: Path) -> Path:
    """Give a finished file its name, once all of it is on the disk.

    Args:
        part: the file; in the folder of ``target``, since a name cannot move between disks at once.
        target: its name; a file that has it is replaced.

    Returns:
        ``target``.
    """
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return target
