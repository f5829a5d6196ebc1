"""What accidents and forgers make of files."""

from __future__ import annotations

import random
import struct

__all__ = ["damaged"]

LARGE = [
    struct.pack(form, number) for form in ["<I", ">I", "<Q", ">Q"] for number in (2**31, 2**32 - 1)
]
LARGE += [b"4294967296", b"9999999999", b"-1"]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file after an accident, or a forgery of its numbers."""
    content, at = bytearray(data), chance.randrange(len(data))
    match chance.randrange(8):
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
    return bytes(content)
