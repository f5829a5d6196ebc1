"""DyReG: regions that the network places itself, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from stgraph.checks import InputError, positive
from stgraph.edges import EdgeBuilder
from stgraph.kernels import AxisProfile, tent
from stgraph.nodes.base import Regions
from stgraph.nodes.generators import LargeGenerator, check_generator
from stgraph.nodes.window_regions import WindowRegions, gates
from stgraph.nodes.windows import WindowRule, Windows, centre_anchors
from stgraph.padding import put_frames, take_frames
from stgraph.recurrence import Memory, Recurrent, check_cell, scan

__all__ = ["DynamicRegions"]


class DynamicRegions(WindowRegions, Recurrent):
    r"""Dynamic regions with a differentiable kernel (DyReG, region generation).

    A generator describes N regions of the frame, a cell follows each over time, and a linear map
    says how far its window is from its anchor and from its initial size:

    .. math::
        d = \mathrm{norm}(g(x_t)), \quad z = \mathrm{norm}(\mathrm{GRU}(d)), \quad
        (o_h, o_w, Δ_y, Δ_x) = α ⊙ (W z + b)

    :class:`Windows` turns that into a centre and a half-size, and the kernel's profile into pooling
    weights. The gate α is 0 at the start, so every region starts at its anchor with the initial
    size; it is shared by the regions.

    DyReG's "lite" regions have a :class:`SmallGenerator`; its "position-only" ones have
    ``windows=FixedSizeWindows()``. The graph gets one field more, ``window [V, 4]``: see
    :class:`WindowRegions`.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, regions.
        edges: edge builder.
        generator: module ``[F, C, H, W] → [F, N, D]`` with ``out_channels`` D; by default a
            :class:`LargeGenerator` for maps of 16×16 (others are pooled to that size first).
        cell: ``torch.nn.GRU`` or ``torch.nn.LSTM`` of D inputs and outputs; a GRU by default.
        profile: profile of the kernel on an axis.
        windows: rule for sizes and centres; the official code's by default.
        anchors: function from N to anchors ``[N, 2]`` (row, column) in 0..1.
        alpha: initial gates of (o_h, o_w, Δ_y, Δ_x). At exactly 0, as in the paper, nothing
            upstream of the gate learns in the very first step.
        eps: ε of its norms.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes.

    Examples:
        >>> import torch
        >>> graph, _ = DynamicRegions(channels=32)(torch.randn(2, 4, 32, 16, 16))
        >>> graph.window[0]  # untrained: the initial size, at the centre
        tensor([4.6667, 4.6667, 8.0000, 8.0000], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        generator: nn.Module | None = None,
        cell: nn.Module | None = None,
        profile: AxisProfile = tent,
        windows: WindowRule | None = None,
        anchors: Callable[[int], Tensor] = centre_anchors,
        alpha: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        eps: float = 1e-5,
    ) -> None:
        rule = Windows() if windows is None else windows
        super().__init__(channels, num_nodes, edges, profile, rule, anchors)
        self.generator = LargeGenerator(channels, num_nodes) if generator is None else generator
        width = check_generator(self.generator, channels, num_nodes)
        positive("eps", eps)
        self.norm_in = nn.GroupNorm(1, width, eps)  # over (nodes, width) of a frame
        self.rnn = check_cell("cell", nn.GRU(width, width) if cell is None else cell)
        if (self.rnn.input_size, self.rnn.hidden_size) != (width, width):
            sizes = f"{self.rnn.input_size} inputs and {self.rnn.hidden_size} outputs"
            raise InputError("cell", f"one of {width} inputs and outputs", sizes)
        self.norm_out = nn.GroupNorm(1, width, eps)
        self.offset = nn.Linear(width, 4)
        self.alpha = gates(alpha)

    def predict(
        self, features: Tensor, memory: Memory | None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """Offsets ``[B, T, N, 4]`` of all windows, before the rule of sizes and centres."""
        clips, frames = features.shape[:2]
        described = self.generator(take_frames(features, frame_mask))  # [B·T, N, D]
        described = self.norm_in(described.transpose(1, 2)).transpose(1, 2)
        described = put_frames(described, frame_mask, clips)  # [B, T, N, D]
        lengths = None if frame_mask is None else frame_mask.sum(dim=1).tolist()
        followed, memory = scan(self.cell_of("rnn"), described, memory, lengths=lengths)
        followed = self.norm_out(followed.flatten(0, 1).transpose(1, 2)).transpose(1, 2)
        return self.alpha * self.offset(followed).unflatten(0, (clips, frames)), memory

    def regions(
        self, features: Tensor, state: Memory | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Regions, Memory]:
        """Place the windows; the state is the cell's memory."""
        offset, memory = self.predict(features, state, frame_mask)
        return self.place(offset, features), memory
