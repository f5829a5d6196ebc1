"""Files appear whole or not at all.

What is written goes into a file beside its place, and onto the disk, before it gets its name. So a
process that is killed, and a machine that loses its power, leave the old file or the new one; and
since both lie in one folder, it does not matter where temporary files are kept. A disk that is full
is one error, whatever library met it, and names the file.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["LEFT_OVER", "append_whole", "settle", "whole", "write_whole"]

LEFT_OVER = "*.part"
"""Names of what a process that was killed may leave beside a file; it may be deleted."""
_DISK = {
    getattr(errno, name)
    for name in ("EDQUOT", "EFBIG", "EIO", "ENOSPC", "EROFS")
    if hasattr(errno, name)
}


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
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        yield part
        settle(part, target)
    except Exception as error:
        if (number := _of_the_disk(error)) is None:
            raise
        raise OSError(number, os.strerror(number), str(target)) from error
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


def append_whole(path: str | Path, content: bytes) -> None:
    """Append to a file in one call of the system, or not at all.

    Raises:
        OSError: when not all of it can be written; the file is as it was.
    """
    with Path(path).open("ab", buffering=0) as file:
        before, rest = file.seek(0, os.SEEK_END), content
        try:
            while rest:  # once, but where a disk has room for a part: then the rest tells why
                rest = rest[file.write(rest) :]
        except OSError as error:
            file.truncate(before)
            raise OSError(error.errno, error.strerror, str(path)) from error


def _of_the_disk(error: BaseException | None) -> int | None:
    """The number of a disk's error behind another one: libraries raise kinds of their own."""
    while error is not None:
        found: Any = getattr(error, "errno", None)
        if found in _DISK:
            return int(found)
        error = error.__cause__ or error.__context__
    return None


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
