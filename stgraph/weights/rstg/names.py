"""Variables of a checkpoint, sorted: whose part each is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from stgraph.checks import InputError

__all__ = ["Names", "residual_tags", "sort_names", "stage_of"]

_NUMBER = re.compile(r":\d+$")
# Copies of a model on several devices, in front of or within a name.
_TOWER = re.compile(r"(?:^|(?<=/))(?:tower|gpu|clone|replica|device)[_:]?\d*/")
# A folder of averages or of an optimiser, in front of all names.
_COPIES = re.compile(r"(?:^|/)(?:training(?:_\d+)?/|ExponentialMovingAverage|Momentum/|Adam/)")
_INNER = re.compile(
    r"^(?:(?P<scope>.*?)/)?(?P<inner>(?:project_i3d|before_graf_ln|send_messages_mlp|my_attn"
    r"|dot_product_attn|update_node_mlp_?|time_update_extern|project_back_to_i3d)(?:_\d+)?/.+)$"
)
_RESIDUAL = re.compile(r"^(?P<tag>.*?)_?after_graph_ln(?P<inner>/beta|_scale)$")
_CNN = re.compile(
    r"(?:^|/)(?P<name>conv1/kernel"
    r"|(?:res_conv1_bn|res\d_\d+_branch(?:1|2[abc])(?:_bn)?)"
    r"/(?:kernel|gamma|beta|moving_mean|moving_variance))$"
)
_STACK = re.compile(r"(?:^|/)(?P<name>conv(?P<number>\d+)/conv2d)(?:_\d+)?/(?P<leaf>kernel|bias)$")
_HEAD = re.compile(r"(?:^|/)pred(?:iction)?s?/(?P<leaf>kernel|bias)$")
_NON_LOCAL = re.compile(r"^(?P<name>.+)_theta/kernel$")
_POSITIONS = re.compile(r"(?:^|/)[^/]*positional_emb[^/]*$")
_FILTERS = re.compile(r"resize_filters")
_STAGE = re.compile(r"(?:^|[/_])(?:nonlocal_|nl_)?(?:res|conv|layer|stage)_?(\d)(?!\d)")


class Names(NamedTuple):
    """Names in the file, by what they belong to and by their names there."""

    cnn: dict[str, str]
    """``conv1/kernel``, ``res2_0_branch2a/kernel``, … of C2D and I3D."""
    stack: dict[str, str]
    """``conv0/conv2d/kernel``, … of the CNN of SyncMNIST."""
    head: dict[str, str]
    """``pred/kernel`` and ``pred/bias``."""
    graphs: dict[str, dict[str, str]]
    """``send_messages_mlp/send_conv1/kernel``, … by the scope of the graph."""
    residuals: dict[str, dict[str, str]]
    """``after_graph_ln/beta`` and ``after_graph_ln_scale``, by what stands before."""
    non_local: dict[str, dict[str, str]]
    """``_theta/kernel``, … by the name of the block."""
    positions: str | None
    """The constant with positions of nodes."""
    filters: tuple[str, ...]
    """Constants of resizing."""


def sort_names(names: Iterable[str]) -> Names:
    """Sort the variables of a checkpoint of the official code.

    Understood are names with and without ``:0``, with any scope in front, once or for each tower;
    of several towers the first is taken. Slots of optimisers and averages (``NAME/Momentum``) and
    what else is there (``global_step``) belong to nothing.

    Examples:
        >>> found = sort_names(["tower_0/pred/kernel:0", "pred/kernel/Momentum:0", "global_step"])
        >>> found.head
        {'pred/kernel': 'tower_0/pred/kernel:0'}
    """
    plain = _variables(names)
    found = Names({}, {}, {}, {}, {}, {}, None, ())
    of_non_local = {match[1] for match in map(_NON_LOCAL.match, plain) if match}
    for name, theirs in plain.items():
        block = next((one for one in of_non_local if name.startswith(f"{one}_")), None)
        if _FILTERS.search(name):
            found = found._replace(filters=(*found.filters, theirs))
        elif _POSITIONS.search(name):
            found = found._replace(positions=found.positions or theirs)
        elif block is not None:
            found.non_local.setdefault(block, {})[name.removeprefix(block)] = theirs
        elif match := _INNER.match(name):
            found.graphs.setdefault(match["scope"] or "", {})[match["inner"]] = theirs
        elif match := _RESIDUAL.match(name):
            inner = f"after_graph_ln{match['inner']}"
            found.residuals.setdefault(match["tag"], {})[inner] = theirs
        elif match := _STACK.search(name):
            found.stack.setdefault(f"{match['name']}/{match['leaf']}", theirs)
        elif match := _CNN.search(name):
            found.cnn.setdefault(match["name"], theirs)
        elif match := _HEAD.search(name):
            found.head.setdefault(f"pred/{match['leaf']}", theirs)
    # What only its scope tells: the batch norm and the inner LSTM of a graph.
    for name, theirs in plain.items():
        scopes = [scope for scope in found.graphs if name.startswith(f"{scope}/" if scope else "")]
        for scope in sorted(scopes, key=len)[-1:]:
            inner = name.removeprefix(f"{scope}/" if scope else "")
            known = _is_known(found, theirs)
            if not known and (scope or re.match(r"(?:batch_normalization|cudnn_lstm)", inner)):
                found.graphs[scope][inner] = theirs
    return found


def _is_known(found: Names, theirs: str) -> bool:
    parts = [found.cnn, found.stack, found.head, *found.residuals.values()]
    parts += [*found.graphs.values(), *found.non_local.values()]
    constants = {found.positions, *found.filters}
    return theirs in constants or any(theirs in part.values() for part in parts)


def _variables(names: Iterable[str]) -> dict[str, str]:
    """Names in the file by plain names: no numbers of outputs, no towers, no slots."""
    every = {_NUMBER.sub("", name): name for name in names}
    plain: dict[str, str] = {}
    for name in sorted(every, key=lambda name: (name.count("/"), name)):
        above = name.rpartition("/")[0]
        if above not in every and not _COPIES.search(name):
            plain.setdefault(_TOWER.sub("", name), every[name])
    return {name: plain[name] for name in map(_plain, every) if name in plain}


def _plain(name: str) -> str:
    return _TOWER.sub("", name)


def residual_tags(found: Names) -> dict[str, str]:
    """What stands before the residual's norm of each graph that has one, by the graph's scope.

    Raises:
        InputError: when a residual's norm belongs to no graph, or to one of several.
    """
    pairs: dict[str, str] = {}
    left = dict.fromkeys(found.residuals)
    open_ = [scope for scope in found.graphs if not scope or scope not in left]
    for alike in (_same_name, _same_stage):
        for scope in [scope for scope in found.graphs if scope not in pairs]:
            fitting = [tag for tag in left if alike(scope, tag)]
            if len(fitting) == 1:
                pairs[scope] = fitting[0]
                del left[fitting[0]]
    rest = [scope for scope in open_ if scope not in pairs]
    if len(left) == len(rest) == 1:
        pairs[rest[0]] = left.popitem()[0]
    if left:
        told = f"{[f'{tag}_after_graph_ln' for tag in left]} beside graphs {list(found.graphs)}"
        raise InputError("source", "one graph for every residual's norm", told)
    return pairs


def _same_name(scope: str, tag: str) -> bool:
    """``whole_graph_model_res3`` and ``res3``; ``whole_graph_model_final`` and nothing."""
    own = tag.rpartition("/")[2]
    if not own:
        return scope.endswith("final")
    return scope == own or scope.endswith((f"_{own}", f"/{own}")) or tag.startswith(f"{scope}/")


def _same_stage(scope: str, tag: str) -> bool:
    stage = stage_of(scope)
    return stage is not None and stage == stage_of(tag)


def stage_of(name: str) -> int | None:
    """The stage that a name speaks of, 2 to 5 as in ``res2``; the last one, if of several.

    Examples:
        >>> stage_of("whole_graph_model_res3"), stage_of("backbone/nonlocal_conv4_1")
        (3, 4)
    """
    found = _STAGE.findall(name)
    return int(found[-1]) if found and 2 <= int(found[-1]) <= 5 else None
