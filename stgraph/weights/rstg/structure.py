"""What the weights of one official graph say about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from stgraph.checks import InputError, integer, shape
from stgraph.weights.rstg.layouts import Weights, get
from stgraph.weights.rstg.lstm import is_lstm

__all__ = ["OTHER_PARTS", "OUTER_LSTM", "Structure", "inner_lstm", "read_structure"]

OUTER_LSTM = "time_update_extern"
OTHER_PARTS = re.compile(
    r"(?:project_i3d|before_graf_ln|batch_normalization|send_messages_mlp|update_node_mlp_?"
    r"|time_update_extern|project_back_to_i3d)(?:_\d+)?/"
)
"""What a graph has besides its attention and the LSTM of its rounds."""
_ATTENTION = re.compile(r"(?:my_attn|dot_product_attn)(?:_\d+)?/")


class Structure(NamedTuple):
    """What an official graph is made of."""

    channels: int
    """C, of the maps."""
    width: int
    """D, of the nodes in the graph."""
    scales: tuple[int, ...]
    """Grid sides, the largest first."""
    projected: bool
    """Whether there are linear maps in and out."""
    clip_norm: bool
    """A layer norm over the clip ahead of the rounds."""
    batch_norm: bool
    """A batch norm of the nodes there."""
    inner: bool
    """An LSTM in every round; without one it is "1-temp"."""
    space: bool
    """Messages; a graph of no rounds has none."""
    positions: int
    """Side of the map of a node's position, 0 for none."""
    send_layers: int
    send_norm: bool
    attention: str
    """Name of the scope: ``dot_product_attn`` or ``my_attn``."""
    value: bool
    """A projection of the messages for each head."""
    attention_norm: str | None
    """Name of the norm between bias and ReLU, if there is one."""
    scalewise: bool
    update_layers: int
    update_norm: bool


def read_structure(state: Weights, scales: int | Sequence[int] | None, rounds: int) -> Structure:
    """Read off the variables of a graph, by their names inside its scope.

    Args:
        state: variables.
        scales: grid sides, or how many, where neither updates nor positions tell.
        rounds: spatial iterations; where there are none, what they are made of is not looked for.

    Raises:
        InputError: when variables are missing or contradict each other, naming them.
    """
    scalewise = any(name.startswith("update_node_mlp_/") for name in state)
    update = "update_node_mlp_" if scalewise else "update_node_mlp"
    space = rounds > 0
    width = _width(state)
    projected = "project_i3d/kernel" in state
    if projected != ("project_back_to_i3d/kernel" in state):
        raise InputError("source", "linear maps both in and out, or none", "one of them")
    channels = (
        shape("project_i3d/kernel", state["project_i3d/kernel"], "C D")[0] if projected else width
    )
    attention = "my_attn" if any(name.startswith("my_attn/") for name in state) else ""
    attention = attention or "dot_product_attn"
    positions = _positions(state, width) if space else 0
    return Structure(
        channels=channels,
        width=width,
        scales=_scales(state, scales, update if scalewise else None),
        projected=projected,
        clip_norm="before_graf_ln/gamma" in state,
        batch_norm="batch_normalization/gamma" in state,
        inner=space and inner_lstm(state) is not None,
        space=space,
        positions=positions,
        send_layers=_layers(state, "send_messages_mlp/send_conv", ""),
        send_norm="send_messages_mlp/message_ln/gamma" in state,
        attention=attention,
        value=f"{attention}/att_value/kernel" in state,
        attention_norm=_norm_in(state, attention),
        scalewise=scalewise,
        update_layers=_layers(state, f"{update}/update_conv", "_type1" if scalewise else ""),
        update_norm=f"{update}/update_ln/gamma" in state,
    )


def inner_lstm(names: Mapping[str, Tensor]) -> str | None:
    """The name under which the LSTM of the rounds is, if there is one.

    Raises:
        InputError: when there are several.
    """
    found = {
        name.partition("/")[0]
        for name in names
        if is_lstm(name) and not OTHER_PARTS.match(name) and not _ATTENTION.match(name)
    }
    if len(found) > 1:
        raise InputError("source", "one LSTM for all rounds", sorted(found))
    return found.pop() if found else None


def _width(state: Weights) -> int:
    """D, from whatever knows it."""
    knows = {
        "project_i3d/bias": -1,
        "batch_normalization/gamma": -1,
        "before_graf_ln/gamma": -1,
        "send_messages_mlp/send_conv1/bias": -1,
        "dot_product_attn/att_bias/biases": -1,
        "my_attn/att_bias/biases": -1,
        "project_back_to_i3d/kernel": -2,
    }
    for name, axis in knows.items():
        if name in state and state[name].dim() >= -axis:
            return integer(name, state[name].shape[axis])
    for name, value in state.items():  # of no rounds: the last LSTM, whose gates are four
        if name.startswith(OUTER_LSTM) and name.endswith("bias") and value.numel() % 4 == 0:
            return value.numel() // 4
    raise InputError("source", "weights of a graph", f"{list(state)[:4]}, …")


def _layers(state: Weights, before: str, after: str) -> int:
    """How many layers are numbered from 1 on."""
    count = 0
    while f"{before}{count + 1}{after}/kernel" in state:
        count += 1
    return count


def _positions(state: Weights, width: int) -> int:
    """Side of a node's map of positions, of which both ends of a message know theirs."""
    name = "send_messages_mlp/send_conv1/kernel"
    kernel = get(state, name)
    more, odd = divmod(kernel.shape[-2] - 2 * width, 2) if kernel.dim() > 1 else (-1, 0)
    side = math.isqrt(max(more, 0))
    if odd or side * side != more:
        expected = f"two ends of {width} channels, with square maps or none"
        raise InputError(name, expected, list(kernel.shape))
    return side


def _scales(
    state: Weights, told: int | Sequence[int] | None, scalewise: str | None
) -> tuple[int, ...]:
    """Grid sides, the largest first; three in all configurations of the official code."""
    if told is not None:
        sides = range(integer("scales", told), 0, -1) if isinstance(told, int) else told
        scales = tuple(integer("scales", side) for side in sides)
    else:
        scales = (3, 2, 1)
    if scalewise is not None:
        count = 0
        while f"{scalewise}/update_conv1_type{count + 1}/kernel" in state:
            count += 1
        if told is not None and len(scales) != count:
            raise InputError("scales", f"{count}, since as many have an update", list(scales))
        scales = scales if told is not None else tuple(range(count, 0, -1))
    if "positional_emb" in state:
        nodes = state["positional_emb"].shape[0]
        if told is None and scalewise is None:
            count = 1
            while sum(side * side for side in range(1, count + 1)) < nodes:
                count += 1
            scales = tuple(range(count, 0, -1))
        if sum(side * side for side in scales) != nodes:
            raise InputError("scales", f"{nodes} cells, as positions have", list(scales))
    return scales


def _norm_in(state: Weights, attention: str) -> str | None:
    """Name of the norm in an attention: whatever has a gamma there."""
    found = [name.removesuffix("/gamma") for name in state if name.endswith("/gamma")]
    found = [name for name in found if name.startswith(f"{attention}/")]
    if len(found) > 1:
        raise InputError("source", f"one norm in `{attention}`", found)
    return found[0].partition("/")[2] if found else None
