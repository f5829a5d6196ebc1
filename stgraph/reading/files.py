"""Opening files: plain ones only, with every way in which reading fails as one error."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from stgraph.checks import InputError

__all__ = [
    "FLOOR",
    "RATIO",
    "digest",
    "fill",
    "members",
    "opened",
    "reason",
    "size_of",
    "unpacked_at_most",
]

FLOOR = 1 << 26
"""Bytes that any file may unpack to."""
RATIO = 64
"""How many times its own size a file may unpack to, beyond :data:`FLOOR`. Images of digits shrink
to a fifth, paths to a tenth; a bomb to a thousandth."""
_BLOCK = 1 << 20


def unpacked_at_most(size: int) -> int:
    """Bytes that a packed file of ``size`` bytes may unpack to."""
    return max(FLOOR, RATIO * size)


@contextmanager
def opened(path: str | Path, expected: str, name: str | None = None) -> Iterator[BinaryIO]:
    """Open a plain file, and tell whatever goes wrong until it is closed again.

    Args:
        path: the file; a link to one will do, a folder, pipe or device will not.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.

    Yields:
        The file, to be read in bytes.

    Raises:
        InputError: when there is no such file, or an exception of any kind is raised within.

    Examples:
        >>> with opened("nowhere.idx", "an IDX file", name="root") as file:
        ...     file.read()
        Traceback (most recent call last):
        stgraph.checks.InputError: root: expected an IDX file, got nowhere.idx, which does not exist
    """

    def refused(why: str) -> InputError:
        if name is None:
            return InputError(str(path), expected, f"a file that {why}")
        return InputError(name, expected, f"{path}, which {why}")

    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # asked first: opening a pipe would wait
            raise refused("is no plain file")
        with Path(path).open("rb") as file:
            yield file
    except InputError:
        raise
    except FileNotFoundError as error:
        raise refused("does not exist") from error
    except Exception as error:  # parsers of damaged bytes fail in any way: struct, zlib, Memory, …
        raise refused(f"does not load ({reason(error)})") from error


def reason(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def size_of(file: IO[bytes]) -> int:
    """Bytes of an open file, which is left at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    return size


def digest(path: str | Path, expected: str = "a file", name: str | None = None) -> str:
    """The SHA-256 of a file of any size, in hexadecimal digits.

    Raises:
        InputError: when there is no such file.
    """
    found = hashlib.sha256()
    with opened(path, expected, name) as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def fill(file: IO[bytes], memory: memoryview) -> None:
    """Read just as many bytes as the memory has, in pieces, to the end of the file.

    Raises:
        ValueError: when the file has fewer, or more.
    """
    at = 0
    while at < len(memory):
        block = file.read(min(_BLOCK, len(memory) - at))
        if not block:
            raise ValueError(f"ends after {at} of {len(memory)} bytes")
        memory[at : at + len(block)] = block
        at += len(block)
    if file.read(1):  # which also lets an archive compare its checksum
        raise ValueError(f"has more than {len(memory)} bytes")


def members(archive: ZipFile, size: int, packed: bool) -> dict[str, ZipInfo]:
    """What is in an archive, by name, once it is known to unpack to a bounded size.

    Args:
        archive: the archive, none of which has been unpacked.
        size: bytes of its file.
        packed: whether its members may be compressed.

    Raises:
        ValueError: when a name stands twice, a member is packed in another way, or all of them
            together are larger than such a file can be.
    """
    found = {info.filename: info for info in archive.infolist()}
    if len(found) < len(archive.infolist()):
        raise ValueError("two members of one name")
    for info in found.values():
        plain = info.compress_type == ZIP_STORED and info.file_size == info.compress_size
        if not plain and not (packed and info.compress_type == ZIP_DEFLATED):
            raise ValueError(f"{info.filename!r} is packed in another way")
    total, most = sum(info.file_size for info in found.values()), size
    if packed:
        most = unpacked_at_most(size)
    if total > most:
        raise ValueError(f"unpacks to {total} bytes, more than {most} in a file of {size}")
    return found
