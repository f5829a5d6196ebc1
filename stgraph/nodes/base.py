"""What a node extractor is: regions in, frame graphs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from stgraph.causality import AsItsParts
from stgraph.checks import InputError, accepts, integer, shape
from stgraph.edges import EdgeBuilder
from stgraph.graph import Layout, frame_graphs
from stgraph.kernels import normalise, pool

__all__ = ["NodeExtractor", "NodeState", "Regions", "check_features"]


_RESERVED = {"node_id", "time", "ptr", "layout", "edge_attr", "face"}


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
    nodes: int | None = None
    """N of the pieces so far, which the next ones have too."""


torch.serialization.add_safe_globals([NodeState])


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

    causal: bool = AsItsParts()  # type: ignore[assignment]
    """Whether a frame's regions depend on this frame and earlier ones only."""

    check: bool = True
    """Whether values are checked on the CPU: finite features, kernels ≥ 0, boxes in 0..1."""

    of_one_number: str = ""
    """Advice to those whose pieces of a clip have different numbers of nodes."""

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

    def takes(self, hint: str) -> bool:
        """Whether :meth:`regions` takes an argument of this name."""
        return accepts(self.regions, hint)

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
        clips, frames, _, height, width = check_features(features, self.channels)
        clock, before = self._before(state)
        if unknown := [name for name in hints if not self.takes(name)]:
            raise InputError("hints", f"what {type(self).__name__} takes", unknown)
        regions, after = _two(self, self.regions(features, before, **hints))
        if state is not None and (before is None) != (after is None):
            raise InputError("state", f"what {type(self).__name__} returned", "another's")
        nodes = shape("kernel", regions.kernel, f"{clips} {frames} N {height} {width}")[2]
        if not nodes:
            raise InputError("kernel", "at least one node", list(regions.kernel.shape))
        if state is not None and state.nodes not in (None, nodes):
            expected = f"{state.nodes} identities, as in the earlier pieces{self.of_one_number}"
            raise InputError("nodes", expected, nodes)
        shape("box", regions.box, f"{clips} {frames} {nodes} 4")
        kernel, mass = normalise(regions.kernel)
        kernel = kernel.to(features.dtype)
        x = pool(features, kernel) if regions.x is None else regions.x  # [B, T, N, D]
        shape("x", x, f"{clips} {frames} {nodes} {self.out_channels}")
        if regions.mask is not None:
            shape("mask", regions.mask, f"{clips} {frames} {nodes}")
            if regions.mask.dtype != torch.bool:
                raise InputError("mask", "a tensor of bool", regions.mask.dtype)
        if self.check:
            _check_values(features, regions, x)
        fields = {
            "x": x,
            "pos": (regions.box[..., :2] + regions.box[..., 2:]) / 2,
            "box": regions.box,
            "kernel": kernel,
            "mass": mass,
        }
        for name, value in regions.extra.items():
            if not isinstance(value, Tensor):
                raise InputError(name, "a tensor [B, T, N, ...]", type(value).__name__)
            taken = name in _RESERVED | set(fields) or hasattr(Data, name)
            if taken or "index" in name or "batch" in name:
                # PyG renumbers fields called …index… or …batch… (and face) when graphs are batched.
                raise InputError("extra", "fields with names of their own", repr(name))
        fields |= regions.extra
        layout = Layout(clips, frames, nodes, height, width)
        graph = frame_graphs(fields, layout, regions.mask, clock)
        if self.edges is not None:
            graph = self.edges(graph)
        return graph, NodeState(clock + frames, after, nodes)

    def _before(self, state: NodeState | None) -> tuple[int, Any]:
        """The clock and what :meth:`regions` returned last."""
        if state is None:
            return 0, None
        if not isinstance(state, NodeState) or not isinstance(state.clock, int):
            raise InputError("state", "the NodeState of an earlier call", repr(type(state)))
        if not self.causal:
            whole = f"None: {type(self).__name__} needs the whole clip at once"
            raise InputError("state", whole, "a state")
        return state.clock, state.regions


def check_features(features: Tensor, channels: int) -> tuple[int, ...]:
    """Check feature maps ``[B, T, C, H, W]`` and return their sizes.

    Raises:
        InputError: on another shape, an empty size, or a type that is not of real numbers.
    """
    sizes = shape("features", features, f"B T {channels} H W")
    if 0 in sizes:
        raise InputError("features", "no size of 0", list(sizes))
    if not features.is_floating_point():
        raise InputError("features", "a floating-point tensor", features.dtype)
    return sizes


def _two(extractor: NodeExtractor, found: Any) -> tuple[Regions, Any]:
    """What :meth:`NodeExtractor.regions` returned, if it is what it should."""
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Regions):
        name = f"regions of {type(extractor).__name__}"
        raise InputError(name, "(Regions, state)", type(found).__name__)
    return found


@torch.compiler.disable
def _check_values(features: Tensor, regions: Regions, x: Tensor) -> None:
    """On the CPU, find what would spoil a graph; on a GPU it would wait for the device."""
    if x.device.type != "cpu":
        return
    kernel, box, x = regions.kernel.detach(), regions.box.detach(), x.detach()
    if regions.mask is not None:  # whatever stands for an absent node is never read
        kernel, box, x = (value[regions.mask] for value in (kernel, box, x))
    if bool((kernel < 0).any()):
        raise InputError("kernel", "weights ≥ 0", f"{float(kernel.min()):g}")
    if bool(x.isfinite().all()) and bool(kernel.isfinite().all()):
        low, high = box[..., :2], box[..., 2:]
        if not bool(((low >= 0) & (low <= high) & (high <= 1)).all()):
            raise InputError("box", "(x1, y1, x2, y2) in 0..1, x1 ≤ x2 and y1 ≤ y2", "others")
        return
    # The reason is looked for only when there is something to look for.
    named = {"features": features, "kernel": kernel, "x": x}
    name = next(name for name, value in named.items() if not bool(value.isfinite().all()))
    raise InputError(name, "finite values", "NaN or infinity")
