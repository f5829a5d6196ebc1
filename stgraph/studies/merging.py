"""Changes of a configuration: a nested mapping, dotted names, or both."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from stgraph.checks import InputError

__all__ = ["changed", "value_at"]

_OF_A_PART = {"class_path", "init_args", "dict_kwargs"}


def changed(configuration: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with changes; neither is touched.

    Mappings are merged, all other values replaced, lists too. A part, ``{class_path, init_args}``,
    that is changed to another class begins without the arguments of the former one. Between a part
    and its arguments ``init_args`` may be left out, as on the command line.

    Args:
        configuration: as YAML has it.
        changes: by names, ``{model: {loss: …}}``, or dotted ones, ``{model.loss: …}``.

    Raises:
        InputError: when a dotted name leads into what is no mapping.

    Examples:
        >>> part = {"class_path": "a.Net", "init_args": {"width": 8, "depth": 2}}
        >>> changed({"model": part}, {"model.width": 16})
        {'model': {'class_path': 'a.Net', 'init_args': {'width': 16, 'depth': 2}}}
        >>> changed({"model": part}, {"model": {"class_path": "b.Net"}})
        {'model': {'class_path': 'b.Net'}}
    """
    made = deepcopy(dict(configuration))
    for name, value in changes.items():
        first, *rest = str(name).split(".")
        for inner in reversed(rest):
            value = {inner: value}
        _put(made, first, value, str(name))
    return made


def value_at(configuration: Mapping[str, Any], name: str) -> Any:
    """Return what stands under a dotted name; none where nothing does.

    Examples:
        >>> value_at({"a": {"class_path": "x", "init_args": {"b": 1}}}, "a.b")
        1
    """
    found: Any = configuration
    for word in name.split("."):
        if isinstance(found, Mapping) and _is_part(found) and word not in _OF_A_PART:
            found = found.get("init_args")
        found = found.get(word) if isinstance(found, Mapping) else None
    return found


def _put(place: dict[str, Any], name: str, value: Any, told: str) -> None:
    """Change one value of a mapping."""
    if not isinstance(value, Mapping):
        place[name] = deepcopy(value)
        return
    before = place.get(name)
    if isinstance(before, str) and "class_path" not in value:
        before = {"class_path": before}  # a part without arguments may be its name alone
    if before is not None and not isinstance(before, Mapping):
        raise InputError(told, f"a value under {name} that has names in it", repr(before))
    if before is None or _is_another(before, value):
        before = {}
    inner = dict(before)
    if _is_part(before) or "class_path" in value:
        value = _as_part(value)
    place[name] = changed(inner, value)


def _is_part(value: Mapping[str, Any]) -> bool:
    return "class_path" in value


def _is_another(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "class_path" in value and value["class_path"] != before.get("class_path")


def _as_part(value: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a part, with those of its arguments where arguments stand."""
    made = {name: one for name, one in value.items() if name.split(".")[0] in _OF_A_PART}
    rest = {name: one for name, one in value.items() if name not in made}
    if rest:
        made["init_args"] = {**(made.get("init_args") or {}), **rest}
    return made
