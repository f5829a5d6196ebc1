"""What accidents and forgers make of files, and little memory to read them in."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["damaged", "little_memory"]

MORE = 1 << 30  # bytes that reading a small file may take, threads and libraries included


def little_memory() -> Iterator[None]:
    """What asks for too much memory fails, and says so: the body of a fixture."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("the memory of a process is known on Linux alone")
    now = int(pages.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


LARGE = [
    struct.pack(form, number) for form in ["<I", ">I", "<Q", ">Q"] for number in (2**31, 2**32 - 1)
]
LARGE += [b"4294967296", b"9999999999", b"-1", b"1e400", b"NaN"]
LARGE += [b"1" * 5000, b"[" * 3000, b'"\\ud800"']


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file after an accident, or a forgery of its numbers."""
    content, at = bytearray(data), chance.randrange(len(data))
    match chance.randrange(9):
        case 0:
            return data[:at]
        case 1:
            content[at] ^= 1 << chance.randrange(8)
        case 2:
            for _ in range(chance.randrange(2, 20)):
                content[chance.randrange(len(data))] = chance.randrange(256)
        case 3:
            content[at:at] = chance.randbytes(chance.randrange(1, 50))
        case 4:
            del content[at : at + chance.randrange(1, 50)]
        case 5:
            large = chance.choice(LARGE)
            content[at : at + len(large)] = large
        case 6:
            return data + data[:at]
        case 7:
            content[at : at + 64] = bytes(len(content[at : at + 64]))
        case 8:  # a digit by another one
            digits = [place for place, byte in enumerate(data) if 48 <= byte < 58]
            content[chance.choice(digits or [at])] = 48 + chance.randrange(10)
    return bytes(content)
