"""The space-time graph, its schedule and state, and the graph block that puts it into a CNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, integer, shape
from stgraph.layers import Readout, Remap, RunningMean, TemporalLayer, mean_over_time
from stgraph.nodes import NodeExtractor, NodeState

__all__ = [
    "Answer",
    "BlockOutput",
    "GraphBlock",
    "GraphClassifier",
    "MapClassifier",
    "Output",
    "SpaceTimeGraph",
    "State",
    "VideoClassifier",
    "detached",
]


class State(NamedTuple):
    """All that a space-time graph carries from one piece of a clip to the next."""

    nodes: NodeState
    schedule: tuple[str, ...]
    """The schedule that it belongs to."""
    layers: tuple[Any, ...]
    """One entry a place of the schedule; ``None`` where a layer has no state."""


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
        self.out_channels: int = width

    @property
    def causal(self) -> bool:
        """Whether a frame's output depends on this frame and earlier ones only."""
        layers = (layer for layer in self.layers.values() if isinstance(layer, TemporalLayer))
        return self.nodes.causal and all(layer.causal for layer in layers)

    def forward(self, features: Tensor, state: State | None = None, **hints: Any) -> Output:
        """Run extractor and schedule.

        Args:
            features: feature maps ``[B, T, C, H, W]``.
            state: what an earlier piece of the same clips returned.
            hints: further arguments for the extractor.

        Raises:
            InputError: on wrong features or a state that does not fit, naming what.
        """
        if state is not None:
            if not self.causal:
                late = [n for n, m in self.named_modules() if getattr(m, "causal", True) is False]
                parts = [name for name in late if name] or ["nodes"]
                raise InputError("state", f"None: {parts} need the whole clip at once", "a state")
            came = state.schedule if isinstance(state, State) else type(state).__name__
            if came != self.schedule:
                raise InputError("state", f"a State of {self.schedule}", came)
        graph, nodes = self.nodes(features, None if state is None else state.nodes, **hints)
        x, states = graph.x, []
        for place, name in enumerate(self.schedule):
            layer = self.layers[name]
            after = None
            if isinstance(layer, TemporalLayer):
                before = None if state is None else state.layers[place]
                x, after = layer(x, graph, before)
            else:
                x = layer(x, graph)
            states.append(after)
        return Output(x, graph, State(nodes, self.schedule, tuple(states)))

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"schedule={self.schedule}"


class BlockOutput(NamedTuple):
    """What a graph block returns."""

    features: Tensor
    x: Tensor
    graph: Batch
    state: State


class GraphBlock(nn.Module):
    r"""A space-time graph as a residual block of a CNN, an identity at the start.

    .. math:: y = x + \mathrm{norm}_{γ=0}(W_{out}\, \mathrm{remap}(\mathrm{net}(x')), \quad
        x' = \mathrm{norm}(W_{in} x)

    The last norm is over (C, H, W) of a frame with scale and shift 0 at the start, so a block put
    into a trained CNN changes nothing before it is trained (RSTG, DyReG).

    Args:
        net: the space-time graph.
        channels: channels of the CNN's maps. If it differs from what the graph takes or makes,
            1×1 convolutions map in (followed by a norm) and out.
        remap: from nodes to maps; :class:`~stgraph.layers.Remap` by default.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`BlockOutput` with features of the same shape.
    """

    def __init__(
        self, net: SpaceTimeGraph, channels: int | None = None, remap: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.net = net
        self.channels = net.in_channels if channels is None else integer("channels", channels)
        self.remap = Remap() if remap is None else remap
        self.project_in: nn.Module = nn.Identity()
        self.project_out: nn.Module = nn.Identity()
        if self.channels != net.in_channels:
            self.project_in = nn.Sequential(
                nn.Conv2d(self.channels, net.in_channels, 1), nn.GroupNorm(1, net.in_channels)
            )
        if self.channels != net.out_channels:
            self.project_out = nn.Conv2d(net.out_channels, self.channels, 1)
        self.norm = nn.GroupNorm(1, self.channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor, state: State | None = None, **hints: Any) -> BlockOutput:
        """Run the block.

        Raises:
            InputError: on features of another shape, or a state that does not fit.
        """
        clips, frames = shape("features", features, f"B T {self.channels} H W")[:2]
        inner = self.project_in(features.flatten(0, 1)).unflatten(0, (clips, frames))
        x, graph, state = self.net(inner, state, **hints)
        maps = self.project_out(self.remap(x, graph).flatten(0, 1))  # [B·T, C, H, W]
        added = self.norm(maps).unflatten(0, (clips, frames))
        return BlockOutput(features + added, x, graph, state)


class Answer(NamedTuple):
    """What a video classifier returns."""

    logits: Tensor
    """``[B, K]``, over all frames so far."""
    x: Tensor | None
    """Node features ``[V, D]`` of the (last) graph; ``None`` for a model without graphs."""
    graph: Batch | None
    state: Any


class VideoClassifier(nn.Module):
    """What a classifier of clips is: ``(video [B, T, c, H, W], state=None) → Answer``."""

    num_classes: int

    def forward(self, video: Tensor, state: Any = None, **hints: Any) -> Answer:
        """Classify clips, or go on with those that ``state`` comes from."""
        raise NotImplementedError


def _maps(module: nn.Module, video: Tensor) -> Tensor:
    """Run an image module on every frame: ``[B, T, …] → [B, T, …]``."""
    maps: Tensor = module(video.flatten(0, 1))
    return maps.reshape(*video.shape[:2], *maps.shape[1:])


class GraphClassifier(VideoClassifier):
    """CNN → space-time graph → vector → classes (RSTG-to-vec, the "serial" form).

    Args:
        backbone: image module ``[F, c, H', W'] → [F, C, H, W]``.
        net: the space-time graph.
        num_classes: K.
        readout: nodes to a vector.
    """

    def __init__(
        self,
        backbone: nn.Module,
        net: SpaceTimeGraph,
        num_classes: int,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.net = backbone, net
        self.num_classes = integer("num_classes", num_classes)
        self.readout = Readout() if readout is None else readout
        self.classifier = nn.Linear(net.out_channels, num_classes)

    def forward(
        self, video: Tensor, state: tuple[State, RunningMean] | None = None, **hints: Any
    ) -> Answer:
        """See :class:`VideoClassifier`."""
        shape("video", video, "B T C H W")
        inner, mean = (None, None) if state is None else state
        x, graph, after = self.net(_maps(self.backbone, video), inner, **hints)
        vector, mean = self.readout.accumulate(x, graph, mean)
        return Answer(self.classifier(vector), x, graph, (after, mean))


class MapClassifier(VideoClassifier):
    """A CNN with graph blocks between its stages; logits are averaged over frames (DyReG).

    Args:
        stages: image modules by name, in order; the last ends in a vector ``[F, C]``.
        blocks: graph blocks by the name of the stage that they follow; may be empty, which is the
            frame-average CNN.
        num_classes: K.
        channels: C, width of the vector.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        blocks: Mapping[str, GraphBlock],
        num_classes: int,
        channels: int,
    ) -> None:
        super().__init__()
        if unknown := sorted(set(blocks) - set(stages)):
            raise InputError("blocks", f"places among {list(stages)}", unknown)
        self.stages = nn.ModuleDict(stages)
        self.blocks = nn.ModuleDict(blocks)
        self.num_classes = integer("num_classes", num_classes)
        self.classifier = nn.Linear(integer("channels", channels), num_classes)

    def forward(
        self, video: Tensor, state: tuple[dict[str, State], RunningMean] | None = None, **hints: Any
    ) -> Answer:
        """See :class:`VideoClassifier`."""
        shape("video", video, "B T C H W")
        if hints and not len(self.blocks):
            raise InputError("hints", "none, since no block would read them", sorted(hints))
        inner, mean = ({}, None) if state is None else state
        maps, x, graph, after = video, None, None, {}
        for name, stage in self.stages.items():
            maps = _maps(stage, maps)
            if name in self.blocks:
                maps, x, graph, after[name] = self.blocks[name](maps, inner.get(name), **hints)
        logits, mean = mean_over_time(self.classifier(maps), mean)
        return Answer(logits, x, graph, (after, mean))
