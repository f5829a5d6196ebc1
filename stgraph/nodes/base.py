"""What a node extractor is: regions in, frame graphs out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from stgraph.causality import AsItsParts
from stgraph.checks import InputError, accepts, filled_shape, integer, shape
from stgraph.edges import EdgeBuilder
from stgraph.graph import Layout, frame_graphs
from stgraph.kernels import normalise, pool
from stgraph.nodes.alone import Alone, each_alone
from stgraph.nodes.regions import Regions
from stgraph.padding import align, check_frame_mask, front

__all__ = ["NodeExtractor", "NodeState", "Regions", "check_features"]


_RESERVED = {"node_id", "time", "ptr", "layout", "edge_attr", "face"}


class NodeState(NamedTuple):
    """What an extractor carries from one piece of a clip to the next."""

    clock: int | tuple[int, ...]
    """Frames seen so far, of every clip where they differ."""
    regions: Any
    """What :meth:`NodeExtractor.regions` returned, or ``None``."""
    nodes: int | None = None
    """N of the pieces so far, which the next ones have too."""


torch.serialization.add_safe_globals([NodeState])


class NodeExtractor(nn.Module, ABC):
    r"""Turns feature maps into frame graphs: ``(features, state=None, **hints) → (graph, state)``.

    A subclass writes :meth:`regions`; pooling, batching, edges, the clock, the checks and clips of
    different lengths are here.
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

    @property
    def of_frames(self) -> bool:
        """Whether :meth:`regions` needs the frames of the video, as the hint ``frames``."""
        return False

    def takes(self, hint: str) -> bool:
        """Whether :meth:`regions` takes an argument of this name."""
        told: bool = _takes(self, hint)
        return told

    def example_hints(self, features: Tensor) -> dict[str, Any]:
        """Arguments that the extractor needs beside ``features``: what the contract tests pass."""
        return {}

    @abstractmethod
    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """Find the regions in ``features [B, T, C, H, W]``, and the state to go on with.

        Hints of the caller (boxes of a detector, say) come as further keyword arguments; a
        subclass that takes them names them.

        Of clips of different lengths the frames that exist come first, and behind them zeros, for
        which anything may be returned. A frame that looks at itself and at earlier ones alone is
        none the wiser. Where the whole clip is used, or a state is carried, clips are run one by
        one; a subclass that names the argument ``frame_mask``, ``[B, T]`` (bool) on the CPU or
        ``None``, gets them at once instead, and has to leave the others out itself.
        """

    def forward(
        self,
        features: Tensor,
        state: NodeState | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> tuple[Batch, NodeState]:
        """Build the frame graphs of clips.

        Args:
            features: feature maps ``[B, T, C, H, W]``.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths; all
                by default. The others are never read (see :mod:`stgraph.padding`).
            hints: what :meth:`regions` takes; tensors ``[B, T, …]`` among them go along with the
                frames.

        Raises:
            InputError: on features of another shape or type, on a mask of another one, and on a
                state where the whole clip is needed (``causal`` is false).
        """
        clips, frames, _, height, width = check_features(features, self.channels)
        clock, before = self._before(state, clips)
        if unknown := [name for name in hints if not self.takes(name)]:
            raise InputError("hints", f"what {type(self).__name__} takes", unknown)
        mask = check_frame_mask(frame_mask, clips, frames)
        if mask is not None:
            features = align(features, mask)
            hints = {name: _along(hint, mask) for name, hint in hints.items()}
        regions, after = self._find(features, before, mask, hints)
        if state is not None and (before is None) != (after is None):
            raise InputError("state", f"what {type(self).__name__} returned", "another's")
        nodes = shape("kernel", regions.kernel, clips, frames, "N", height, width)[2]
        if not nodes:
            raise InputError("kernel", "at least one node", list(regions.kernel.shape))
        if state is not None and state.nodes not in (None, nodes):
            expected = f"pieces of {state.nodes} identities, as before{self.of_one_number}"
            raise InputError("state", expected, nodes)
        shape("box", regions.box, clips, frames, nodes, 4)
        kernel, mass = normalise(regions.kernel)
        kernel = kernel.to(features.dtype)
        x = pool(features, kernel) if regions.x is None else regions.x  # [B, T, N, D]
        shape("x", x, clips, frames, nodes, self.out_channels)
        if regions.mask is not None:
            shape("mask", regions.mask, clips, frames, nodes)
            if regions.mask.dtype != torch.bool:
                raise InputError("mask", "a tensor of bool", regions.mask.dtype)
        if self.check and not torch.compiler.is_compiling():
            _check_values(features, regions, x, mask)
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
        exists = None if mask is None else tuple(map(tuple, mask.tolist()))
        layout = Layout(clips, frames, nodes, height, width, exists=exists)
        graph = frame_graphs(fields, layout, regions.mask, clock)
        if self.edges is not None:
            graph = self.edges(graph)
        return graph, NodeState(_later(clock, layout), after, nodes)

    def _find(
        self, features: Tensor, before: Any, mask: Tensor | None, hints: Mapping[str, Any]
    ) -> tuple[Regions, Any]:
        """Regions of aligned features, and the state to go on with."""
        regions: Callable[..., Any] = self.regions
        if mask is None and not isinstance(before, Alone):
            return _two(self, regions(features, before, **hints))
        if mask is not None and "frame_mask" in signature(regions).parameters:
            return _two(self, regions(features, before, frame_mask=front(mask), **hints))
        if self.causal and before is None:
            found, after = _two(self, regions(features, None, **hints))
            if after is None:  # frames behind the end changed nothing
                return found, None

        def one(features: Tensor, before: Any, **hints: Any) -> tuple[Regions, Any]:
            return _two(self, regions(features, before, **hints))

        lengths = [features.size(1)] * len(features) if mask is None else mask.sum(1).tolist()
        return each_alone(one, features, before, lengths, hints)

    def _before(self, state: NodeState | None, clips: int) -> tuple[int | tuple[int, ...], Any]:
        """The clock and what :meth:`regions` returned last."""
        if state is None:
            return 0, None
        clock = state.clock if isinstance(state, NodeState) else None
        if not isinstance(clock, (int, tuple)):
            raise InputError("state", "the NodeState of an earlier call", repr(type(state)))
        if isinstance(clock, tuple) and len(clock) != clips:
            raise InputError("state", f"one of {clips} clips", f"one of {len(clock)}")
        if not self.causal:
            whole = f"None: {type(self).__name__} needs the whole clip at once"
            raise InputError("state", whole, "a state")
        return clock, state.regions


@torch.compiler.assume_constant_result  # compilers do not always follow `inspect`
def _takes(extractor: NodeExtractor, hint: str) -> bool:
    return accepts(extractor.regions, hint)


def _later(clock: int | tuple[int, ...], layout: Layout) -> int | tuple[int, ...]:
    """The clock after the frames of a layout: one number where all clips have the same."""
    if layout.uneven is None and isinstance(clock, int):
        return clock + layout.frames
    before = (clock,) * layout.clips if isinstance(clock, int) else clock
    after = tuple(at + length for at, length in zip(before, layout.lengths, strict=True))
    return after[0] if len(set(after)) == 1 else after


def _along(hint: Any, mask: Tensor) -> Any:
    """A hint whose frames that exist come first, and 0 behind them."""
    if not isinstance(hint, Tensor) or hint.shape[:2] != mask.shape:
        return hint
    return align(hint, mask)


def check_features(features: Tensor, channels: int) -> tuple[int, ...]:
    """Check feature maps ``[B, T, C, H, W]`` and return their sizes.

    Raises:
        InputError: on another shape, an empty size, or a type that is not of real numbers.
    """
    sizes = filled_shape("features", features, "B T", channels, "H W")
    if not features.is_floating_point():
        raise InputError("features", "a floating-point tensor", features.dtype)
    return sizes


def _two(extractor: NodeExtractor, found: Any) -> tuple[Regions, Any]:
    """What :meth:`NodeExtractor.regions` returned, if it is what it should."""
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Regions):
        name = f"regions of {type(extractor).__name__}"
        raise InputError(name, "(Regions, state)", type(found).__name__)
    return found


def _check_values(features: Tensor, regions: Regions, x: Tensor, frames: Tensor | None) -> None:
    """On the CPU, find what would spoil a graph; on a GPU it would wait for the device."""
    if x.device.type != "cpu":
        return
    kernel, box, x = regions.kernel.detach(), regions.box.detach(), x.detach()
    mask = regions.mask
    if frames is not None:
        there = front(frames)[..., None].expand(x.shape[:3])
        mask = there if mask is None else mask & there
    if mask is not None:  # whatever stands for an absent node is never read
        kernel, box, x = (value[mask] for value in (kernel, box, x))
    least, most = _range(kernel)
    if least < 0:
        raise InputError("kernel", "weights ≥ 0", f"{least:g}")
    if all(map(math.isfinite, (least, most, *_range(x)))):
        low, high = box[..., :2], box[..., 2:]
        if not bool(((low >= 0) & (low <= high) & (high <= 1)).all()):
            raise InputError("box", "(x1, y1, x2, y2) in 0..1, x1 ≤ x2 and y1 ≤ y2", "others")
        return
    # The reason is looked for only when there is something to look for.
    named = {"features": features, "kernel": kernel, "x": x}
    name = next(name for name, value in named.items() if not bool(value.isfinite().all()))
    raise InputError(name, "finite values", "NaN or infinity")


def _range(x: Tensor) -> tuple[float, float]:
    """The least and the largest value, in one pass; NaN where there is one."""
    if not x.numel():
        return 0.0, 0.0
    least, most = x.aminmax()
    return float(least), float(most)
