"""DyReG's block as its official code computes it, in plain PyTorch: what ours is compared with.

Every message exists, kernels are dense, and norms stand where the official code has them. The tests
hold our blocks to its numbers and `speed.py` to its time. Weights have their official names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.model import GraphBlock
from stgraph.weights.dyreg.block import official_names


def over(x, weights, name, axes, channel):
    """A norm over axes, with a scale and a shift for each channel."""
    sizes = [-1 if axis == channel else 1 for axis in range(x.dim())]
    scale, shift = (weights[f"{name}.{part}"].view(sizes) for part in ("scale", "bias"))
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt() * scale + shift


def recur(x, weights, name):
    """A GRU or LSTM along the second axis of ``[B, T, N, D]``."""
    in_w, hid_w, in_b, hid_b = (
        weights[f"{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    width = hid_w.shape[1]
    hidden = kept = x.new_zeros(x.shape[0], x.shape[2], width)
    outputs = []
    for step in x.unbind(1):
        a, b = step @ in_w.T + in_b, hidden @ hid_w.T + hid_b
        if len(hid_w) == 3 * width:
            reset, update = torch.sigmoid((a + b)[..., : 2 * width]).split(width, -1)
            new = torch.tanh(a[..., 2 * width :] + reset * b[..., 2 * width :])
            hidden = update * hidden + (1 - update) * new
        else:
            take, keep, value, give = (a + b).split(width, -1)
            kept = keep.sigmoid() * kept + take.sigmoid() * value.tanh()
            hidden = give.sigmoid() * kept.tanh()
        outputs.append(hidden)
    return torch.stack(outputs, 1)


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def convolve(x, weights, name, **options):
    return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)


def described(x, weights, side):
    """What the generator says of every region: ``[F, N, d]``."""
    if "glore.mask_conv.weight" in weights:
        mask = convolve(x, weights, "glore.mask_conv").softmax(1).flatten(2)  # [F, N, P]
        placed = x + convolve(weights["glore.pos_emb_buf"][None], weights, "glore.sin_pos_emb_proj")
        nodes = torch.matmul(placed.flatten(2), mask.transpose(1, 2))  # [F, C, N]
        kernel = weights["glore.update.weight"]
        return F.conv1d(nodes, kernel, weights["glore.update.bias"]).transpose(1, 2)
    first = {"stride": 1 if side <= 10 else 2, "padding": 0}
    second = {"stride": 2, "padding": 0} if side > 20 else {"stride": 1, "padding": 1}

    def after(maps, which):
        return over(maps.relu(), weights, f"fishnet.norm_dict.{which}", (1, 2, 3), 1)

    x = convolve(x, weights, "fishnet.conv1").relu()
    x = after(F.max_pool2d(x, 2) if side > 50 else x, "norm1")
    a = after(convolve(x, weights, "fishnet.tail_conv.0", **first), "tail_norm_0")
    b = after(convolve(a, weights, "fishnet.tail_conv.1", **second), "tail_norm_1")
    up = weights["fishnet.body_trans_conv.0.weight"], weights["fishnet.body_trans_conv.0.bias"]
    joined = after(F.conv_transpose2d(b, *up, **second), "body_trans_norm_0") + a
    head = after(convolve(joined, weights, "fishnet.head_conv.0", **second), "head_norm_0")
    return convolve(head, weights, "global_conv.0").reshape(len(x), weights["ph_buf"].numel(), -1)


def graph_forward(x, weights, frames, rounds, aggregation="attention", first="sender", recur=recur):
    """One block on maps ``[B·T, C, H, W]``."""
    outer = weights
    weights = {
        name.removeprefix("dynamic_graph."): value
        for name, value in weights.items()
        if name.startswith("dynamic_graph.")
    }
    came, side = x, x.shape[-1]
    if "project_i3d_linear.weight" in weights:
        x = convolve(x, weights, "project_i3d_linear")
        x = over(x, weights, "norm_dict.dynamic_graph_projection", (1, 2, 3), 1)

    def time(v, name):
        return recur(v.unflatten(0, (-1, frames)), weights, name).flatten(0, 1)

    regions = over(
        described(x, weights, side), weights, "norm_dict.offset_ln_feats_coords", (1, 2), 2
    )
    regions = over(time(regions, "offset_lstm"), weights, "norm_dict.offset_ln_lstm", (1, 2), 2)
    offset = dense(regions, weights, "offset_pred") * weights["offset_alpha"]
    profiles = []
    for axis, anchor in enumerate((weights["ph_buf"], weights["pw_buf"])):
        size = offset[..., axis].exp() * (side / 6 + 1) + 1
        start = (2 * anchor.flatten() / side - 1).clamp(-1 + 1e-7, 1 - 1e-7).atanh()
        centre = ((offset[..., 2 + axis] + start).tanh() * side / 2 + side / 2).clamp(0, side - 1)
        cell = torch.arange(side, dtype=x.dtype)
        profiles.append((size[..., None] - (centre[..., None] - cell).abs()).relu())
    kernel = profiles[0][..., :, None] * profiles[1][..., None, :]  # [F, N, H, W]
    kernel = (kernel / (kernel.sum((2, 3), keepdim=True) + 1e-37)).flatten(2)
    nodes = torch.einsum("fnp,fcp->fnc", kernel, x.flatten(2))
    v = nodes + dense(kernel, weights, "kernel_projection1")
    v = over(v, weights, "rstg.norm_dict.before_graph_norm", (1, 2), 2)

    def ends(one, other, name):
        joined = weights[f"rstg.{name}.0.weight"].shape[1] > one.shape[-1]
        return torch.cat([one, other], -1) if joined else one + other

    def mlp(y, name):
        for number in (0, 2):
            if f"rstg.{name}.{number}.weight" in weights:
                y = dense(y, weights, f"rstg.{name}.{number}").relu()
        return y

    for _ in range(rounds):
        v = time(v, "rstg.internal_lstm")
        target = v[:, :, None].expand(-1, -1, v.shape[1], -1)  # [F, i, j, D]
        sender = target.transpose(1, 2)
        both = (sender, target) if first == "sender" else (target, sender)
        sent = over(
            mlp(ends(*both, "send_mlp"), "send_mlp"),
            weights,
            "rstg.norm_dict.send_message_norm",
            (1, 2, 3),
            3,
        )
        share = torch.full_like(sent[..., 0], 1 / v.shape[1])
        if aggregation == "attention":
            query, key = dense(v, weights, "rstg.att_q"), dense(v, weights, "rstg.att_k")
            share = torch.einsum("fic,fjc->fij", query, key).softmax(2)
        got = (torch.einsum("fij,fijc->fic", share, sent) + weights["rstg.att_bias"][0]).relu()
        updated = "rstg.update_mlp.0.weight" in weights
        v = mlp(ends(v, got, "update_mlp"), "update_mlp") if updated else v + got
        v = over(v, weights, "rstg.norm_dict.update_norm", (1, 2), 2)
    v = time(v, "rstg.external_lstm")
    maps = torch.einsum("fnp,fnc->fcp", kernel, v).unflatten(2, (side, side))
    if "project_back_i3d_linear.weight" in weights:
        maps = convolve(maps, weights, "project_back_i3d_linear")
    return came + over(maps, outer, "norm_dict.residual_norm", (1, 2, 3), 1)


class Straightforward(nn.Module):
    """The official structure around the parameters of one of our blocks, which both share.

    Args:
        block: a DyReG block with the large region generator.
        rounds: K of its schedule.
    """

    def __init__(self, block: GraphBlock, rounds: int = 3) -> None:
        super().__init__()
        self.block, self.rounds = block, rounds
        self.cells = {
            "offset_lstm": block.net.nodes.rnn,
            "rstg.internal_lstm": block.net.layers["time"].cell,
            "rstg.external_lstm": block.net.layers["last"].cell,
        }

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``[B, T, C, H, W]`` to the same."""
        size = features.size(-1)
        ours = dict(self.block.named_parameters())
        weights = {theirs: ours[mine] for mine, theirs in official_names(self.block).items()}
        side = self.block.net.nodes.generator.side
        regions = "dynamic_graph.global_conv.0.weight"  # a convolution over the whole map there
        weights[regions] = weights[regions].view(-1, 16, side, side)
        weights["dynamic_graph.rstg.att_bias"] = weights["dynamic_graph.rstg.att_bias"][None]
        row, column = self.block.net.nodes.anchor.unbind(1)
        weights |= {"dynamic_graph.ph_buf": row * size, "dynamic_graph.pw_buf": column * size}

        def fused(x: Tensor, _, name: str) -> Tensor:  # [B, T, N, D]
            clips, frames, nodes, width = x.shape
            steps = x.transpose(0, 1).reshape(frames, clips * nodes, width)
            return self.cells[name](steps)[0].view(frames, clips, nodes, -1).transpose(0, 1)

        maps = features.flatten(0, 1)
        made = graph_forward(maps, weights, features.size(1), self.rounds, recur=fused)
        return made.view_as(features)
