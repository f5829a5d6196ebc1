"""Which part of a study's runs a machine does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from stgraph.checks import InputError

__all__ = ["Share"]

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Every ``parts``-th run, from the ``number``-th on: together all runs, each once.

    Neighbours in the list, which are seeds of one row, so come to different machines.

    Args:
        number: which share, from 1.
        parts: how many there are.
    """

    number: int = 1
    parts: int = 1

    @classmethod
    def of(cls, text: str) -> Share:
        """Read ``2/8``.

        Raises:
            InputError: when it is none: the first is ``1/8``, the last ``8/8``.

        Examples:
            >>> Share.of("2/8")
            Share(number=2, parts=8)
        """
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
        number, parts = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= parts:
            raise InputError("share", "a share as 2/8, from 1/8 to 8/8", repr(text))
        return cls(number, parts)

    def select(self, runs: Sequence[T]) -> list[T]:
        """Return what of a list is this share's.

        Examples:
            >>> Share(2, 3).select("abcdefgh")
            ['b', 'e', 'h']
        """
        return list(runs[self.number - 1 :: self.parts])

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"
