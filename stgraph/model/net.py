"""The space-time graph, its schedule and its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from stgraph.causality import AsItsParts, refuse_state
from stgraph.checks import InputError, channels
from stgraph.graph import layout_of
from stgraph.layers import TemporalLayer
from stgraph.nodes import NodeExtractor, NodeState

__all__ = ["Output", "SpaceTimeGraph", "State", "detached"]


class State(NamedTuple):
    """All that a space-time graph carries from one piece of a clip to the next."""

    nodes: NodeState | None
    """``None`` where graphs came without an extractor (:meth:`SpaceTimeGraph.process`)."""
    schedule: tuple[str, ...]
    """The schedule that it belongs to."""
    layers: tuple[Any, ...]
    """One entry a place of the schedule; ``None`` where a layer has no state."""


# Also by the name under which states were saved before it had a file of its own.
torch.serialization.add_safe_globals([State, (State, "stgraph.model.State")])


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
