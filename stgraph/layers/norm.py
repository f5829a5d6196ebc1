"""Normalisation over all nodes, or all messages, of a frame; of each alone; of a clip's nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch
from torch_geometric.utils import scatter

from stgraph.checks import InputError, integer, positive
from stgraph.graph import Layout, clips_of, frame_of, layout_of, slots
from stgraph.layers.base import TemporalLayer
from stgraph.precision import precise

__all__ = ["ClipNorm", "FrameNorm", "NodeNorm", "RowNorm"]


class FrameNorm(nn.Module):
    r"""Layer normalisation over the rows and channels of a frame, with a scale a channel.

    .. math:: y = \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + ε}} ⊙ γ + β

    Mean and variance are those of one frame: over its nodes, (N, C), or over its messages,
    (N, N, C), as in the official code of DyReG. No parameter depends on N. It is PyG's
    ``LayerNorm(mode="graph")`` with a dense form of the same numbers.

    Args:
        channels: C.
        eps: ε.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = integer("channels", channels), positive("eps", eps)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, frame: Tensor, frames: int) -> Tensor:
        """Rows ``x [R, C]`` that belong to ``frame [R]``, a number under ``frames``."""
        rows = precise(x)

        def mean(value: Tensor) -> Tensor:  # [R, C] → mean of the row's frame [R, 1]
            per_row = value.mean(dim=-1)
            per_frame: Tensor = scatter(per_row, frame, 0, frames, "mean")
            return per_frame.index_select(0, frame)[:, None]

        centred = rows - mean(rows)
        return self._scale(centred * (mean(centred.square()) + self.eps).rsqrt(), x)

    def dense(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames ``x [G, …, C]``; of the rows only those in ``mask [G, …]`` count."""
        if mask is None:
            sizes = list(x.shape[1:])
            scale, shift = self.weight.expand(sizes), self.bias.expand(sizes)
            return F.layer_norm(x, sizes, scale, shift, self.eps)
        rows = precise(x)
        weight = mask.to(rows.dtype)[..., None]
        over = tuple(range(1, x.dim()))
        count = (weight.sum(dim=over, keepdim=True) * x.size(-1)).clamp_min(1)
        centred = rows - (rows * weight).sum(dim=over, keepdim=True) / count
        variance = (centred.square() * weight).sum(dim=over, keepdim=True) / count
        normed = centred * (variance + self.eps).rsqrt()
        # Other rows have another scale, and could overflow a half: their 0 weights would make NaN.
        return self._scale(normed.masked_fill(~mask[..., None], 0), x)

    def _scale(self, normed: Tensor, like: Tensor) -> Tensor:
        return (normed * self.weight + self.bias).to(like.dtype)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, eps={self.eps}"


class RowNorm(FrameNorm):
    r"""Layer normalisation of every row by itself: of a node, or of a message.

    .. math:: y = \frac{x - \mathrm{E}_c[x]}{\sqrt{\mathrm{Var}_c[x] + ε}} ⊙ γ + β

    It stands where a :class:`FrameNorm` does, ``ConcatSend(channels, norm=RowNorm)``. There all
    rows of a frame have one scale, so that some of them are louder than others; here each has its
    own. Of no paper. As a layer of a schedule take ``PerNode(torch.nn.LayerNorm(channels))``.

    Args:
        channels: C.
        eps: ε.
    """

    def forward(self, x: Tensor, frame: Tensor, frames: int) -> Tensor:
        """Rows ``x [R, C]``, whatever their frames."""
        return self.dense(x)

    def dense(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Rows ``x […, C]``; what stands for one that is absent is never read."""
        return F.layer_norm(x, (x.size(-1),), self.weight, self.bias, self.eps)


class NodeNorm(FrameNorm):
    """:class:`FrameNorm` over the nodes of every frame, as a layer of a schedule."""

    def forward(self, x: Tensor, graph: Batch) -> Tensor:  # type: ignore[override]
        """Normalise ``x [V, C]`` frame by frame."""
        layout = _rows_of(x, graph)
        if slots(graph) is None:
            frames = x.reshape(layout.graphs, layout.nodes, x.size(1))
            return self.dense(frames).flatten(0, 1)
        return super().forward(x, frame_of(graph), layout.graphs)


class ClipNorm(FrameNorm, TemporalLayer):
    r""":class:`FrameNorm` over the nodes of every clip, (T, N, C), as a layer of a schedule.

    .. math:: y = \frac{x - \mathrm{E}_{t,n,c}[x]}{\sqrt{\mathrm{Var}_{t,n,c}[x] + ε}} ⊙ γ + β

    The official code of RSTG has it ahead of the rounds, with ε = 1e-12. A frame sees later ones
    through it, so it needs the whole clip at once.

    Args:
        channels: C.
        eps: ε.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; there is no state.
    """

    causal = False

    def forward(  # type: ignore[override]
        self, x: Tensor, graph: Batch, state: None = None
    ) -> tuple[Tensor, None]:
        """Normalise ``x [V, C]`` clip by clip.

        Raises:
            InputError: on another number of rows, or when a state is passed.
        """
        if state is not None:
            raise InputError("state", "None: ClipNorm needs the whole clip", "a state")
        layout = clips_of(graph)
        _rows_of(x, graph)
        if layout.exists is None and slots(graph) is None:
            clips = x.reshape(layout.clips, layout.frames * layout.nodes, -1)
            return self.dense(clips).flatten(0, 1), None
        number = torch.arange(layout.clips).repeat_interleave(torch.tensor(layout.lengths))
        clip = number.to(x.device, non_blocking=True)[frame_of(graph)]
        return FrameNorm.forward(self, x, clip, layout.clips), None


def _rows_of(x: Tensor, graph: Batch) -> Layout:
    """The sizes of the graph, whose nodes the rows of ``x`` must be."""
    layout, rows = layout_of(graph), graph.node_id.size(0)
    if x.size(0) != rows:
        raise InputError("x", f"[{rows}, ...] (a row a node)", list(x.shape))
    return layout
