"""A plain forward pass of official DyReG models, of `benchmarks/straightforward.py` and a CNN."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch.nn import functional as F

__all__ = ["PLAIN", "doubles", "forward", "graph_forward", "relative"]

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def plain():
    """The plain forward pass, which the benchmarks time too."""
    spec = importlib.util.spec_from_file_location("plain_dyreg", BENCHMARKS / "straightforward.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = plain()
convolve, dense, graph_forward = PLAIN.convolve, PLAIN.dense, PLAIN.graph_forward


def shift(x, frames):
    x = x.unflatten(0, (-1, frames))
    part, moved = x.shape[2] // 8, torch.zeros_like(x)
    moved[:, :-1, :part] = x[:, 1:, :part]
    moved[:, 1:, part : 2 * part] = x[:, :-1, part : 2 * part]
    moved[:, :, 2 * part :] = x[:, :, 2 * part :]
    return moved.flatten(0, 1)


def forward(video, weights, rounds=3):
    """Logits of a whole model with the new names, in evaluation mode."""
    cnn = {name.removeprefix("base_model."): value for name, value in weights.items()}
    clips, frames = video.shape[:2]

    def bn(x, name):
        parts = (cnn[f"{name}.{part}"] for part in ("running_mean", "running_var"))
        return F.batch_norm(x, *parts, cnn[f"{name}.weight"], cnn[f"{name}.bias"])

    def conv(x, name, stride=1, padding=0):
        if f"{name}.net.weight" in cnn:
            x, name = shift(x, frames), f"{name}.net"
        graph = f"{name}.1."
        if f"{name}.0.block.weight" in cnn:
            x = convolve(x, cnn, f"{name}.0.block", stride=stride, padding=padding)
            inner = {k.removeprefix(graph): w for k, w in cnn.items() if k.startswith(graph)}
            return graph_forward(x, inner, frames, rounds)
        return convolve(x, cnn, name, stride=stride, padding=padding)

    x = bn(conv(video.flatten(0, 1), "conv1", 2, 3), "bn1").relu()
    x = F.max_pool2d(x, 3, 2, 1)
    deep = "layer1.0.bn3.weight" in cnn
    for stage in (1, 2, 3, 4):
        number = 0
        while f"layer{stage}.{number}.bn1.weight" in cnn:
            name = f"layer{stage}.{number}"
            stride, kept = 2 if stage > 1 and number == 0 else 1, x
            if f"{name}.downsample.0.weight" in cnn:
                kept = bn(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            if deep:
                x = bn(conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
                x = bn(conv(x, f"{name}.conv2", stride, 1), f"{name}.bn2").relu()
                x = bn(conv(x, f"{name}.conv3"), f"{name}.bn3")
            else:
                x = bn(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1").relu()
                x = bn(conv(x, f"{name}.conv2", 1, 1), f"{name}.bn2")
            x, number = (x + kept).relu(), number + 1
    return dense(x.mean((2, 3)), cnn, "new_fc").unflatten(0, (clips, frames)).mean(1)


def doubles(weights):
    return {k: v.double() if v.is_floating_point() else v for k, v in weights.items()}


def relative(mine, theirs):
    return ((mine - theirs).norm() / theirs.norm()).item()
