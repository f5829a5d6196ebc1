"""Recurrent time layers: every node identity remembers."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import channels
from stgraph.graph import from_dense, presence, to_dense
from stgraph.layers.base import TemporalLayer
from stgraph.recurrence import Memory, check_cell, scan

__all__ = ["TimeLayer"]


class TimeLayer(TemporalLayer):
    r"""A GRU or LSTM along every node identity, :math:`h_i^t = \mathrm{RNN}(v_i^t, h_i^{t-1})`.

    The cell's parameters are shared by all nodes (RSTG, DyReG). A node that is absent
    from a frame keeps its state and goes on with it when it is back.

    Args:
        cell: ``torch.nn.GRU`` or ``torch.nn.LSTM``, of one direction.

    Shapes:
        ``x [V, C]`` → ``[V, D]``; state ``(h,)`` or ``(h, c)``, each ``[layers, B, N, D]``.

    Raises:
        InputError: on another kind of cell.

    Example:
        >>> TimeLayer(nn.GRU(32, 32))
        TimeLayer(
          (cell): GRU(32, 32)
        )
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = check_cell("cell", cell)

    @property
    def in_channels(self) -> int:
        """C, width that comes in."""
        return self.cell.input_size

    @property
    def out_channels(self) -> int:
        """D, width that goes out."""
        return self.cell.hidden_size

    def forward(
        self, x: Tensor, graph: Batch, state: Memory | None = None
    ) -> tuple[Tensor, Memory]:
        """Run the cell over the frames of ``x [V, C]``.

        Raises:
            InputError: on another width, or a state of another batch size, N or kind.
        """
        channels("x", x, self.in_channels)
        out, state = scan(self.cell, to_dense(x, graph), state, presence(graph))
        return from_dense(out, graph), state
