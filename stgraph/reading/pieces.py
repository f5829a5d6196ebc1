"""JSON files that are larger than memory, piece by piece."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["PIECE", "JsonPieces"]

PIECE = 1 << 23
"""Characters of one piece, such as all frames of a video; those of Something-Else have 25,000."""
_BLOCK = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")
_GOES_ON = re.compile(r"[-+.eE0-9]*\Z")  # what is read so far ends where a number may go on: 12|.5


class JsonPieces:
    """Reads JSON of any length, of which one piece at a time is in memory.

    The outer lists and objects are gone through; what is within them is taken whole, by
    :meth:`value`. So memory is bounded by the largest piece, which is at most ``most`` characters.

    Args:
        file: an open file, in UTF-8.
        most: characters of a piece.

    Raises:
        ValueError: by all methods, where the file is no such JSON, with the place.

    Examples:
        >>> import io
        >>> pieces = JsonPieces(io.BytesIO(b'{"a": [1, 2], "b": {"c": null}}'))
        >>> {name: pieces.value() for name in pieces.members()}
        {'a': [1, 2], 'b': {'c': None}}
    """

    def __init__(self, file: IO[bytes], most: int = PIECE) -> None:
        self._file = file
        self._most = most
        self._decoded = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._gone = "", 0, 0  # read, place in it, characters before it
        self._over = False
        self._decoder = json.JSONDecoder(parse_constant=_no_number)

    def members(self) -> Iterator[str]:
        """The names in an object; the value of each has to be taken before the next."""
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise ValueError(f"a name expected before character {self._place()}")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def elements(self) -> Iterator[Any]:
        """The values in a list."""
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def value(self) -> Any:
        """The value that stands here, whole."""
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._over:
                    raise ValueError(f"{error.msg}, character {self._gone + error.pos}") from error
            else:
                if self._over or not _GOES_ON.match(self._text, end):
                    if end - self._at > self._most:
                        raise self._too_long()
                    self._at = end
                    return value
            if len(self._text) - self._at > self._most:
                raise self._too_long()
            self._more()

    def _too_long(self) -> ValueError:
        return ValueError(f"no value of at most {self._most} characters at {self._place()}")

    def end(self) -> None:
        """Nothing stands behind what has been read."""
        if self._next():
            raise ValueError(f"more than one value, from character {self._place()}")

    def _place(self) -> int:
        return self._gone + self._at

    def _next(self) -> str:
        """The character that is next, spaces aside; none at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or self._over:
                return self._text[self._at : self._at + 1]
            self._more()

    def _take(self, expected: str) -> str:
        came = self._next()
        if not came or came not in expected:
            one = " or ".join(map(repr, expected))
            raise ValueError(f"{one} expected at character {self._place()}, not {came!r}")
        self._at += 1
        return came

    def _more(self) -> None:
        """Read on, as much again as is left, so that a long piece is not tried too often."""
        rest = self._text[self._at :]
        block = self._file.read(max(_BLOCK, len(rest)))
        self._over = not block
        self._gone += self._at
        self._text, self._at = rest + self._decoded.decode(block, final=self._over), 0


def _no_number(text: str) -> Any:
    raise ValueError(f"{text}, which is no number of JSON")
