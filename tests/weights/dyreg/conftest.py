"""Random weights under the names, and of the shapes, that the official code gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from stgraph.nodes import LargeGenerator

Weights = dict[str, torch.Tensor]


def linear(name: str, *sizes: int) -> Weights:
    scale = math.prod(sizes[1:]) ** -0.5
    return {f"{name}.weight": torch.randn(sizes) * scale, f"{name}.bias": vector(sizes[0])}


def vector(*sizes: int) -> torch.Tensor:
    return torch.randn(sizes) * 0.2


def norm(name: str, *sizes: int) -> Weights:
    return {f"{name}.scale": 1 + vector(*sizes), f"{name}.bias": vector(*sizes)}


def cell(name: str, width: int, gates: int) -> Weights:
    rows = gates * width
    weight = {f"{name}.weight_{k}_l0": torch.randn(rows, width) * width**-0.5 for k in ("ih", "hh")}
    return weight | {f"{name}.bias_{k}_l0": vector(rows) for k in ("ih", "hh")}


def sinusoid(channels: int, size: int) -> torch.Tensor:
    """The position map of the official small generator, by its description, number by number.

    Half of the channels tell the row, the other half the column; of the u-th of S places in 0..1
    slot k of a half of c holds a sine where k is even and a cosine where it is odd.
    """
    half = channels // 2
    maps = torch.empty(channels, size, size)
    for k in range(half):
        wave = math.cos if k % 2 else math.sin
        for place in range(size):
            value = wave(place / (size - 1) / 10000 ** (k / half))
            maps[k, place, :] = value
            maps[half + k, :, place] = value
    return maps


def random_block(
    size: int,
    channels: int = 12,
    width: int = 8,
    described: int = 6,
    nodes: int = 4,
    *,
    small: bool = False,
    gates: int = 3,
    region_gates: int = 3,
    send: tuple[int, ...] = (8,),
    update: tuple[int, ...] = (),
    grid: bool = False,
) -> Weights:
    """One block."""
    row, column = torch.full((2, 1, nodes, 1), size / 2).unbind()
    if grid:
        row = (torch.arange(9) // 3 * 2 + 1).view(1, 9, 1) * size / 6
        column = (torch.arange(9) % 3 * 2 + 1).view(1, 9, 1) * size / 6
    inner: Weights = {
        "offset_alpha": torch.randn(4) * 0.5,
        "ph_buf": row,
        "pw_buf": column,
        "arange_h_buf": torch.arange(size).float().view(1, 1, -1),
        "arange_w_buf": torch.arange(size).float().view(1, 1, -1),
        "rstg.att_bias": vector(1, 1, 1, width),
        **norm("norm_dict.offset_ln_feats_coords", described),
        **norm("norm_dict.offset_ln_lstm", described),
        **linear("offset_pred", 4, described),
        **cell("offset_lstm", described, region_gates),
        **linear("kernel_projection1", width, size * size),
        **cell("rstg.internal_lstm", width, gates),
        **cell("rstg.external_lstm", width, gates),
        **linear("rstg.att_q", width, width),
        **linear("rstg.att_k", width, width),
    }
    for name in ("send_message_norm", "update_norm", "before_graph_norm"):
        inner |= norm(f"rstg.norm_dict.{name}", width)
    for place, columns in enumerate(send):
        inner |= linear(f"rstg.send_mlp.{2 * place}", width, columns)
    for place, columns in enumerate(update):
        inner |= linear(f"rstg.update_mlp.{2 * place}", width, columns)
    if channels != width:
        inner |= linear("project_i3d_linear", width, channels, 1, 1)
        inner |= linear("project_back_i3d_linear", channels, width, 1, 1)
        inner |= norm("norm_dict.dynamic_graph_projection", 1, width, 1, 1)
    if small:
        inner |= linear("glore.mask_conv", nodes, width, 1, 1)
        inner |= linear("glore.sin_pos_emb_proj", width, width, 1, 1)
        inner |= linear("glore.update", described, width, 1)
        inner |= norm("glore.norm_dict.offset_location_emb", 1, width, 1, 1)
        inner["glore.pos_emb_buf"] = sinusoid(width, size)
    else:
        side = LargeGenerator(width, nodes, described, size).side
        inner |= linear("fishnet.conv1", 32, width, 1, 1)
        inner |= linear("fishnet.tail_conv.0", 32, 32, 3, 3)
        inner |= linear("fishnet.tail_conv.1", 16, 32, 3, 3)
        inner["fishnet.body_trans_conv.0.weight"] = torch.randn(16, 32, 3, 3) * 0.1
        inner["fishnet.body_trans_conv.0.bias"] = vector(32)
        inner |= linear("fishnet.head_conv.0", 16, 32, 3, 3)
        inner |= linear("global_conv.0", nodes * described, 16, side, side)
        for name, c in (
            ("norm1", 32),
            ("tail_norm_0", 32),
            ("tail_norm_1", 16),
            ("body_trans_norm_0", 32),
            ("head_norm_0", 16),
        ):
            inner |= norm(f"fishnet.norm_dict.{name}", 1, c, 1, 1)
    state = {f"dynamic_graph.{name}": value for name, value in inner.items()}
    return state | norm("norm_dict.residual_norm", 1, channels, 1, 1)


def convolution(name: str, *sizes: int) -> Weights:
    return {f"{name}.weight": torch.randn(sizes) * math.prod(sizes[1:]) ** -0.5}


def batch_norm(name: str, channels: int) -> Weights:
    return {
        f"{name}.weight": 1 + vector(channels),
        f"{name}.bias": vector(channels),
        f"{name}.running_mean": vector(channels),
        f"{name}.running_var": 0.5 + torch.rand(channels),
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def random_model(
    graphs: Mapping[str, Weights],
    *,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    bottleneck: bool = True,
    shifted: bool = True,
    classes: int = 174,
    channels: int = 3,
    old: bool = False,
) -> Weights:
    """A whole model, with blocks after the modules that ``graphs`` names."""
    state = convolution("conv1", 64, channels, 7, 7) | batch_norm("bn1", 64)
    before = 64
    for stage, depth in enumerate(depths, start=1):
        width = 32 * 2**stage
        out = width * (4 if bottleneck else 1)
        for number in range(depth):
            name = f"layer{stage}.{number}"
            first = f"{name}.conv1.net" if shifted else f"{name}.conv1"
            sides = (1, 3) if bottleneck else (3, 3)
            state |= convolution(first, width, before, sides[0], sides[0])
            state |= convolution(f"{name}.conv2", width, width, sides[1], sides[1])
            state |= batch_norm(f"{name}.bn1", width) | batch_norm(f"{name}.bn2", width)
            if bottleneck:
                state |= convolution(f"{name}.conv3", out, width, 1, 1)
                state |= batch_norm(f"{name}.bn3", out)
            if number == 0 and (stage > 1 or bottleneck):
                state |= convolution(f"{name}.downsample.0", out, before, 1, 1)
                state |= batch_norm(f"{name}.downsample.1", out)
            before = out
    for place, graph in graphs.items():
        layer, beside = (".block", "") if old else (".0.block", ".1")
        inside = [name for name in state if name.startswith(f"{place}.")]
        for name in inside:
            state[place + layer + name.removeprefix(place)] = state.pop(name)
        state |= {f"{place}{beside}.{name}": value for name, value in graph.items()}
    state = {f"base_model.{name}": value for name, value in state.items()}
    return state | linear("new_fc", classes, before)


@pytest.fixture
def block_weights() -> Callable[..., Weights]:
    return random_block


@pytest.fixture
def model_weights() -> Callable[..., Weights]:
    return random_model


def _r345(places: tuple[str, ...], **options: Any) -> dict[str, Weights]:
    sizes = {
        "layer2.2.conv2": (28, 128, 128),
        "layer3.4.conv2": (14, 256, 256),
        "layer4.1.conv2": (7, 512, 256),
    }
    return {
        place: random_block(*sizes[place], 128, 9, send=(sizes[place][2],), **options)
        for place in places
    }


@pytest.fixture
def released() -> dict[str, Callable[..., Weights]]:
    """The two models of which the official names are known, in full."""
    every = ("layer2.2.conv2", "layer3.4.conv2", "layer4.1.conv2")
    return {
        "r345": lambda **options: random_model(_r345(every), **options),
        "r4_small_generator": lambda **options: random_model(
            _r345(("layer3.4.conv2",), small=True, grid=True), **options
        ),
    }
