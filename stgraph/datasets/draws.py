"""Randomness without state: every draw is a function of (seed, split, clip, counter).

A generator with a state makes clip i depend on the clips drawn before it, hence on the worker, the
batch size and where a run resumed. Here each clip owns a stream of 64-bit words instead. Its start
is a hash of the clip's number under a key hashed from seed and split, and word c of the stream is
``mix(start + (c + 1) * GOLDEN)``: the SplitMix64 sequence, which passes BigCrush, read at any
place. All of it is wrapping integer arithmetic, so every platform draws the same.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ints", "Words", "bounded", "order", "stream_key", "uniform", "words"]

Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def _mix(state: Words) -> Words:
    """Scramble 64-bit words in place (the finaliser of SplitMix64, a bijection)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state ^= state >> np.uint64(shift)
        state *= np.uint64(factor)
    state ^= state >> np.uint64(31)
    return state


def stream_key(seed: int, *names: object) -> int:
    """Return the 64-bit key of a family of streams.

    Args:
        seed: any whole number.
        *names: what else sets the family apart, for example the split.

    Examples:
        >>> stream_key(0, "train") == stream_key(0, "test")
        False
    """
    text = "\0".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def words(key: int, clip: Ints, count: int) -> Words:
    """Return the first ``count`` words of each clip's stream.

    Args:
        key: from :func:`stream_key`.
        clip: clip numbers [B], not negative.
        count: how many words a clip needs.

    Returns:
        Uniform 64-bit words [B, count]; a longer stream begins with the shorter one.
    """
    # Hashing twice keeps streams of neighbouring clips and of related keys apart.
    start = _mix(_mix(clip.astype(np.uint64) * _GOLDEN) ^ np.uint64(key))  # [B]
    counter = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN  # [count]
    return _mix(start[:, None] + counter)  # [B, count]


def uniform(word: Words) -> NDArray[np.float64]:
    """Turn words into numbers in [0, 1), multiples of 2^-53."""
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53


def bounded(word: Words, span: int | Ints) -> Ints:
    """Turn words into whole numbers 0 .. span - 1, by ``(upper half * span) >> 32``.

    No value's probability is off by more than 2^-32, that is by span / 2^32 of itself (2e-9 of
    itself for a motion step, 1e-6 for the choice of one of 6,000 images).

    Args:
        word: uniform words, of any shape.
        span: below 2^32, broadcast against ``word``; a span of 0 gives 0.
    """
    wide = np.asarray(span).astype(np.uint64)
    return ((word >> _HALF) * wide >> _HALF).astype(np.int64)


def order(word: Words) -> Ints:
    """Turn words [..., n] into uniformly random orders of 0 .. n - 1, by sorting them."""
    return np.argsort(word, axis=-1, kind="stable")
