"""What a node extractor is: regions in, frame graphs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, integer, shape
from stgraph.edges import EdgeBuilder
from stgraph.graph import Layout, frame_graphs
from stgraph.kernels import normalise, pool

__all__ = ["NodeExtractor", "NodeState", "Regions"]


_RESERVED = {"node_id", "time", "ptr", "layout", "size", "num_nodes", "edge_attr"}


@dataclass(frozen=True)
class Regions:
    """All that the author of an extractor has to produce.

    Args:
        kernel: pooling weights ≥ 0 ``[B, T, N, H, W]``, not normalised.
        box: boxes (x1, y1, x2, y2) ``[B, T, N, 4]`` in 0..1 of the frame.
        mask: which nodes are present ``[B, T, N]`` (bool); ``None`` when all are.
        x: node features ``[B, T, N, D]`` for nodes that are not pooled with the kernel.
        extra: further node fields by name ``[B, T, N, …]``; they ride along in the graph.
    """

    kernel: Tensor
    box: Tensor
    mask: Tensor | None = None
    x: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)


class NodeState(NamedTuple):
    """What an extractor carries from one piece of a clip to the next."""

    clock: int
    """Frames seen so far."""
    regions: Any
    """What :meth:`NodeExtractor.regions` returned, or ``None``."""


class NodeExtractor(nn.Module, ABC):
    r"""Turns feature maps into frame graphs: ``(features, state=None, **hints) → (graph, state)``.

    A subclass writes :meth:`regions`; pooling, batching, edges, the clock and the checks are here.
    Node features are pooled with the normalised kernel,
    :math:`v_n = \sum_p K_n(p)\, x(p) / \sum_p K_n(p)`, unless the regions bring features.

    Args:
        channels: C, channels of the feature maps.
        edges: edge builder; without one the graphs have no edges.

    Shapes:
        features ``[B, T, C, H, W]`` → a ``Batch`` of B·T frame graphs (see :mod:`stgraph.graph`).

    Examples:
        One file makes an extractor:

        >>> import torch
        >>> class Whole(NodeExtractor):
        ...     def regions(self, features, state=None):
        ...         b, t, _, h, w = features.shape
        ...         box = features.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(b, t, 1, 4)
        ...         return Regions(features.new_ones(b, t, 1, h, w), box), None
        >>> graph, state = Whole(channels=8)(torch.ones(2, 3, 8, 4, 4))
        >>> graph.num_graphs, tuple(graph.x.shape), state.clock
        (6, (6, 8), 3)
    """

    causal: bool = True
    """Whether a frame's regions depend on this frame and earlier ones only."""

    def __init__(self, channels: int, edges: EdgeBuilder | None = None) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        if edges is not None and not callable(edges):
            raise InputError("edges", "an edge builder such as FullEdges()", repr(edges))
        self.edges = edges

    @property
    def out_channels(self) -> int:
        """Width D of the node features that come out."""
        return self.channels

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Arguments that the extractor needs beside ``features``: what the contract tests pass."""
        return {}

    @abstractmethod
    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """Find the regions in ``features [B, T, C, H, W]``, and the state to go on with.

        Hints of the caller (boxes of a detector, say) come as further keyword arguments; a
        subclass that takes them names them.
        """

    def forward(
        self, features: Tensor, state: NodeState | None = None, **hints: Any
    ) -> tuple[Batch, NodeState]:
        """Build the frame graphs of ``features [B, T, C, H, W]``.

        Raises:
            InputError: on features of another shape or type, and on a state where the whole clip
                is needed (``causal`` is false).
        """
        sizes = shape("features", features, f"B T {self.channels} H W")
        clips, frames, _, height, width = sizes
        if 0 in sizes:
            raise InputError("features", "no size of 0", list(sizes))
        if not features.is_floating_point():
            raise InputError("features", "a floating-point tensor", features.dtype)
        if state is not None and not isinstance(state, NodeState):
            raise InputError("state", "the NodeState of an earlier call", type(state).__name__)
        clock, inner = (0, None) if state is None else state
        if state is not None and not self.causal:
            raise InputError(
                "state", f"None: {type(self).__name__} needs the whole clip at once", "a state"
            )
        regions, inner = self.regions(features, inner, **hints)
        nodes = shape("kernel", regions.kernel, f"{clips} {frames} N {height} {width}")[2]
        shape("box", regions.box, f"{clips} {frames} {nodes} 4")
        kernel, mass = normalise(regions.kernel)
        kernel = kernel.to(features.dtype)
        x = pool(features, kernel) if regions.x is None else regions.x  # [B, T, N, D]
        shape("x", x, f"{clips} {frames} {nodes} {self.out_channels}")
        fields = {
            "x": x,
            "pos": (regions.box[..., :2] + regions.box[..., 2:]) / 2,
            "box": regions.box,
            "kernel": kernel,
            "mass": mass,
        }
        for name in regions.extra:
            if name in _RESERVED | set(fields) or "index" in name or "batch" in name:
                # PyG renumbers fields called …index… or …batch… when graphs are batched.
                raise InputError("extra", "fields with names of their own", repr(name))
        fields |= regions.extra
        layout = Layout(clips, frames, nodes, height, width)
        graph = frame_graphs(fields, layout, regions.mask, clock)
        if self.edges is not None:
            graph = self.edges(graph)
        return graph, NodeState(clock + frames, inner)
