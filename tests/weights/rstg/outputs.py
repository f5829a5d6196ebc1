"""What a converted model computes, by the names and in the order of the official code."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stgraph.layers import Readout, Remap
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.weights import rstg_to_official


def channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 1, 3, 4, 2)


def run(module: GraphBlock | SpaceTimeGraph, x: Tensor) -> dict[str, Tensor]:
    """All outputs of a graph on ``x [B, T, C, H, W]``."""
    clips, frames = x.shape[:2]
    out = module(x)
    found = {
        "nodes": out.x.view(clips, frames, -1, out.x.size(-1)),
        "patch_feats": out.graph.x.view(clips, frames, -1, out.graph.x.size(-1)),
        "vec": Readout("sum")(out.x, out.graph),
        "map": channels_last(Remap(normalised=False)(out.x, out.graph)),
    }
    if isinstance(module, GraphBlock):
        added = out.features - x
        found |= {"map_added": channels_last(added), "vec_added": added.mean(dim=(1, 3, 4))}
    return found


def gradients(module: nn.Module, tag: str = "x") -> dict[str, Tensor]:
    """Gradients of a module's parameters, written as the weights themselves are."""
    twin = copy.deepcopy(module)
    mine = dict(module.named_parameters())
    for name, parameter in twin.named_parameters():
        grad = mine[name].grad
        # The official code has the sum of the two biases, whose gradient each of them has.
        none = grad is None or name.endswith("bias_hh_l0")
        parameter.data = torch.zeros_like(parameter) if none else grad
    found = {name: torch.tensor(value) for name, value in rstg_to_official(twin, tag).items()}
    return {
        name: value
        for name, value in found.items()
        if "moving" not in name and name != "positional_emb"
    }
