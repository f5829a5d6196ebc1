"""Configurations, JSON and YAML: of bounded length, depth and repetition."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stgraph.checks import InputError
from stgraph.reading.files import opened

__all__ = ["check_yaml", "parse_json", "read_json", "read_text", "read_yaml"]

LENGTH = 1 << 20
"""Bytes of a configuration; a run's has 5,000."""
DEPTH = 64
"""Lists and mappings within each other; a model of models has 20."""
NODES = 100_000
"""Values of a configuration, those that aliases repeat counted each time."""
_SCALAR = 1 << 14  # characters of one value
_NUMBER = re.compile(r"[-+]?([0-9_:]{33,}|0x[0-9a-fA-F_]{33,}|0b[01_]{99,})")  # beyond use


def read_text(path: str | Path, expected: str, name: str | None = None, most: int = LENGTH) -> str:
    """Read a text file of bounded length, in UTF-8.

    Args:
        path: the file.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.
        most: bytes that it may have: 1 MiB, as configurations; lists of data sets have more.

    Raises:
        InputError: when there is no such file, or it is larger or no text.
    """
    with opened(path, expected, name) as file:
        data = file.read(most + 1)
        if len(data) > most:
            raise ValueError(f"more than {most} bytes")
        return data.decode("utf-8")


def read_json(path: str | Path, expected: str, name: str | None = None, most: int = LENGTH) -> Any:
    """Read a JSON file of bounded length, without NaN and infinities.

    Args:
        path: the file.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.
        most: bytes that it may have, see :func:`read_text`.

    Raises:
        InputError: when there is no such file, it is larger or nested deeper than configurations
            are, or is no JSON.
    """
    text = read_text(path, expected, name, most)
    with opened(path, expected, name):  # which tells what is wrong with it
        return parse_json(text)


def parse_json(text: str) -> Any:
    """What JSON says, without NaN and infinities.

    Raises:
        ValueError: when it is none, or is nested deeper than configurations are.
    """
    value = json.loads(text, parse_constant=_no_number, parse_int=_number)
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH}")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text}, which is no number of JSON")


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text):
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def read_yaml(path: str | Path, expected: str, name: str | None = None) -> Any:
    """Read a YAML file of plain values, of at most 1 MiB.

    Args:
        path: the file.
        expected: what it should be, in words.
        name: how the argument is called where it was passed; the path itself when absent.

    Raises:
        InputError: when there is no such file, it is larger, nested deeper or repeats more than
            configurations do, or is no YAML of plain values.
    """
    import yaml

    text = read_text(path, expected, name)
    with opened(path, expected, name):  # which tells what is wrong with it
        check_yaml(text)
        return yaml.load(text, Loader=_loader())


def check_yaml(text: str, name: str = "config") -> None:
    """Check that YAML is of bounded length, depth and repetition, before it is loaded.

    Text that is no YAML at all passes: its loader says what is wrong with it, and where.

    Args:
        text: the YAML.
        name: how it is called where it was passed.

    Raises:
        InputError: when it is not, or an alias stands within what it repeats.

    Examples:
        >>> check_yaml("a: &one [1, 2]\\nb: [*one, *one]")
        >>> check_yaml("[" * 1000)
        Traceback (most recent call last):
        stgraph.checks.InputError: config: expected YAML nested at most 64 deep, got deeper
    """
    import yaml

    if len(text) > LENGTH:
        raise InputError(name, f"YAML of at most {LENGTH} characters", len(text))
    named: dict[str, int] = {}  # values of what has a name; none yet within it
    around: list[tuple[str | None, int]] = [(None, 0)]  # names and values so far, inner ones last
    try:
        for event in yaml.parse(text, Loader=_loader()):
            anchor, values = getattr(event, "anchor", None), 0
            if isinstance(event, yaml.CollectionStartEvent):
                around.append((anchor, 1))
                if len(around) > DEPTH:
                    raise InputError(name, f"YAML nested at most {DEPTH} deep", "deeper")
                continue
            if isinstance(event, yaml.AliasEvent):
                if any(anchor == outer for outer, _ in around):
                    raise InputError(name, "aliases of what stands before them", f"*{anchor}")
                values = named.get(str(anchor), 0)  # of an unknown one the loader tells
                anchor = None
            elif isinstance(event, yaml.ScalarEvent):
                values = 1
                number = event.implicit[0] and _NUMBER.fullmatch(event.value)
                if number or len(event.value) > _SCALAR:
                    expected = f"numbers of at most 32 digits, text of {_SCALAR} characters"
                    raise InputError(name, expected, f"{len(event.value)} characters")
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, values = around.pop()
            if anchor is not None:
                named[anchor] = values
            outer, before = around[-1]
            around[-1] = (outer, before + values)
            if before + values > NODES:
                raise InputError(name, f"YAML of at most {NODES} values", "more, by its aliases")
    except yaml.YAMLError:
        return


def _loader() -> Any:
    """The loader of plain values, in C where it is there."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
