"""Recurrent time layers: every node identity remembers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, channels, integer, shape
from stgraph.graph import clips_of, from_dense, presence, slots, to_dense
from stgraph.layers.base import TemporalLayer
from stgraph.recurrence import Memory, Recurrent, check_cell, scan

__all__ = ["TimeLayer", "gru_over_time"]


def absences(
    present: Tensor, away: Tensor, lengths: tuple[int, ...] | None = None
) -> tuple[Tensor, Tensor]:
    """Count for how many frames in a row a node has been away.

    Args:
        present: which nodes are present ``[B, T, N]`` (bool).
        away: that number before the first frame ``[B, N]`` (int64).
        lengths: frames of every clip; T without.

    Returns:
        The number before each frame ``[B, T, N]``, and that after the last ``[B, N]``.

    Examples:
        >>> here = torch.tensor([False, True, False, False, True]).view(1, 5, 1)
        >>> before, after = absences(here, torch.tensor([[2]]))
        >>> before.flatten().tolist(), after.tolist()
        ([2, 3, 0, 1, 2], [[0]])
    """
    frames = present.size(1)
    number = torch.arange(frames, device=present.device)[:, None]  # [T, 1]
    start = (-1 - away)[:, None]  # when it was last there, [B, 1, N]
    last = torch.where(present, number, start).cummax(dim=1).values
    last = torch.cat([start, last], dim=1)  # before each frame, and after all: [B, T + 1, N]
    ends: int | Tensor = frames
    if lengths is not None:
        ends = torch.tensor([[n] for n in lengths]).to(last.device, non_blocking=True)
    return number - 1 - last[:, :-1], ends - 1 - last[:, -1]


class TimeLayer(TemporalLayer, Recurrent):
    r"""A GRU or LSTM along every node identity, :math:`h_i^t = \mathrm{RNN}(v_i^t, h_i^{t-1})`.

    The cell's parameters are shared by all nodes (RSTG, DyReG). A node that is absent
    from a frame keeps its state and goes on with it when it is back, unless it was away for longer
    than ``forget_after`` frames: then it starts anew.

    Args:
        cell: ``torch.nn.GRU`` or ``torch.nn.LSTM``, of one direction.
        forget_after: frames of absence that a memory outlasts; ``None`` is any number.

    Shapes:
        ``x [V, C]`` → ``[V, D]``; state ``(h,)`` or ``(h, c)``, each ``[layers, B, N, D]``; with
        ``forget_after`` also the frames that each node has been away, ``[B, N]``, as the last.

    Raises:
        InputError: on another kind of cell.

    Examples:
        >>> TimeLayer(nn.GRU(32, 32))
        TimeLayer(
          (cell): GRU(32, 32)
        )
    """

    def __init__(self, cell: nn.Module, forget_after: int | None = None) -> None:
        super().__init__()
        self.cell = check_cell("cell", cell)
        self.forget_after = (
            None if forget_after is None else integer("forget_after", forget_after, minimum=0)
        )

    @property
    def in_channels(self) -> int:
        """C, width that comes in."""
        return self.cell_of("cell").input_size

    @property
    def out_channels(self) -> int:
        """D, width that goes out."""
        return self.cell_of("cell").hidden_size

    def forward(
        self, x: Tensor, graph: Batch, state: Memory | None = None
    ) -> tuple[Tensor, Memory]:
        """Run the cell over the frames of ``x [V, C]``.

        Raises:
            InputError: on another width, or a state of another batch size, N or kind.
        """
        channels("x", x, self.in_channels)
        dense, here = to_dense(x, graph), presence(graph)  # [B, T, N, C]
        cell = self.cell_of("cell")
        if self.forget_after is None:
            if here is None or slots(graph) is None:  # absent at most behind the end of a clip
                out, state = scan(cell, dense, state, lengths=clips_of(graph).uneven)
            else:
                out, state = scan(cell, dense, state, here)
            return from_dense(out, graph), state
        clips, _, nodes, _ = dense.shape
        if state is None:
            memory, away = None, torch.zeros(clips, nodes, dtype=torch.long, device=x.device)
        elif isinstance(state, tuple) and len(state) > 1:
            *parts, away = state
            memory = tuple(parts)
            shape("state", away, clips, nodes)
            if away.dtype != torch.long:
                raise InputError("state", "frames away as int64 at the end", away.dtype)
        else:
            raise InputError("state", "a memory and how long nodes have been away", type(state))
        if here is None and state is None:  # nobody has been away: fused kernels
            out, memory = scan(cell, dense)
        else:
            here = torch.ones_like(dense[..., 0], dtype=torch.bool) if here is None else here
            before, away = absences(here, away, clips_of(graph).uneven)
            out, memory = scan(cell, dense, memory, here, here & (before > self.forget_after))
        return from_dense(out, graph), (*memory, away)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return "" if self.forget_after is None else f"forget_after={self.forget_after}"


def gru_over_time(channels: int) -> TimeLayer:
    """A :class:`TimeLayer` of a GRU that keeps the width, as a configuration can name it.

    (PyTorch's own class refuses a ``proj_size``, and a configuration says every option.)

    Args:
        channels: C, width that comes in and goes out.

    Examples:
        >>> gru_over_time(32)
        TimeLayer(
          (cell): GRU(32, 32)
        )
    """
    width = integer("channels", channels)
    return TimeLayer(nn.GRU(width, width))
