"""Messages between nodes that move alike."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, channels, fraction, integer, positive, shape
from stgraph.graph import from_dense, in_clips, layout_of, newest, presence, slots, to_dense
from stgraph.layers.base import TemporalLayer
from stgraph.layers.space import SpaceLayer
from stgraph.precision import precise

__all__ = ["CommonFate", "Offsets"]

_UNSURE = 20.0
"""Of a logit of confidence, so that the weight of a pair, its square, is above 1e-18."""


class Offsets(NamedTuple):
    """What a :class:`CommonFate` remembers of every pair of nodes.

    Sums are of differences from the first offset, which are small where offsets hardly vary: a
    variance of what is small loses no digits, in however many frames.
    """

    weight: Tensor
    """Sums of weights ``[B, N, N]``."""
    first: Tensor
    """Offsets (x, y) when a pair was seen first ``[B, N, N, 2]``; 0 where it never was."""
    offset: Tensor
    """Weighted sums of offsets less the first ``[B, N, N, 2]``."""
    square: Tensor
    """Weighted sums of squared lengths of these ``[B, N, N]``."""


torch.serialization.add_safe_globals([Offsets])


class CommonFate(TemporalLayer):
    r"""Nodes hear those whose offset from them has not varied: what moves alike belongs together.

    A node of large mass and small area A of its box is confident of its place p: its frames count
    by :math:`w_{ij}^s = c_i^s c_j^s`, where both nodes are there, and by nothing where not.

    .. math::
        c_i^t &= σ\bigl(a \log m_i^t + b - s \log(1 + g^2 A_i^t)\bigr) \\
        D_{ij}^t &= \mathrm{Var}_{s ≤ t}^{w_{ij}}\bigl(p_i^s - p_j^s\bigr) \\
        K_{ij}^t &= e^{-e^{β} g^2 D_{ij}^t}\; σ(u · v_j^t + d), \quad j ∈ \mathcal{N}(i),\ j ≠ i \\
        v_i' &= \mathrm{norm}\Bigl(v_i + \mathrm{ReLU}\bigl(W\,[v_i,\, \sum_j K_{ij} v_j,\,
        \sum_j K_{ij}]\bigr)\Bigr)

    Two things that move alike keep their offset, wherever they go. Its variance is the better
    statistic beside differences of displacements: errors of single frames are averaged, and what
    differs adds up. K is no softmax, so a node that nobody moves with hears nothing, and that says
    something. Not in the papers; the principle is Wertheimer's (1923). Pairs of all nodes are
    looked at, so it is for graphs of some tens of nodes.

    a and b are ``confidence``, s is ``narrowness`` and β ``sharpness``; all are learnt.

    Nodes that lie on one thing keep their offset too, which says nothing. Where several may, as
    windows do that follow what they find, ``apart`` tells them from things that move alike: a pair
    whose mean offset so far, :math:`\mathrm{E}_{s ≤ t}^{w_{ij}}(p_i^s - p_j^s)`, is no longer
    than that has :math:`K_{ij}^t = 0`.

    Args:
        channels: C, width of the nodes.
        gain: g. Places are parts of the frame; a gain of some tens makes 1 of the error of a place.
        apart: distance, in parts of the frame, up to which two nodes are taken for one thing.

    Shapes:
        ``x [V, C]`` → ``[V, C]``; state :class:`Offsets`.

    Examples:
        Two of three nodes move alike, and hear each other alone:

        >>> from stgraph.edges import FullEdges
        >>> from stgraph.nodes import BoxNodes
        >>> moves = torch.tensor([[0.1, 0.1], [0.1, 0.1], [0.1, -0.2]])
        >>> starts = torch.tensor([[0.2, 0.2], [0.5, 0.3], [0.8, 0.5]])
        >>> centre = starts + torch.tensor([0.0, 1.0, -1.0])[:, None, None] * moves  # [T, N, 2]
        >>> boxes = torch.cat([centre - 0.05, centre + 0.05], dim=-1)[None]  # [1, 3, 3, 4]
        >>> graph, _ = BoxNodes(4, 3, edges=FullEdges())(torch.randn(1, 3, 4, 8, 8), boxes=boxes)
        >>> heard = CommonFate(4).weights(graph.x, graph)[-9:].view(3, 3) > 0.1
        >>> heard.int()
        tensor([[0, 1, 0],
                [1, 0, 0],
                [0, 0, 0]], dtype=torch.int32)
    """

    def __init__(self, channels: int, gain: float = 16.0, apart: float = 0.0) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.gain = positive("gain", gain)
        self.apart = fraction("apart", apart)
        self.confidence = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.narrowness = nn.Parameter(torch.tensor(1.0))
        self.sharpness = nn.Parameter(torch.tensor(1.0))
        self.source = nn.Linear(channels, 1)
        self.message = nn.Linear(2 * channels + 1, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(
        self, x: Tensor, graph: Batch, state: Offsets | None = None
    ) -> tuple[Tensor, Offsets]:
        """Let nodes of ``x [V, C]`` hear those that move alike.

        Raises:
            InputError: on another width, a graph without edges or places, or a state of another
                batch size, N or kind.
        """
        kernel, nodes, after = self._pairs(x, graph, state)
        heard = torch.cat([nodes, kernel @ nodes, kernel.sum(dim=-1, keepdim=True)], dim=-1)
        out = self.norm(nodes + self.message(heard).relu())
        return from_dense(out, graph), after

    def weights(self, x: Tensor, graph: Batch, state: Offsets | None = None) -> Tensor:
        """Weights K of the edges ``[E, 1]`` on the features ``x [V, C]`` that go into a round."""
        kernel = self._pairs(x, graph, state)[0]
        layout, place = layout_of(graph), slots(graph)
        rows = from_dense(kernel, graph)  # [V, N]
        source, target = graph.edge_index
        of = source if place is None else place[source]
        return rows[target, of % layout.nodes][:, None]

    def _pairs(
        self, x: Tensor, graph: Batch, state: Offsets | None
    ) -> tuple[Tensor, Tensor, Offsets]:
        """Weights ``[B, T, N, N]`` (target, source), nodes ``[B, T, N, C]``, and the state."""
        channels("x", x, self.channels)
        for field in ("edge_index", "pos", "box", "mass"):
            if getattr(graph, field, None) is None:
                expected = "edges" if field == "edge_index" else f"a `{field}` for every node"
                raise InputError("graph", expected, "none")
        pos, nodes = precise(to_dense(graph.pos, graph)), to_dense(x, graph)
        varied, mean, after = self._moments(pos, self._confident(graph), graph, state)
        kernel = torch.exp(-self.sharpness.exp() * self.gain**2 * varied)
        kernel = kernel * torch.sigmoid(self.source(nodes)).transpose(-2, -1)
        joined = SpaceLayer.adjacency(graph, slots(graph))
        alone = torch.eye(pos.size(2), dtype=torch.bool, device=pos.device)
        kernel = kernel.masked_fill(alone, 0)
        if self.apart:
            kernel = kernel.masked_fill(mean.square().sum(-1) <= self.apart**2, 0)
        if joined is not None:
            kernel = kernel * in_clips(joined, graph)
        return kernel.to(x.dtype), nodes, after

    def _confident(self, graph: Batch) -> Tensor:
        """Confidences ``[B, T, N]``; 0 where a node is absent."""
        mass = precise(to_dense(graph.mass, graph))
        logarithm = mass.clamp_min(torch.finfo(mass.dtype).tiny).log()
        box = precise(to_dense(graph.box, graph))
        width, height = (box[..., 2:] - box[..., :2]).unbind(-1)
        wide = torch.log1p(self.gain**2 * (width * height).clamp_min(0))
        logit = self.confidence[0] * logarithm + self.confidence[1] - self.narrowness * wide
        confident = logit.clamp_min(-_UNSURE).sigmoid()
        here = presence(graph)
        return confident if here is None else confident * here

    def _moments(
        self, pos: Tensor, confident: Tensor, graph: Batch, state: Offsets | None
    ) -> tuple[Tensor, Tensor, Offsets]:
        """Variances ``[B, T, N, N]`` and means ``[B, T, N, N, 2]`` of offsets, and the state.

        Both are 0 where a pair was never seen.
        """
        weight = confident[:, :, :, None] * confident[:, :, None]  # [B, T, N, N]
        offset = pos[:, :, :, None] - pos[:, :, None]  # [B, T, N, N, 2]
        if state is None:
            none, nowhere = torch.zeros_like(weight[:, 0]), torch.zeros_like(offset[:, 0])
            state = Offsets(none, nowhere, nowhere, none)
        self._check_state(state, pos)
        began = (state.weight > 0)[..., None]
        first = torch.where(began, state.first.to(offset), _first(offset, weight))
        offset = offset - first[:, None]
        parts = (weight, weight[..., None] * offset, weight * offset.square().sum(-1))
        # Frame 0 is the state.
        so_far = [
            torch.cat([before[:, None].to(part), part], dim=1).cumsum(1)  # [B, T + 1, N, N, …]
            for before, part in zip((state.weight, state.offset, state.square), parts, strict=True)
        ]
        weights, offsets, squares = (part[:, 1:] for part in so_far)
        total = weights.clamp_min(math.sqrt(torch.finfo(weight.dtype).tiny))
        mean = offsets / total[..., None]
        varied = (squares / total - mean.square().sum(-1)).clamp_min(0)
        after = [newest(part, graph)[:, 0] for part in so_far]
        return varied, first[:, None] + mean, Offsets(after[0], first, *after[1:])

    @staticmethod
    def _check_state(state: Offsets, pos: Tensor) -> None:
        if not isinstance(state, Offsets):
            raise InputError("state", "the Offsets of an earlier call", type(state).__name__)
        clips, _, nodes, _ = pos.shape
        shape("state.weight", state.weight, clips, nodes, nodes)
        shape("state.first", state.first, clips, nodes, nodes, 2)
        shape("state.offset", state.offset, clips, nodes, nodes, 2)
        shape("state.square", state.square, clips, nodes, nodes)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, gain={self.gain}, apart={self.apart}"


def _first(offset: Tensor, weight: Tensor) -> Tensor:
    """Offsets ``[B, N, N, 2]`` in the first frame with a weight; 0 without any."""
    seen = (weight > 0).to(weight)  # [B, T, N, N]
    frame = seen.argmax(dim=1, keepdim=True)[..., None].expand(-1, -1, -1, -1, 2)
    return offset.gather(1, frame)[:, 0].detach() * seen.amax(dim=1)[..., None]
