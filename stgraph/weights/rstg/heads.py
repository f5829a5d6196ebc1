"""An attention of several heads, whose variables the official code has once for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stgraph.checks import InputError
from stgraph.weights.rstg.layouts import Weights
from stgraph.weights.rstg.structure import OTHER_PARTS

__all__ = ["Heads", "joined_heads", "split_heads"]

_KINDS = {
    "att_conv1/kernel": re.compile(r"att_conv1[^/]*/(?:.+/)?kernel$"),
    "att_conv1/bias": re.compile(r"att_conv1[^/]*/(?:.+/)?bias$"),
    "att_conv2/kernel": re.compile(r"att_conv2[^/]*/(?:.+/)?kernel$"),
    "att_conv2/bias": re.compile(r"att_conv2[^/]*/(?:.+/)?bias$"),
    "att_bias/biases": re.compile(r"att_bias[^/]*/(?:.+/)?biases$"),
    "att_value/kernel": re.compile(r"kernel$"),
    "att_value/bias": re.compile(r"bias$"),
}


class Heads(NamedTuple):
    """Variables of a graph with those of all heads as one."""

    variables: dict[str, Tensor]
    names: dict[str, tuple[str, ...]]
    """Of which variables each is made."""
    number: int


_SCOPE = "dot_product_attn/"


def split_heads(variables: Weights, number: int) -> dict[str, Tensor]:
    """Variables of an attention by dot products, as the official code has them for each head.

    ``attention_head0/messages_proj``, ``attention_head0/dot_product_attn/att_conv1``, …
    """
    made: dict[str, Tensor] = {}
    for name, value in variables.items():
        if not name.startswith(_SCOPE):
            made[name] = value
            continue
        theirs = name.replace(f"{_SCOPE}att_value", "messages_proj")
        for head, part in enumerate(value.chunk(number, dim=-1)):
            made[f"attention_head{head}/{theirs}"] = part
    return made


def joined_heads(state: Weights) -> Heads:
    """Join what the heads of an attention have: scores, biases, and projections of the messages.

    Heads are told apart by the numbers in their names, whatever these are.

    Raises:
        InputError: when they are not alike.
    """
    names: dict[str, tuple[str, ...]] = {name: (name,) for name in state}
    kinds: dict[str, list[str]] = {}
    for name in state:
        if not OTHER_PARTS.match(name) and "lstm" not in name:
            kind = next((kind for kind, end in _KINDS.items() if end.search(name)), None)
            if kind is not None:
                kinds.setdefault(kind, []).append(name)
    heads = len(kinds.get("att_conv1/kernel", ()))
    if heads < 2:
        return Heads(dict(state), names, 1)
    scope = "my_attn" if "my_attn" in kinds["att_conv1/kernel"][0] else "dot_product_attn"
    made = dict(state)
    for kind, found in kinds.items():
        if len(found) not in ((heads, 1) if kind == "att_bias/biases" else (heads,)):
            raise InputError("source", f"one `{kind}` for each of {heads} heads", found)
        found.sort(key=_numbers)
        joined = _joined(found, state)
        for name in found:
            del made[name], names[name]
        made[f"{scope}/{kind}"], names[f"{scope}/{kind}"] = joined, tuple(found)
    if "att_value/kernel" in kinds and "att_value/bias" not in kinds:
        made[f"{scope}/att_value/bias"] = torch.zeros(made[f"{scope}/att_value/kernel"].shape[-1])
        names[f"{scope}/att_value/bias"] = ()
    return Heads(made, names, heads)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _joined(found: list[str], state: Mapping[str, Tensor]) -> Tensor:
    try:
        return torch.cat([state[name] for name in found], dim=-1)
    except (RuntimeError, IndexError) as error:
        shapes = [list(state[name].shape) for name in found]
        raise InputError(found[0], "heads of one shape", shapes) from error
