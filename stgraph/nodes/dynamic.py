"""DyReG: regions that the network places itself, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, integer, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, separable, tent, window_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.nodes.generators import LargeGenerator
from stgraph.nodes.windows import Windows, centre_anchors
from stgraph.recurrence import Memory, scan

__all__ = ["DynamicRegions"]


class DynamicRegions(NodeExtractor):
    r"""Dynamic regions with a differentiable kernel (DyReG, region generation).

    A generator describes N regions of the frame, a GRU follows each over time, and a linear map
    says how far its window is from its anchor and from its initial size:

    .. math::
        d = \mathrm{norm}(g(x_t)), \quad z = \mathrm{norm}(\mathrm{GRU}(d)), \quad
        (o_h, o_w, Δ_y, Δ_x) = α ⊙ (W z + b)

    :class:`Windows` turns that into a centre and a half-size, and the kernel's profile into pooling
    weights. The gate α is 0 at the start, so every region starts at its anchor with the initial
    size; it is shared by the regions.

    The graph gets one field more, ``window [V, 4]``: half-height, half-width, centre row and centre
    column in cells, as the official code orders them.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions.
        edges: edge builder.
        generator: module ``[F, C, H, W] → [F, N, D]`` with ``out_channels`` D; by default a
            :class:`LargeGenerator` for maps of 16×16 (others are pooled to that size first).
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres; the official code's by default.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.
        alpha: initial gates of (o_h, o_w, Δ_y, Δ_x). At exactly 0, as in the paper, nothing
            upstream of the gate learns in the very first step.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes.

    Example:
        >>> graph, _ = DynamicRegions(channels=32)(torch.randn(2, 4, 32, 16, 16))
        >>> graph.window[0]  # untrained: the initial size, at the centre
        tensor([4.6667, 4.6667, 8.0000, 8.0000], grad_fn=<SelectBackward0>)
    """

    anchor: Tensor

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        generator: nn.Module | None = None,
        profile: AxisProfile = tent,
        windows: Windows | None = None,
        anchors: Callable[[int], Tensor] = centre_anchors,
        alpha: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = integer("num_nodes", num_nodes)
        if len(alpha) != 4:
            raise InputError("alpha", "4 gates (height, width, row, column)", list(alpha))
        self.generator = LargeGenerator(channels, num_nodes) if generator is None else generator
        for name, wanted in (("channels", channels), ("num_nodes", num_nodes)):
            made_for = getattr(self.generator, name, wanted)
            if made_for != wanted:
                raise InputError("generator", f"one of {name}={wanted}", f"{name}={made_for}")
        if not isinstance(width := getattr(self.generator, "out_channels", None), int):
            raise InputError("generator", "a module with `out_channels`", type(generator).__name__)
        self.profile = profile
        self.windows = Windows() if windows is None else windows
        self.norm_in = nn.GroupNorm(1, width)  # over (nodes, width) of a frame
        self.rnn = nn.GRU(width, width)
        self.norm_out = nn.GroupNorm(1, width)
        self.offset = nn.Linear(width, 4)
        self.alpha = nn.Parameter(torch.tensor([float(a) for a in alpha]))
        placed = anchors(num_nodes)
        shape("anchors", placed, f"{num_nodes} 2")
        self.register_buffer("anchor", placed, persistent=False)

    def predict(self, features: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Offsets ``[B, T, N, 4]`` of all windows, before the rule of sizes and centres."""
        clips, frames = features.shape[:2]
        described = self.generator(features.flatten(0, 1))  # [B·T, N, D]
        described = self.norm_in(described.transpose(1, 2)).transpose(1, 2)
        followed, memory = scan(self.rnn, described.unflatten(0, (clips, frames)), memory)
        followed = self.norm_out(followed.flatten(0, 1).transpose(1, 2)).transpose(1, 2)
        return self.alpha * self.offset(followed).unflatten(0, (clips, frames)), memory

    def regions(self, features: Tensor, state: Memory | None = None) -> tuple[Regions, Memory]:
        """Place the windows; the state is the GRU's memory."""
        height, width = features.shape[-2:]
        offset, memory = self.predict(features, state)
        # Positions in cells need more than the 8 bits of bfloat16's mantissa.
        offset = offset.to(torch.promote_types(offset.dtype, torch.float32))
        centre, size = self.windows(offset, self.anchor, height, width)
        return Regions(
            kernel=separable(self.profile, centre, size, height, width),
            box=window_box(centre, size, height, width),
            extra={"window": torch.cat([size, centre], dim=-1)},
        ), memory

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        profile = getattr(self.profile, "__name__", repr(self.profile))
        return f"{self.channels}, num_nodes={self.num_nodes}, profile={profile}, {self.windows}"
