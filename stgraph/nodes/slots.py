"""Slot attention: nodes that compete for the cells of a map, carried over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgraph.checks import integer, node_count, positive, shape, times
from stgraph.edges import EdgeBuilder
from stgraph.kernels import moment_box, normalise
from stgraph.nodes.base import NodeExtractor, Regions

__all__ = ["SlotNodes"]


def _corners(height: int, width: int, like: Tensor) -> Tensor:
    """Distances of every cell's centre to the four sides (y, x, 1 − y, 1 − x) ``[H·W, 4]``."""
    y, x = (
        (torch.arange(cells, device=like.device, dtype=torch.float32) + 0.5) / cells
        for cells in (height, width)
    )
    rows, columns = y[:, None].expand(height, width), x[None].expand(height, width)
    return torch.stack([rows, columns, 1 - rows, 1 - columns], dim=-1).flatten(0, 1).to(like.dtype)


class SlotNodes(NodeExtractor):
    r"""Slots that explain the map between them (Slot Attention; over time as in SAVi).

    With cells :math:`u_p = \mathrm{norm}(x(p) + W_e e_p)` of position e, keys :math:`k_p = W_k u_p`
    and values :math:`w_p = W_v u_p`, every slot s of width D is refined in a few iterations:

    .. math::
        A_n(p) &= \operatorname{softmax}_n\bigl(W_q \mathrm{norm}(s_n) · k_p / \sqrt{D}\bigr) \\
        m_n &= \sum_p A_n(p)\, w_p \big/ \sum_p A_n(p) \\
        s_n &← \mathrm{GRU}(m_n, s_n), \quad s_n ← s_n + \mathrm{MLP}(\mathrm{norm}(s_n))

    The softmax is over the slots: they compete for each cell. A frame starts from the slots of the
    frame before, the first one from a learned vector a slot, so nothing is drawn at random; slots
    have no other parameters of their own, and permuting these vectors permutes the nodes. SAVi's
    predictor between frames is not here: a node's feature is its slot, and the layers that follow
    make them interact. The kernel is the last iteration's A, the box the even rectangle with its
    mean and variance.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, slots.
        edges: edge builder.
        width: D, width of slots and nodes; C by default.
        iterations: iterations a frame.
        hidden: width of the MLP's hidden layer; 2·D by default.
        eps: ε of its norms.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes; the state is the slots
        ``[B, N, D]``.

    Examples:
        >>> import torch
        >>> graph, state = SlotNodes(channels=8, num_nodes=5)(torch.randn(2, 3, 8, 6, 7))
        >>> tuple(graph.x.shape), tuple(state.regions.shape)
        ((30, 8), (2, 5, 8))
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        width: int | None = None,
        iterations: int = 3,
        hidden: int | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.width = channels if width is None else integer("width", width)
        self.iterations = times("iterations", iterations)
        inner = 2 * self.width if hidden is None else integer("hidden", hidden)
        self.start = nn.Parameter(torch.empty(self.num_nodes, self.width))
        self.position = nn.Linear(4, channels)
        self.norm_cells = nn.LayerNorm(channels, positive("eps", eps))
        self.key = nn.Linear(channels, self.width, bias=False)
        self.value = nn.Linear(channels, self.width, bias=False)
        self.norm_query = nn.LayerNorm(self.width, eps)
        self.query = nn.Linear(self.width, self.width, bias=False)
        self.rnn = nn.GRUCell(self.width, self.width)
        self.norm_mlp = nn.LayerNorm(self.width, eps)
        self.mlp = nn.Sequential(
            nn.Linear(self.width, inner), nn.ReLU(), nn.Linear(inner, self.width)
        )
        self.reset_parameters()

    @property
    def out_channels(self) -> int:
        """Width D of the node features that come out."""
        return self.width

    def reset_parameters(self) -> None:
        """Draw the first slots; equal ones would stay equal."""
        nn.init.normal_(self.start)

    def refine(self, slots: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """One iteration on one frame.

        Args:
            slots: ``[B, N, D]``.
            key: keys of the cells ``[B, H·W, D]``.
            value: values of the cells ``[B, H·W, D]``.

        Returns:
            The refined slots ``[B, N, D]``, and the attention ``[B, N, H·W]``, which sums to 1 over
            the slots.
        """
        query = self.query(self.norm_query(slots)) * self.width**-0.5
        attention = (query @ key.transpose(1, 2)).softmax(dim=1)  # [B, N, H·W]
        mean = normalise(attention[..., None])[0].squeeze(-1).to(value.dtype) @ value  # [B, N, D]
        slots = self.rnn(mean.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots + self.mlp(self.norm_mlp(slots)), attention

    def regions(
        self, features: Tensor, state: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Regions, Tensor]:
        """Refine the slots frame by frame; the state is the last frame's."""
        clips, _, _, height, width = features.shape
        if state is None:
            slots = self.start.expand(clips, -1, -1)
        else:
            shape("state", state, clips, self.num_nodes, self.width)
            slots = state.to(features)
        # A copy with a gradient that lies in memory as the maps do, see `stgraph.kernels.pool`.
        copied = features.index_select(2, torch.arange(features.size(2), device=features.device))
        cells = copied.flatten(3).transpose(2, 3)  # [B, T, H·W, C]
        cells = self.norm_cells(cells + self.position(_corners(height, width, features)))
        keys, values = self.key(cells), self.value(cells)  # [B, T, H·W, D]
        found, maps = [], []
        for t, (key, value) in enumerate(zip(keys.unbind(1), values.unbind(1), strict=True)):
            before = slots
            for _ in range(self.iterations):
                slots, attention = self.refine(slots, key, value)
            if frame_mask is not None:  # behind its end a clip keeps its slots
                exists = frame_mask[:, t, None, None].to(slots.device, non_blocking=True)
                slots = torch.where(exists, slots, before)
            found.append(slots)
            maps.append(attention)
        kernel = torch.stack(maps, dim=1)  # [B, T, N, H·W]
        kernel = kernel.view(*kernel.shape[:-1], height, width)
        return Regions(kernel, moment_box(kernel), x=torch.stack(found, dim=1)), slots

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        options = f"num_nodes={self.num_nodes}, width={self.width}, iterations={self.iterations}"
        return f"{self.channels}, {options}"
