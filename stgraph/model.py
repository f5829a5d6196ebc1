"""The space-time graph, its schedule and state, and the graph block made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from stgraph.causality import AsItsParts, refuse_state
from stgraph.checks import InputError, channels, integer
from stgraph.graph import layout_of
from stgraph.layers import FrameMapNorm, Remap, TemporalLayer
from stgraph.nodes import NodeExtractor, NodeState
from stgraph.nodes.base import check_features
from stgraph.padding import check_frame_mask, put_frames, take_frames

__all__ = [
    "BlockOutput",
    "GraphBlock",
    "GraphStage",
    "Output",
    "SpaceTimeGraph",
    "State",
    "detached",
]


class State(NamedTuple):
    """All that a space-time graph carries from one piece of a clip to the next."""

    nodes: NodeState | None
    """``None`` where graphs came without an extractor (:meth:`SpaceTimeGraph.process`)."""
    schedule: tuple[str, ...]
    """The schedule that it belongs to."""
    layers: tuple[Any, ...]
    """One entry a place of the schedule; ``None`` where a layer has no state."""


torch.serialization.add_safe_globals([State])


def detached(state: Any) -> Any:
    """Cut a state off the gradients behind it, for training on a stream piece by piece.

    Args:
        state: any state of this library: tuples, lists and dictionaries with tensors inside.

    Examples:
        >>> import torch
        >>> detached((torch.ones(1, requires_grad=True) * 2, 3))
        (tensor([2.]), 3)
    """
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, dict):
        return {key: detached(value) for key, value in state.items()}
    if isinstance(state, (tuple, list)):
        values = [detached(value) for value in state]
        return type(state)(*values) if hasattr(state, "_fields") else type(state)(values)
    return state


class Output(NamedTuple):
    """What a space-time graph returns."""

    x: Tensor
    graph: Batch
    state: State


class SpaceTimeGraph(nn.Module):
    r"""Extract nodes, then run layers over them in the order of a schedule.

    RSTG and DyReG are schedules: K rounds of a time stage and a space stage, then a
    last time stage, ``("time", "space") * K + ("last",)``. A name that stands again shares its
    parameters; its state belongs to the place, so each of the K time stages has a memory of its
    own. Since space stages work inside a frame, running each time stage over the whole clip is the
    same as going frame by frame.

    Args:
        nodes: the node extractor.
        layers: layers by name. A :class:`~stgraph.layers.TemporalLayer` runs along time; any other
            module is called as ``layer(x, graph)``.
        schedule: names of layers, in the order in which they run.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`Output` of ``x [V, D]``, a ``Batch`` of B·T frame
        graphs, and the :class:`State`. Passing the state back in continues the clips: the same
        frames in pieces give the same result as at once.

    Raises:
        InputError: on a name that no layer has, a layer that the schedule never runs, or widths
            that do not fit.

    Examples:
        >>> import torch
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.layers import SpaceLayer, TimeLayer
        >>> from stgraph.nodes import GridNodes
        >>> net = SpaceTimeGraph(
        ...     nodes=GridNodes(channels=8, scales=(2, 1), edges=FullEdges()),
        ...     layers={"time": TimeLayer(torch.nn.GRU(8, 8)), "space": SpaceLayer(8)},
        ...     schedule=("time", "space") * 3,
        ... )
        >>> x, graph, state = net(torch.randn(2, 4, 8, 5, 7))
        >>> tuple(x.shape), graph.num_graphs, len(state.layers)
        ((40, 8), 8, 6)
    """

    causal = AsItsParts()
    """Whether a frame's output depends on this frame and earlier ones only."""

    def __init__(
        self, nodes: NodeExtractor, layers: Mapping[str, nn.Module], schedule: Sequence[str]
    ) -> None:
        super().__init__()
        if not isinstance(nodes, NodeExtractor):
            raise InputError("nodes", "a NodeExtractor", type(nodes).__name__)
        if isinstance(schedule, str):
            raise InputError("schedule", "a tuple of layer names", repr(schedule))
        for name in layers:
            if not name.isidentifier() or hasattr(nn.ModuleDict, name):
                raise InputError("layers", "names that a module can have", repr(name))
        for name in schedule:
            if name not in layers:
                raise InputError("schedule", f"names among {sorted(layers)}", repr(name))
        if unused := sorted(set(layers) - set(schedule)):
            raise InputError("layers", "layers that the schedule names", f"{unused} too")
        self.nodes = nodes
        self.layers = nn.ModuleDict(layers)
        self.schedule = tuple(schedule)
        self.in_channels = nodes.channels
        width = nodes.out_channels
        for name in self.schedule:
            layer = self.layers[name]
            comes = getattr(layer, "in_channels", getattr(layer, "channels", width))
            if comes != width:
                raise InputError(f"layers[{name!r}]", f"{width} channels in", comes)
            made = getattr(layer, "out_channels", None)
            width = made if isinstance(made, int) else width  # PyG's own layers may leave it out
            bare = "edge_index" in signature(layer.forward).parameters
            if bare and isinstance(layer, MessagePassing):
                raise InputError(f"layers[{name!r}]", "a convolution inside a GraphConv", layer)
        self.out_channels: int = width

    def forward(
        self,
        features: Tensor,
        state: State | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> Output:
        """Run extractor and schedule.

        Args:
            features: feature maps ``[B, T, C, H, W]``.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths.
            hints: further arguments for the extractor.

        Raises:
            InputError: on wrong features or a state that does not fit, naming what.
        """
        self._check(state)
        if state is not None and state.nodes is None:
            raise InputError("state", "a State of nodes and layers", "one without nodes")
        seen = None if state is None else state.nodes
        graph, nodes = self.nodes(features, seen, frame_mask, **hints)
        x, states = self._run(graph, state)
        return Output(x, graph, State(nodes, self.schedule, states))

    def process(self, graph: Batch, state: State | None = None) -> Output:
        """Run the schedule on frame graphs that are there already, without the extractor.

        Args:
            graph: frame graphs as the extractor makes them, with edges; stored ones for example.
            state: what an earlier piece of the same clips returned.

        Returns:
            The same as the call on the features that the graphs were made of, but that the state
            knows nothing of the extractor: it goes on with graphs alone.

        Raises:
            InputError: on a graph of another width, or a state that does not fit, naming what.
        """
        layout_of(graph)
        channels("graph.x", graph.x, self.nodes.out_channels)
        self._check(state, "layers")
        x, states = self._run(graph, state)
        return Output(x, graph, State(None, self.schedule, states))

    def _check(self, state: State | None, part: str | None = None) -> None:
        """Refuse a state that is no state of these layers, or that they cannot go on with."""
        if state is None:
            return
        refuse_state(self, state, part)
        came = state.schedule if isinstance(state, State) else type(state).__name__
        if came != self.schedule:
            raise InputError("state", f"a State of {self.schedule}", came)
        length = len(state.layers) if isinstance(state.layers, tuple) else None
        if length != len(self.schedule):
            expected = f"a State of {len(self.schedule)} layers"
            raise InputError("state", expected, length or type(state.layers).__name__)

    def _run(self, graph: Batch, state: State | None) -> tuple[Tensor, tuple[Any, ...]]:
        """Run the schedule on the nodes of a graph: their features, and a state a place."""
        x, states = graph.x, []
        for place, name in enumerate(self.schedule):
            layer = self.layers[name]
            after = None
            if isinstance(layer, TemporalLayer):
                before = None if state is None else state.layers[place]
                x, after = layer(x, graph, before)
                if state is not None and before is None and after is not None:
                    raise InputError("state", f"the state of {name!r} at place {place}", "None")
            else:
                x = layer(x, graph)
            states.append(after)
        return x, tuple(states)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"schedule={self.schedule}"


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
        clips, frames = check_features(features, self.channels)[:2]
        mask = check_frame_mask(frame_mask, clips, frames)
        if self.net.causal:  # it refuses a state itself otherwise
            refuse_state(self, state)
        inner = put_frames(self.project_in(take_frames(features, mask)), mask, clips)
        x, graph, state = self.net(inner, state, mask, **hints)
        maps = self.project_out(take_frames(self.remap(x, graph), mask))  # [F, C, H, W]
        return BlockOutput(put_frames(maps, mask, clips), x, graph, state)


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
        out = super().forward(features, state, frame_mask, **hints)
        mask = check_frame_mask(frame_mask, *features.shape[:2])
        added = self.norm(out.features) if mask is None else _each(self.norm, out.features, mask)
        return out._replace(features=features + added)


def _each(norm: nn.Module, maps: Tensor, mask: Tensor) -> Tensor:
    """A norm of the frames that each clip has, which may look at all of them; 0 elsewhere."""
    if not bool(mask.any()):
        return torch.zeros_like(maps)
    clips = zip(maps, mask.to(maps.device, non_blocking=True), strict=True)
    own = [norm(clip[there][None])[0] for clip, there in clips if bool(there.any())]
    return put_frames(torch.cat([maps[0, :0], *own]), mask, len(mask))  # there may be no frame
