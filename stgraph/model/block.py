"""A space-time graph as a stage or a residual block of a CNN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.causality import AsItsParts, refuse_state
from stgraph.checks import InputError, integer
from stgraph.fused import is_hooked, is_just
from stgraph.layers import FrameMapNorm, Remap
from stgraph.layers.spread import SpreadMaps
from stgraph.model.net import SpaceTimeGraph, State
from stgraph.nodes.base import check_features
from stgraph.padding import check_frame_mask, put_frames, take_frames

__all__ = ["BlockOutput", "GraphBlock", "GraphStage"]

_Kind = TypeVar("_Kind", bound=nn.Module)


class BlockOutput(NamedTuple):
    """What a graph block returns."""

    features: Tensor
    x: Tensor
    graph: Batch
    state: State


class GraphStage(nn.Module):
    r"""A space-time graph in a CNN, of which its maps are all that goes on.

    .. math:: y = W_{out}\, \mathrm{remap}(\mathrm{net}(x')), \quad x' = \mathrm{norm}(W_{in} x)

    What follows sees the CNN through the graph alone (RSTG's "serial" form, where
    :class:`~stgraph.layers.Broadcast` is the remap before a global pooling).

    Args:
        net: the space-time graph.
        channels: channels of the CNN's maps. If it differs from what the graph takes or makes,
            1×1 convolutions map in (followed by a norm) and out.
        remap: from nodes to maps; :class:`~stgraph.layers.Remap` by default.
        norm_in: maker of the norm after the convolution in, called with channels, for maps
            ``[B·T, C, H, W]``; by default over (C, H, W) of a frame.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`BlockOutput` with features of the same shape.
    """

    causal = AsItsParts()
    """Whether a frame's output depends on this frame and earlier ones only."""

    def __init__(
        self,
        net: SpaceTimeGraph,
        channels: int | None = None,
        remap: nn.Module | None = None,
        norm_in: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.channels = net.in_channels if channels is None else integer("channels", channels)
        self.remap = Remap() if remap is None else remap
        self.project_in: nn.Module = nn.Identity()
        self.project_out: nn.Module = nn.Identity()
        if self.channels != net.in_channels:
            width = net.in_channels
            norm = nn.GroupNorm(1, width) if norm_in is None else norm_in(width)
            self.project_in = nn.Sequential(nn.Conv2d(self.channels, width, 1), norm)
        elif norm_in is not None:
            raise InputError("norm_in", "None: there is no convolution in", norm_in)
        if self.channels != net.out_channels:
            self.project_out = nn.Conv2d(net.out_channels, self.channels, 1)

    def takes(self, hint: str) -> bool:
        """Whether its extractor takes a hint of this name."""
        return self.net.nodes.takes(hint)

    @property
    def of_frames(self) -> bool:
        """Whether its extractor needs the frames of the video beside the features."""
        return self.net.nodes.of_frames

    def forward(
        self,
        features: Tensor,
        state: State | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> BlockOutput:
        """Run the stage; the arguments are those of :class:`SpaceTimeGraph`.

        Frames that do not exist come out as 0.

        Raises:
            InputError: on features of another shape, or a state that does not fit.
        """
        x, graph, state, mask = self._nodes(features, state, frame_mask, hints)
        maps = self._maps(x, graph, mask)
        return BlockOutput(put_frames(maps, mask, features.size(0)), x, graph, state)

    def _nodes(
        self,
        features: Tensor,
        state: State | None,
        frame_mask: Tensor | None,
        hints: Mapping[str, Any],
    ) -> tuple[Tensor, Batch, State, Tensor | None]:
        """Nodes, graph and state of these maps, and the mask of frames on the CPU."""
        clips, frames = check_features(features, self.channels)[:2]
        mask = check_frame_mask(frame_mask, clips, frames)
        if state is not None and self.net.causal:  # else the net refuses it, and names its parts
            refuse_state(self, state)
        inner = put_frames(self.project_in(take_frames(features, mask)), mask, clips)
        return *self.net(inner, state, mask, **hints), mask

    def _maps(self, x: Tensor, graph: Batch, mask: Tensor | None) -> Tensor:
        """The maps of the frames that exist ``[F, C, H, W]``."""
        made = self._spread(x, graph)
        if made is not None:
            return made.written()
        maps: Tensor = self.project_out(take_frames(self.remap(x, graph), mask))
        return maps

    def _spread(self, x: Tensor, graph: Batch) -> SpreadMaps | None:
        """What the maps of the frames that exist are made of, where all parts can say so."""
        if not as_made(self.remap, Remap):
            return None
        if as_made(self.project_out, nn.Identity):
            return self.remap.spread(x, graph)
        if not as_made(self.project_out, nn.Conv2d) or self.project_out.weight[0, 0].numel() != 1:
            return None
        weight, bias = self.project_out.weight.flatten(1), self.project_out.bias
        return self.remap.spread(x, graph).mapped(weight, bias)


def as_made(module: nn.Module, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Whether a module is of a class and no other, without hooks: then its parts may be used.

    Else it is called, as subclasses, parametrisations and hooks expect.
    """
    return is_just(module, kind) and not is_hooked(module)


class GraphBlock(GraphStage):
    r"""A space-time graph as a residual block of a CNN, an identity at the start.

    .. math:: y = x + \mathrm{norm}_{γ=0}(W_{out}\, \mathrm{remap}(\mathrm{net}(x')), \quad
        x' = \mathrm{norm}(W_{in} x)

    The last norm has a scale of 0 at the start, so a block put into a trained CNN changes nothing
    before it is trained (RSTG, DyReG).

    Args:
        net: the space-time graph.
        channels: channels of the CNN's maps, see :class:`GraphStage`.
        remap: from nodes to maps; :class:`~stgraph.layers.Remap` by default.
        norm: maker of the last norm, called with channels, for maps ``[B, T, C, H, W]``: over
            (C, H, W) of a frame by default. :class:`~stgraph.layers.ClipMapNorm` is over a clip,
            :class:`~stgraph.layers.Scaled` has the scale outside of the shift.
        norm_in: see :class:`GraphStage`.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`BlockOutput` with features of the same shape.

    Raises:
        InputError: on a norm without a scale to start at 0.
    """

    def __init__(
        self,
        net: SpaceTimeGraph,
        channels: int | None = None,
        remap: nn.Module | None = None,
        norm: Callable[[int], nn.Module] = FrameMapNorm,
        norm_in: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__(net, channels, remap, norm_in)
        self.norm = norm(self.channels)
        weight = getattr(self.norm, "weight", None)
        if not isinstance(weight, nn.Parameter):
            raise InputError("norm", "a norm with a weight to start at 0", self.norm)
        nn.init.zeros_(weight)

    def forward(
        self,
        features: Tensor,
        state: State | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> BlockOutput:
        """Run the block; the arguments are those of :class:`SpaceTimeGraph`.

        Frames that do not exist come out as they went in.

        Raises:
            InputError: on features of another shape, or a state that does not fit.
        """
        x, graph, state, mask = self._nodes(features, state, frame_mask, hints)
        made, clips = self._spread(x, graph), features.size(0)
        if made is None or not as_made(self.norm, FrameMapNorm):
            maps = put_frames(self._maps(x, graph, mask), mask, clips)
            out = features + (self.norm(maps) if mask is None else _each(self.norm, maps, mask))
        elif mask is None and features.is_contiguous():
            out = self.norm.spread(made).added_to(features.flatten(0, 1)).view_as(features)
        else:  # a sum lies in memory as its first part does: channels last, or time after channels
            out = features + put_frames(self.norm.spread(made).written(), mask, clips)
        return BlockOutput(out, x, graph, state)


def _each(norm: nn.Module, maps: Tensor, mask: Tensor) -> Tensor:
    """A norm of the frames that each clip has, which may look at all of them; 0 elsewhere."""
    if not bool(mask.any()):
        return torch.zeros_like(maps)
    clips = zip(maps, mask.to(maps.device, non_blocking=True), strict=True)
    own = [norm(clip[there][None])[0] for clip, there in clips if bool(there.any())]
    return put_frames(torch.cat([maps[0, :0], *own]), mask, len(mask))  # there may be no frame
