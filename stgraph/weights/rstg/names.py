"""Variables of a checkpoint, sorted: whose part each is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from stgraph.checks import InputError

__all__ = ["Names", "residual_tags", "sort_names", "stage_of"]

_NUMBER = re.compile(r":\d+$")
# Copies of a model on several devices, in front of or within a name.
_TOWER = re.compile(r"(?i)(?:^|(?<=/))(?:tower|gpu|clone|replica|device)[_:]?\d*/")
# What is behind the name of a variable: slots of optimisers, averages.
_SLOT = re.compile(
    r"(?:^|/)(?:kernel|recurrent_kernel|opaque_kernel|bias|biases|gamma|beta|moving_mean"
    r"|moving_variance|[^/]*_scale)/"
)
_OPTIMISER = re.compile(r"(?:^|/)training(?:_\d+)?/[A-Z]")
_INNER = re.compile(
    r"^(?:(?P<scope>.*?)/)?(?P<inner>(?:project_i3d|before_graf_ln|send_messages_mlp|my_attn"
    r"|dot_product_attn|update_node_mlp_?|time_update_extern|project_back_to_i3d)(?:_\d+)?/.+)$"
)
_RESIDUAL = re.compile(r"^(?P<tag>.*?)_?after_graph_ln(?:(?P<a>_\d+)?/beta|_scale(?P<b>_\d+)?)$")
_OTHER_NORM = re.compile(r"after_graph_bn(?:_\d+)?/")
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
_STAGE = re.compile(r"(?:^|[/_])(?:res|conv|stage)_?([2-5])(?!\d)")


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

    Raises:
        InputError: on a batch norm behind a graph; all configurations have a layer norm.
    """
    plain = _variables(names)
    other = [name for name in plain if _OTHER_NORM.search(name)]
    if other:
        raise InputError("source", "layer norms behind graphs, `after_graph_ln`", other)
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
            inner = "after_graph_ln/beta" if name.endswith("/beta") else "after_graph_ln_scale"
            tag = match["tag"] + (match["a"] or match["b"] or "")
            found.residuals.setdefault(tag, {})[inner] = theirs
        elif match := _STACK.search(name):
            found.stack.setdefault(f"{match['name']}/{match['leaf']}", theirs)
        elif match := _CNN.search(name):
            found.cnn.setdefault(match["name"], theirs)
        elif match := _HEAD.search(name):
            found.head.setdefault(f"pred/{match['leaf']}", theirs)
    _join_nested(found.graphs)
    # What only its scope tells: the batch norm and the inner LSTM of a graph.
    for name, theirs in plain.items():
        scopes = [scope for scope in found.graphs if name.startswith(f"{scope}/" if scope else "")]
        for scope in sorted(scopes, key=len)[-1:]:
            inner = name.removeprefix(f"{scope}/" if scope else "")
            known = _is_known(found, theirs)
            if not known and (scope or re.match(r"(?:batch_normalization|cudnn_lstm)", inner)):
                found.graphs[scope][inner] = theirs
    return found


def _join_nested(graphs: dict[str, dict[str, str]]) -> None:
    """Give what has a scope inside that of a graph to this graph."""
    for scope in list(graphs):
        outer = next((one for one in graphs if one and scope.startswith(f"{one}/")), None)
        if outer is not None:
            inner = scope.removeprefix(f"{outer}/")
            names = graphs.pop(scope)
            graphs[outer] |= {f"{inner}/{name}": theirs for name, theirs in names.items()}


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
        if not _SLOT.search(name) and not _OPTIMISER.search(name):
            plain.setdefault(_TOWER.sub("", name), every[name])
    in_order = (_TOWER.sub("", name) for name in every)
    return {name: plain[name] for name in in_order if name in plain}


def residual_tags(found: Names) -> dict[str, str]:
    """What stands before the residual's norm of each graph that has one, by the graph's scope.

    Raises:
        InputError: when a residual's norm belongs to no graph, or to one of several.
    """
    pairs: dict[str, str] = {}
    left = dict.fromkeys(found.residuals)
    for scope in found.graphs:
        beside = [tag for tag in left if _beside(scope, tag)]
        if len(beside) == 1 and sum(_beside(other, beside[0]) for other in found.graphs) == 1:
            pairs[scope] = beside[0]
    for tag in pairs.values():
        del left[tag]
    for alike in (_same_name, _same_stage):
        for scope in [scope for scope in found.graphs if scope not in pairs]:
            fitting = [tag for tag in left if alike(scope, tag)]
            if len(fitting) == 1:
                pairs[scope] = fitting[0]
                del left[fitting[0]]
    rest = [scope for scope in found.graphs if scope not in pairs]
    if len(left) == len(rest):  # in order, then: shapes tell if that is wrong
        pairs |= dict(zip(rest, left, strict=True))
        left.clear()
    if left:
        told = f"{[f'{tag}_after_graph_ln' for tag in left]} beside graphs {list(found.graphs)}"
        raise InputError("source", "one graph for every residual's norm", told)
    return pairs


def _beside(scope: str, tag: str) -> bool:
    """Names in one scope, of which that of the norm says no other graph.

    In C2D it says none: ``backbone/after_graph_ln`` is of the graph in ``backbone``, and
    ``after_graph_ln`` of the one at the end.
    """
    place, _, own = tag.rpartition("/")
    return scope.rpartition("/")[0] == place and (not own or scope.endswith(f"_{own}"))


def _same_name(scope: str, tag: str) -> bool:
    """``whole_graph_model_res3`` and ``res3``; ``whole_graph_model_final`` and nothing."""
    if scope and tag.startswith(f"{scope}/"):
        return True
    own = tag.rpartition("/")[2]
    return scope == own or scope.endswith((f"_{own}", f"/{own}") if own else "final")


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
    return int(found[-1]) if found else None
