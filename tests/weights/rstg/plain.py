"""RSTG once more, written from the specification alone: plain tensors by their official names.

Nothing of the library is used. Tensors are in the official order, channels last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = Mapping[str, Tensor]
EPS = 1e-12
CELL = "rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"


class Graph(NamedTuple):
    """What weights do not say about a graph."""

    adjacency: Tensor
    rounds: int = 3
    scales: tuple[int, ...] = (3, 2, 1)
    one_temp: bool = False
    training: bool = False


class Nodes(NamedTuple):
    patch_feats: Tensor
    """``[B, T, N, C]``"""
    nodes: Tensor
    """``[B, T, N, C]``, at the end"""
    vec: Tensor
    """``[B, C]``"""
    map: Tensor
    """``[B, T, H, W, C]``"""


def area_weights(cells: int, pixels: int) -> Tensor:
    """Shares ``[cells, pixels]`` of pixels in cells, by exact overlap."""
    found = torch.zeros(cells, pixels, dtype=torch.float64)
    for cell in range(cells):
        low, high = cell * pixels / cells, (cell + 1) * pixels / cells
        for pixel in range(pixels):
            found[cell, pixel] = max(0.0, min(high, pixel + 1) - max(low, pixel))
        found[cell] /= found[cell].sum()
    return found


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Area resize of ``[B, T, H, W, C]``."""
    rows = area_weights(height, x.shape[2]).to(x)
    columns = area_weights(width, x.shape[3]).to(x)
    return torch.einsum("hH,wW,btHWc->bthwc", rows, columns, x)


def over_all(x: Tensor, keep: int = 1) -> Tensor:
    """Zero mean and unit variance over all axes but the first ``keep``."""
    axes = tuple(range(keep, x.dim()))
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (variance + EPS).sqrt()


def layer_norm(w: Weights, name: str, x: Tensor, keep: int) -> Tensor:
    if f"{name}/gamma" not in w:
        return x
    return over_all(x, keep) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    kernel = w[f"{name}/kernel"]
    return x @ kernel.reshape(kernel.shape[-2:]) + w[f"{name}/bias"]


def batch_norm(w: Weights, name: str, x: Tensor, training: bool, eps: float = 1e-3) -> Tensor:
    mean, variance = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
    if training:
        rows = x.reshape(-1, x.shape[-1])
        mean, variance = rows.mean(0), rows.var(0, unbiased=False)
    return (x - mean) / (variance + eps).sqrt() * w[f"{name}/gamma"] + w[f"{name}/beta"]


def statistics_after(w: Weights, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Moving mean and variance after one step of training on ``x``, with momentum .99.

    The fused kernel keeps the variance of a sample, but norms by that of all.
    """
    rows = x.reshape(-1, x.shape[-1])
    return (
        0.99 * w[f"{name}/moving_mean"] + 0.01 * rows.mean(0),
        0.99 * w[f"{name}/moving_variance"] + 0.01 * rows.var(0, unbiased=True),
    )


def lstm(w: Weights, name: str, x: Tensor) -> Tensor:
    """Over the frames of ``[B, T, N, C]``, for every node; gates i, c, f, o."""
    kernel, bias = w[f"{name}/{CELL}/kernel"], w[f"{name}/{CELL}/bias"]
    units = kernel.shape[1] // 4
    hidden = memory = x.new_zeros(*x[:, 0].shape[:-1], units)
    out = []
    for step in x.unbind(1):
        i, c, f, o = (torch.cat([step, hidden], -1) @ kernel + bias).split(units, -1)
        memory = f.sigmoid() * memory + i.sigmoid() * c.tanh()
        hidden = o.sigmoid() * memory.tanh()
        out.append(hidden)
    return torch.stack(out, 1)


def dense(w: Weights, name: str, x: Tensor) -> Tensor:
    """As many layers ``name1``, ``name2`` as there are weights of, each with ReLU."""
    scope, _, last = name.partition("#")
    number = 1
    while f"{scope}{number}{last}/kernel" in w:
        x = linear(w, f"{scope}{number}{last}", x).relu()
        number += 1
    return x


def messages(w: Weights, scope: str, x: Tensor, positions: Tensor | None) -> Tensor:
    """From every j to every i, ``[F, N (i), N (j), D]``."""
    if positions is not None:
        x = torch.cat([x, positions.expand(len(x), -1, -1)], -1)
    nodes = x.shape[1]
    source = x[:, None].expand(-1, nodes, -1, -1)
    target = x[:, :, None].expand(-1, -1, nodes, -1)
    sent = dense(w, f"{scope}/send_messages_mlp/send_conv#", torch.cat([source, target], -1))
    return layer_norm(w, f"{scope}/send_messages_mlp/message_ln", sent, 1)


def attention(w: Weights, scope: str, x: Tensor, adjacency: Tensor) -> Tensor:
    """Weights ``[F, N (i), N (j)]``: the adjacency multiplies logits and is no mask."""
    if f"{scope}/my_attn/att_conv1/kernel" in w:
        target = linear(w, f"{scope}/my_attn/att_conv1", x)  # [F, N, 1]
        source = linear(w, f"{scope}/my_attn/att_conv2", x)
        logits = adjacency * (target + source.transpose(1, 2))
        return (F.leaky_relu(logits, 0.2) + adjacency).softmax(-1)
    query = linear(w, f"{scope}/dot_product_attn/att_conv1", x)
    key = linear(w, f"{scope}/dot_product_attn/att_conv2", x)
    return (adjacency * (query @ key.transpose(1, 2))).softmax(-1)


def gathered(w: Weights, scope: str, x: Tensor, sent: Tensor, adjacency: Tensor) -> Tensor:
    kind = "my_attn" if f"{scope}/my_attn/att_conv1/kernel" in w else "dot_product_attn"
    total = torch.einsum("fij,fijc->fic", attention(w, scope, x, adjacency), sent)
    total = total + w[f"{scope}/{kind}/att_bias/biases"]
    return layer_norm(w, f"{scope}/{kind}/att_ln", total, 1).relu()


def updated(w: Weights, scope: str, x: Tensor, heard: Tensor, scales: tuple[int, ...]) -> Tensor:
    both = torch.cat([x, heard], -1)
    if f"{scope}/update_node_mlp/update_conv1/kernel" in w:
        new = dense(w, f"{scope}/update_node_mlp/update_conv#", both)
        return layer_norm(w, f"{scope}/update_node_mlp/update_ln", new, 1)
    parts = both.split([side * side for side in scales], 1)
    name = f"{scope}/update_node_mlp_/update_conv"
    new = torch.cat([dense(w, f"{name}#_type{k}", part) for k, part in enumerate(parts, 1)], 1)
    return layer_norm(w, f"{scope}/update_node_mlp_/update_ln", new, 1)


def graph(w: Weights, scope: str, maps: Tensor, options: Graph) -> Nodes:
    """One graph, ``[B, T, H, W, C]`` in."""
    clips, frames, height, width, _ = maps.shape
    scales, adjacency = options.scales, options.adjacency.to(maps)
    feats = torch.cat([resize(maps, s, s).flatten(2, 3) for s in scales], 2)  # [B, T, N, C]
    x = feats
    if f"{scope}/project_i3d/kernel" in w:
        x = linear(w, f"{scope}/project_i3d", x)
    if f"{scope}/batch_normalization/gamma" in w:
        x = batch_norm(w, f"{scope}/batch_normalization", x, options.training)
    x = layer_norm(w, f"{scope}/before_graf_ln", x, 1)
    for round_ in range(options.rounds):
        if not options.one_temp and round_ < 3:  # the list of cells ends there
            x = lstm(w, f"{scope}/cudnn_lstm", x)
        flat = x.flatten(0, 1)  # [F, N, D]
        sent = messages(w, scope, flat, w.get("positional_emb"))
        flat = updated(w, scope, flat, gathered(w, scope, flat, sent, adjacency), scales)
        x = flat.unflatten(0, (clips, frames))
    x = lstm(w, f"{scope}/time_update_extern/cudnn_lstm", x)
    if f"{scope}/project_back_to_i3d/kernel" in w:
        x = linear(w, f"{scope}/project_back_to_i3d", x)
    grids = x.split([s * s for s in scales], 2)
    spread = sum(
        resize(grid.unflatten(2, (s, s)), height, width)
        for grid, s in zip(grids, scales, strict=True)
    )
    return Nodes(feats, x, x.mean(1).sum(1), spread)


def added(w: Weights, name: str, x: Tensor) -> Tensor:
    """The norm of the residual, scale · (LN + β), over all but the clip."""
    return w[f"{name}_scale"] * (over_all(x) + w[f"{name}/beta"])


def conv3d(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    """``[B, T, H, W, C]`` and a kernel ``[t, h, w, in, out]``, padded to the same size."""
    t, h, w = kernel.shape[:3]
    out = F.conv3d(
        x.permute(0, 4, 1, 2, 3),
        kernel.permute(4, 3, 0, 1, 2),
        stride=(1, stride, stride),
        padding=(t // 2, h // 2, w // 2),
    )
    return out.permute(0, 2, 3, 4, 1)


def pool3d(x: Tensor, size: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return F.max_pool3d(x.permute(0, 4, 1, 2, 3), size, stride).permute(0, 2, 3, 4, 1)


def non_local(w: Weights, name: str, x: Tensor) -> Tensor:
    """What the space-time non-local block adds to ``[B, T, H, W, C]``."""
    pooled = pool3d(x, (1, 2, 2), (1, 2, 2))  # without the last row and column of odd maps
    query = linear(w, f"{name}_theta", x).flatten(1, 3)
    key = linear(w, f"{name}_phi", pooled).flatten(1, 3)
    value = linear(w, f"{name}_g", pooled).flatten(1, 3)
    alpha = (query @ key.transpose(1, 2) * query.shape[-1] ** -0.5).softmax(-1)
    out = linear(w, f"{name}_out", (alpha @ value).reshape(*x.shape[:-1], -1))
    return batch_norm(w, f"{name}_bn", out, False, FIXED_EPS)


FIXED_EPS = 1e-5
"""Of the batch norms with fixed statistics in C2D and I3D."""


def fixed_norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return batch_norm(w, name, x, False, FIXED_EPS)


def bottleneck(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    y = fixed_norm(w, f"{name}_branch2a_bn", conv3d(x, w[f"{name}_branch2a/kernel"])).relu()
    y = conv3d(y, w[f"{name}_branch2b/kernel"], stride)
    y = fixed_norm(w, f"{name}_branch2b_bn", y).relu()
    y = fixed_norm(w, f"{name}_branch2c_bn", conv3d(y, w[f"{name}_branch2c/kernel"]))
    if f"{name}_branch1/kernel" in w:
        x = conv3d(x, w[f"{name}_branch1/kernel"], stride)
        x = fixed_norm(w, f"{name}_branch1_bn", x)
    return (x + y).relu()


AFTER = {"res2": 1, "res3": 2, "res4": 4, "res5": 1}
"""The block of a stage that its graph follows."""


def whole(
    w: Weights,
    video: Tensor,
    graphs: Mapping[str, Graph],
    *,
    backbone: str = "backbone/",
    serial: bool = False,
    non_local_after: Mapping[tuple[int, int], str] = MappingProxyType({}),
) -> tuple[Tensor, dict[str, Nodes]]:
    """C2D or I3D on ``[B, T, H, W, 3]``: logits, and the graphs by their places."""
    in_time = w[f"{backbone}conv1/kernel"].shape[0] > 1

    def tag(place: str) -> str:
        return f"{place}_" if in_time else ""  # C2D's norms do not say where they are

    x = conv3d(video, w[f"{backbone}conv1/kernel"], 2)
    x = fixed_norm(w, f"{backbone}res_conv1_bn", x).relu()
    x = pool3d(x, (1, 3, 3), (1, 2, 2))
    found: dict[str, Nodes] = {}
    for stage in range(2, 6):
        block = 0
        while f"{backbone}res{stage}_{block}_branch2a/kernel" in w:
            stride = 2 if block == 0 and stage in (3, 4) else 1
            x = bottleneck(w, f"{backbone}res{stage}_{block}", x, stride)
            place = f"res{stage}"
            if place in graphs and AFTER[place] == block:
                found[place] = graph(w, f"{backbone}whole_graph_model_{place}", x, graphs[place])
                x = x + added(w, f"{backbone}{tag(place)}after_graph_ln", found[place].map)
            if (stage, block) in non_local_after:
                x = x + non_local(w, non_local_after[stage, block], x)
            block += 1
        if stage == 2:
            x = pool3d(x, (2, 1, 1), (2, 1, 1))
    windows = F.avg_pool2d(x.mean(1).permute(0, 3, 1, 2), min(14, x.shape[2]), 1)
    windows = windows.flatten(2).transpose(1, 2)  # [B, windows, C]
    if "final" in graphs:
        found["final"] = graph(w, "whole_graph_model_final", x, graphs["final"])
        vec = found["final"].vec
        norm = f"{tag('final')}after_graph_ln"
        more = added(w, norm, vec) if f"{norm}_scale" in w else vec
        windows = more[:, None] if serial else windows + more[:, None]
    return linear(w, "pred", windows).mean(1), found


def sync_mnist(
    w: Weights, video: Tensor, options: Graph, scope: str = "whole_graph_model_final"
) -> tuple[Tensor, Tensor, Nodes]:
    """SyncMNIST's model on ``[B, T, H, W, c]``: logits, the maps of its CNN, and the graph."""
    x = video.flatten(0, 1).permute(0, 3, 1, 2)
    layer = 0
    while f"conv{layer}/conv2d/kernel" in w:
        kernel = w[f"conv{layer}/conv2d/kernel"].permute(3, 2, 0, 1)
        x = F.max_pool2d(F.conv2d(x, kernel, w[f"conv{layer}/conv2d/bias"]).relu(), 2)
        layer += 1
    maps = x.permute(0, 2, 3, 1).unflatten(0, video.shape[:2])
    out = graph(w, scope, maps, options)
    return linear(w, "pred", out.vec), maps, out
