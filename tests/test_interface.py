"""What users call has the names, the arguments and the defaults that it had.

A default, or a constant, is a number that no law gives; a change of one shows here, be it for users
or not: limits, lengths of blocks, patience. So does what a subclass has to say by itself, and what
is asked for without a call. Where it was meant, ``python tests/test_interface.py`` writes the file
of them anew.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from numbers import Number
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import stgraph

FILE = Path(__file__).with_name("interface.json")
PLAIN = (Number, str, tuple, type(None))


def modules() -> Iterator[ModuleType]:
    """All modules that say what is public in them."""
    yield stgraph
    for found in pkgutil.walk_packages(stgraph.__path__, "stgraph."):
        if not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            if hasattr(module, "__all__"):
                yield module


def arguments(function: Any) -> str:
    """Names of arguments, with their kinds and defaults."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is built in
        return "()"
    return f"({', '.join(map(_argument, parameters))})"


def _argument(one: inspect.Parameter) -> str:
    mark = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**", one.KEYWORD_ONLY: "by name "}
    default = "" if one.default is one.empty else f"={_value(one.default)}"
    return f"{mark.get(one.kind, '')}{one.name}{default}"


def _value(value: Any) -> str:
    """A value in words that are the same in every process."""
    if isinstance(value, np.generic):
        value = value.item()  # which every NumPy prints alike
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))})"
    if isinstance(value, dict) and _has_numbers(value):
        return f"{{{', '.join(f'{_value(key)}: {_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, PLAIN):
        return repr(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _has_numbers(value: Any) -> bool:
    """Whether a constant is a number, or is made of some; its words may change."""
    if isinstance(value, dict):
        return any(map(_has_numbers, value.values()))
    if isinstance(value, tuple):
        return any(map(_has_numbers, value))
    return isinstance(value, Number) and not isinstance(value, bool)


def told(value: Any) -> Any:
    """What is to stay as it is of something public."""
    if not inspect.isclass(value):
        return arguments(value) if callable(value) else _value(value)
    facts: dict[str, Any] = {"": arguments(value)}
    if dataclasses.is_dataclass(value):
        facts["frozen"] = value.__dataclass_params__.frozen  # type: ignore[attr-defined]
        facts["compared"] = value.__dataclass_params__.eq  # type: ignore[attr-defined]
    if inspect.isabstract(value):
        facts["abstract"] = sorted(value.__abstractmethods__)
    for name, own in vars(value).items():
        if name.startswith("_"):
            continue
        function = getattr(own, "__func__", own)
        if inspect.isfunction(function):
            written = inspect.unwrap(function).__code__.co_filename
            if not written.startswith(stgraph.__path__[0]):
                continue  # PyG puts some there when a layer is made
            kind = "" if own is function else f"{type(own).__name__} "
            facts[name] = kind + arguments(function)
        elif isinstance(own, property | cached_property):
            facts[name] = type(own).__name__
        elif isinstance(own, PLAIN):
            facts[name] = _value(own)
    return facts if len(facts) > 1 else facts[""]


def interface() -> dict[str, dict[str, Any]]:
    """All that is public, where it is defined."""
    found: dict[str, dict[str, Any]] = {}
    for module in modules():
        for name in module.__all__:
            if name.startswith("_"):
                continue
            value = getattr(module, name)
            home = getattr(value, "__module__", module.__name__)
            if home == module.__name__ or not str(home).startswith("stgraph"):
                found.setdefault(module.__name__, {})[name] = told(value)
        for name in _constants(module):
            if name not in module.__all__ and _has_numbers(vars(module)[name]):
                found.setdefault(module.__name__, {})[name] = _value(vars(module)[name])
    return found


def _constants(module: ModuleType) -> Iterator[str]:
    """Names of the constants that a module has of its own, not from another one."""
    for line in ast.parse(inspect.getsource(module)).body:
        if isinstance(line, ast.Assign | ast.AnnAssign):
            for part in ast.walk(line):
                stored = isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
                if stored and part.id.isupper():
                    yield part.id


EXPECTED = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return interface()


def test_the_same_modules_are_public(found: dict[str, dict[str, Any]]) -> None:
    assert sorted(found) == sorted(EXPECTED)


@pytest.mark.parametrize("module", EXPECTED)
def test_a_module_is_called_as_before(module: str, found: dict[str, dict[str, Any]]) -> None:
    assert found[module] == EXPECTED[module]


if __name__ == "__main__":
    FILE.write_text(json.dumps(interface(), indent=1, sort_keys=True) + "\n", "utf-8")
