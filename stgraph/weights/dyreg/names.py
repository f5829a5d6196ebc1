"""Names of a whole official model, sorted: whose part each is, and where shifts and graphs are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from stgraph.checks import InputError

__all__ = ["Parts", "sort_names"]

_WRAPPERS = re.compile(r"^(?:module\.|base_model\.)+")
_GRAPH = re.compile(r"^(.+?)\.(?=dynamic_graph\.|norm_dict\.)")
_SHIFTED = re.compile(r"layer\d+\.\d+(\.conv1)?")


class Parts(NamedTuple):
    """Names of a file by what they belong to, without what the official code wraps around them."""

    cnn: dict[str, str]
    """Names in the file by names in a ResNet."""
    graphs: dict[str, dict[str, str]]
    """Names in the file by names in an official block, by the place that the block follows."""
    shifted: tuple[str, ...]
    """Places before which channels are shifted."""


def sort_names(names: Iterable[str]) -> Parts:
    """Sort the names of an official model.

    Understood are names with and without ``module.`` (of data-parallel training) and
    ``base_model.``; the ``.net`` of a shifted layer; ``new_fc`` for ``fc``; and a graph beside the
    layer that it follows, as ``….conv2.0.block``, ``….conv2.1.dynamic_graph`` or, in older files,
    ``….conv2.block``, ``….conv2.dynamic_graph``.

    Raises:
        InputError: when something is shifted that this library does not shift.

    Examples:
        >>> parts = sort_names(["module.base_model.layer1.0.conv1.net.weight", "new_fc.bias"])
        >>> parts.cnn
        {'layer1.0.conv1.weight': 'module.base_model.layer1.0.conv1.net.weight', 'fc.bias': ...}
        >>> parts.shifted
        ('layer1.0.conv1',)
    """
    plain = {_WRAPPERS.sub("", name): name for name in names}
    wraps = {name.rpartition(".block.")[0] for name in plain if ".block." in name}
    # What a graph is called → the place that it follows; what that layer is called → the same.
    places: dict[str, str] = {}
    layers: dict[str, str] = {}
    for name in plain:
        if (match := _GRAPH.match(name)) and match[1] not in places:
            graph = match[1]
            beside = graph.removesuffix(".1") + ".0"
            new = graph.endswith(".1") and graph not in wraps and beside in wraps
            places[graph] = graph.removesuffix(".1") if new else graph
            layers[(beside if new else graph) + ".block."] = places[graph] + "."
    shifted: dict[str, None] = {}
    parts = Parts({}, {}, ())
    for name, theirs in plain.items():
        if match := _GRAPH.match(name):
            place = _unshifted(places[match[1]], shifted)
            parts.graphs.setdefault(place, {})[name[match.end() :]] = theirs
            continue
        head = next((head for head in layers if name.startswith(head)), None)
        mine = name if head is None else layers[head] + name.removeprefix(head)
        mine = re.sub(r"^new_fc\.", "fc.", _unshifted(mine, shifted))
        if mine not in parts.cnn or name.startswith("new_fc."):
            parts.cnn[mine] = theirs
    if strange := [place for place in shifted if not _SHIFTED.fullmatch(place)]:
        raise InputError(
            "source", "shifts of residual blocks or their conv1", f"those of {strange}"
        )
    return parts._replace(shifted=tuple(shifted))


def _unshifted(name: str, shifted: dict[str, None]) -> str:
    """A name without the ``net`` of every shift around it; what they shift is noted."""
    kept: list[str] = []
    for part in name.split("."):
        if part == "net":
            shifted[".".join(kept)] = None
        else:
            kept.append(part)
    return ".".join(kept)
