"""Which module of this library is which variables of the official code.

Written once and read in both directions: weights come in by it, and go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from torch import Tensor, nn

from stgraph.backbones import ConvStack, NonLocalBlock
from stgraph.backbones.resnet3d import Bottleneck3d, ResNet3d
from stgraph.checks import InputError
from stgraph.layers import (
    AdditiveAttention,
    ClipNorm,
    ConcatSend,
    DotAttention,
    FrameNorm,
    GaussianMaps,
    MLPUpdate,
    PerNode,
    ScaleUpdate,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import SpaceTimeGraph
from stgraph.weights.rstg.layouts import (
    BIASES,
    FIXED_NORM,
    NORM,
    Convolution,
    Layout,
    Linear,
    Reading,
    Weights,
)

__all__ = [
    "Tie",
    "graph_ties",
    "net_ties",
    "non_local_ties",
    "position_of",
    "read",
    "spans_time",
    "stack_ties",
    "write",
]


class Tie(NamedTuple):
    """A module, the beginning of its variables' names, and how they lie there."""

    module: str
    variables: str
    layout: Layout


def graph_ties(
    net: SpaceTimeGraph,
    lstm: Layout,
    inner: str = "cudnn_lstm",
    outer: str = "time_update_extern/cudnn_lstm",
    norm: str = "att_ln",
) -> Iterator[Tie]:
    """Ties of a graph, by names inside its scope.

    Args:
        net: the graph.
        lstm: layout of its LSTMs.
        inner: what the LSTM of the rounds is called.
        outer: what the last one is called.
        norm: what the norm in an additive attention is called.

    Raises:
        InputError: on a layer that the official code does not have.
    """
    for name, layer in net.layers.items():
        here = f"layers.{name}"
        inside = layer.module if isinstance(layer, PerNode) else layer
        if isinstance(inside, nn.Linear):
            theirs = {"project_in": "project_i3d", "project_out": "project_back_to_i3d"}
            yield Tie(f"{here}.module", _known(name, theirs), Linear(0))
        elif isinstance(inside, nn.BatchNorm1d):
            yield Tie(f"{here}.module", "batch_normalization", FIXED_NORM)
        elif isinstance(inside, ClipNorm):
            yield Tie(here, "before_graf_ln", NORM)
        elif isinstance(inside, TimeLayer) and isinstance(inside.cell, nn.LSTM):
            yield Tie(f"{here}.cell", _known(name, {"time": inner, "last": outer}), lstm)
        elif isinstance(inside, SpaceLayer):
            yield from _space_ties(inside, here, norm)
        else:
            raise InputError("model", "layers of the official code", f"{name}: {layer}")


def _known(name: str, theirs: dict[str, str]) -> str:
    if name not in theirs:
        raise InputError("model", f"layers called {sorted(theirs)}", repr(name))
    return theirs[name]


def _space_ties(layer: SpaceLayer, here: str, norm: str) -> Iterator[Tie]:
    send, gather, update = layer.send, layer.gather, layer.update_nodes
    if not isinstance(send, ConcatSend) or send.position_of != "both":
        raise InputError("model", "messages of both ends side by side", send)
    yield Tie(f"{here}.send.first", "send_messages_mlp/send_conv1", Linear(2))
    if send.second is not None:
        yield Tie(f"{here}.send.second", "send_messages_mlp/send_conv2", Linear(2))
    if send.norm is not None:
        yield Tie(f"{here}.send.norm", "send_messages_mlp/message_ln", NORM)
    if not isinstance(gather, (DotAttention, AdditiveAttention)) or gather.bias is None:
        raise InputError("model", "an attention with a bias", gather)
    if gather.heads > 1 and gather.norm is not None:
        raise InputError("model", "an attention of several heads without a norm", gather)
    scope = "dot_product_attn" if isinstance(gather, DotAttention) else "my_attn"
    yield Tie(f"{here}.gather.query", f"{scope}/att_conv1", Linear(1))
    yield Tie(f"{here}.gather.key", f"{scope}/att_conv2", Linear(1))
    yield Tie(f"{here}.gather", f"{scope}/att_bias", BIASES)
    if gather.value is not None:
        yield Tie(f"{here}.gather.value", f"{scope}/att_value", Linear(2))
    if gather.norm is not None:
        yield Tie(f"{here}.gather.norm", f"{scope}/{norm}", NORM)
    if isinstance(update, ScaleUpdate):
        scope = "update_node_mlp_"
        mlps = {f"mlps.{k}": f"_type{k + 1}" for k in range(len(update.mlps))}
    elif isinstance(update, MLPUpdate):
        scope, mlps = "update_node_mlp", {"mlp": ""}
    else:
        raise InputError("model", "an MLP of the node and what it gathered", update)
    for mlp, ending in mlps.items():
        count = len(cast(nn.Sequential, update.get_submodule(mlp))) // 2
        for k in range(count):
            theirs = f"{scope}/update_conv{k + 1}{ending}"
            yield Tie(f"{here}.update_nodes.{mlp}.{2 * k}", theirs, Linear(1))
    if isinstance(update.norm, FrameNorm):
        yield Tie(f"{here}.update_nodes.norm", f"{scope}/update_ln", NORM)


def position_of(net: SpaceTimeGraph) -> GaussianMaps | None:
    """The positions that join a graph's messages, if there are any."""
    for layer in net.layers.values():
        if isinstance(layer, SpaceLayer) and isinstance(layer.send, ConcatSend):
            place = layer.send.position
            return place if isinstance(place, GaussianMaps) else None
    return None


def spans_time(net: nn.Module) -> bool:
    """Whether a CNN is an I3D: convolutions in it span several frames."""
    return any(isinstance(m, Bottleneck3d) and m.conv1.kernel_size[0] > 1 for m in net.modules())


def net_ties(net: ResNet3d) -> Iterator[Tie]:
    """Ties of C2D or I3D, with its classifier."""
    yield Tie("conv1", "conv1", Convolution(3))
    yield Tie("bn1", "res_conv1_bn", FIXED_NORM)
    for stage in net.stages:
        for number, block in enumerate(cast(nn.Sequential, net.get_submodule(stage))):
            here, theirs = f"{stage}.{number}", f"res{int(stage[5:]) + 1}_{number}"
            for k, branch in enumerate("abc", start=1):
                yield Tie(f"{here}.conv{k}", f"{theirs}_branch2{branch}", Convolution(3))
                yield Tie(f"{here}.bn{k}", f"{theirs}_branch2{branch}_bn", FIXED_NORM)
            if cast(Bottleneck3d, block).downsample is not None:
                yield Tie(f"{here}.downsample.0", f"{theirs}_branch1", Convolution(3))
                yield Tie(f"{here}.downsample.1", f"{theirs}_branch1_bn", FIXED_NORM)
    yield Tie("fc", "pred", Linear(3))


def non_local_ties(block: NonLocalBlock) -> Iterator[Tie]:
    """Ties of a non-local block, by what follows its name."""
    for name in ("theta", "phi", "g", "out"):
        yield Tie(name, f"_{name}", Convolution(3))
    yield Tie("norm", "_bn", FIXED_NORM)


def stack_ties(stack: ConvStack) -> Iterator[Tie]:
    """Ties of SyncMNIST's CNN."""
    convolutions = [k for k, layer in enumerate(stack.layers) if isinstance(layer, nn.Conv2d)]
    for number, k in enumerate(convolutions):
        yield Tie(f"layers.{k}", f"conv{number}/conv2d", Convolution(2))


def read(module: nn.Module, ties: Iterator[Tie], state: Weights) -> Reading:
    """Tensors of a module by its names, from variables by theirs.

    Raises:
        InputError: when a variable is missing or has another shape.
    """
    mine = module.state_dict()
    tensors: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    used: list[str] = []
    for tie in ties:
        here = f"{tie.module}." if tie.module else ""
        like = {k.removeprefix(here): v for k, v in mine.items() if k.startswith(here)}
        found = tie.layout.read(state, tie.variables, like)
        used += found.used
        for name, value in found.tensors.items():
            if value.shape != like[name].shape:
                theirs = found.origin[name]
                expected = f"what makes {list(like[name].shape)}"
                raise InputError(theirs, expected, list(state[theirs].shape))
            tensors[here + name], origin[here + name] = value, found.origin[name]
    return Reading(tensors, origin, tuple(used))


def write(module: nn.Module, ties: Iterator[Tie]) -> dict[str, Tensor]:
    """Variables of a module's tensors.

    Raises:
        InputError: when a tensor of the module belongs to no variable.
    """
    mine = {name: value.detach().cpu() for name, value in module.state_dict().items()}
    left = {name for name in mine if not name.endswith("num_batches_tracked")}
    made: dict[str, Tensor] = {}
    for tie in ties:
        here = f"{tie.module}." if tie.module else ""
        inside = {k.removeprefix(here): v for k, v in mine.items() if k.startswith(here)}
        made |= tie.layout.write(inside, tie.variables)
        left -= {here + name for name in tie.layout.mine}
    if left:
        raise InputError("model", "parts of the official code only", sorted(left)[:4])
    return made
