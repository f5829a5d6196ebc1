"""Random weights under the names, and of the shapes, that the official code gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]
CELL = "rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"


def vector(*sizes: int) -> Tensor:
    return torch.randn(sizes, dtype=torch.float64) * 0.2


def kernel(*sizes: int) -> Tensor:
    return torch.randn(sizes, dtype=torch.float64) * math.prod(sizes[:-1]) ** -0.5


def linear(name: str, *sizes: int) -> Weights:
    return {f"{name}/kernel": kernel(*sizes), f"{name}/bias": vector(sizes[-1])}


def norm(name: str, width: int) -> Weights:
    return {f"{name}/beta": vector(width), f"{name}/gamma": 1 + vector(width)}


def batch_norm(name: str, width: int) -> Weights:
    moving = {
        f"{name}/moving_mean": vector(width),
        f"{name}/moving_variance": 0.5 + torch.rand(width, dtype=torch.float64),
    }
    return norm(name, width) | moving


def lstm(name: str, width: int) -> Weights:
    return linear(f"{name}/{CELL}", 2 * width, 4 * width)


def residual(name: str, channels: int) -> Weights:
    return {f"{name}/beta": vector(channels), f"{name}_scale": 1 + vector(channels)}


def random_graph(
    channels: int = 6,
    width: int = 4,
    scales: Sequence[int] = (3, 2, 1),
    *,
    simple: bool = False,
    norms: bool = True,
    batch: bool = False,
    scalewise: bool = True,
    positions: int = 0,
    inner: bool = True,
    send_layers: int = 2,
    update_layers: int = 2,
) -> Weights:
    """One graph, by names inside its scope; linear maps where the widths differ."""
    w: Weights = {}
    if channels != width:
        w |= linear("project_i3d", channels, width)
        w |= linear("project_back_to_i3d", width, channels)
    if norms:
        w |= norm("before_graf_ln", width)
        w |= norm("send_messages_mlp/message_ln", width)
    if batch:
        w |= batch_norm("batch_normalization", width)
    if inner:
        w |= lstm("cudnn_lstm", width)
    columns = 2 * (width + positions**2)
    for number in range(1, send_layers + 1):
        w |= linear(f"send_messages_mlp/send_conv{number}", 1, 1, columns, width)
        columns = width
    scope = "my_attn" if simple else "dot_product_attn"
    for number in (1, 2):
        w |= linear(f"{scope}/att_conv{number}", 1, width, 1 if simple else width)
    w[f"{scope}/att_bias/biases"] = vector(width)
    if simple and norms:
        w |= norm(f"{scope}/att_ln", width)
    update = "update_node_mlp_" if scalewise else "update_node_mlp"
    for kind in [f"_type{k + 1}" for k in range(len(scales))] if scalewise else [""]:
        columns = 2 * width
        for number in range(1, update_layers + 1):
            w |= linear(f"{update}/update_conv{number}{kind}", 1, columns, width)
            columns = width
    if norms:
        w |= norm(f"{update}/update_ln", width)
    return w | lstm("time_update_extern/cudnn_lstm", width)


def random_cnn(
    depths: Sequence[int] = (2, 3, 5, 2),
    channels: int = 2,
    frames: int = 3,
    classes: int = 5,
    in_channels: int = 3,
) -> Weights:
    """C2D (``frames`` is 1) or I3D, narrow, with its classifier."""
    w: Weights = {"backbone/conv1/kernel": kernel(5 if frames > 1 else 1, 7, 7, in_channels, 64)}
    w |= batch_norm("backbone/res_conv1_bn", 64)
    before = 64
    for stage, depth in enumerate(depths, start=2):
        inside = channels * 2 ** (stage - 2)
        for block in range(depth):
            name = f"backbone/res{stage}_{block}"
            span = frames if block % 2 == 0 else 1
            sizes = {
                "2a": (span, 1, 1, before, inside),
                "2b": (1, 3, 3, inside, inside),
                "2c": (1, 1, 1, inside, 4 * inside),
            }
            if block == 0:
                sizes["1"] = (1, 1, 1, before, 4 * inside)
            for branch, shape in sizes.items():
                w[f"{name}_branch{branch}/kernel"] = kernel(*shape)
                w |= batch_norm(f"{name}_branch{branch}_bn", shape[-1])
            before = 4 * inside
    return w | linear("pred", 1, 1, 1, before, classes)


def random_non_local(name: str, channels: int) -> Weights:
    w: Weights = {}
    for part in ("theta", "phi", "g"):
        w |= linear(f"{name}_{part}", 1, 1, 1, channels, channels // 2)
    return (
        w
        | linear(f"{name}_out", 1, 1, 1, channels // 2, channels)
        | batch_norm(f"{name}_bn", channels)
    )


def scoped(scope: str, weights: Weights) -> Weights:
    return {f"{scope}/{name}": value for name, value in weights.items()}
