r"""Messages: what node j sends to node i.

The first linear map of a message is linear in its two ends, so it is computed once a node, not once
an edge: :math:`W_i v_i + W_j v_j + b = a_i + b_j`. What is left for an edge is the sum, the
non-linearity and any further layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, choice, integer
from stgraph.layers.initialise import keep_scale
from stgraph.layers.norm import FrameNorm

__all__ = ["ConcatSend", "Send", "SumSend"]


class Send(nn.Module):
    """What a message is: :meth:`ends` once a node, :meth:`forward` once an edge.

    Args:
        channels: C, width of nodes and messages.
        layers: linear layers of the message, 1 or 2, each followed by ReLU.
        norm: maker of the norm over a frame's messages, or ``None``.
    """

    norm: FrameNorm | None
    first: nn.Linear

    def __init__(
        self,
        channels: int,
        layers: int = 1,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
    ) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.layers = choice("layers", layers, (1, 2))
        self.second = nn.Linear(channels, channels) if layers == 2 else None
        self.norm = None if norm is None else norm(channels)

    def reset_parameters(self) -> None:
        """He initialisation: messages keep their scale through ReLU, however many rounds."""
        keep_scale(self.first)  # not a position part: that starts as its author made it
        if self.second is not None:
            keep_scale(self.second)

    def ends(self, x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
        """Share of the target and of the source in the first layer, each ``[V, C]``."""
        raise NotImplementedError

    def forward(self, total: Tensor) -> Tensor:
        """Messages ``[…, C]`` from the sum of the two shares ``[…, C]``, before the norm."""
        message = total.relu()
        return message if self.second is None else self.second(message).relu()

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, layers={self.layers}"


class SumSend(Send):
    r"""Messages of the sum of both ends, :math:`\mathrm{ReLU}(W(v_i + v_j) + b)`.

    Symmetric in i and j; what the official DyReG code sends (its paper has an MLP of both).

    Examples:
        >>> sum(p.numel() for p in SumSend(32).parameters())
        1120
    """

    def __init__(
        self,
        channels: int,
        layers: int = 1,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
    ) -> None:
        super().__init__(channels, layers, norm)
        self.first = nn.Linear(channels, channels)
        self.reset_parameters()

    def ends(self, x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
        """See :class:`Send`."""
        share = nn.functional.linear(x, self.first.weight)
        return share + self.first.bias, share


class ConcatSend(Send):
    r"""Messages of both ends side by side, with positions or without (RSTG, messages).

    .. math:: \mathrm{msg}_{ij} = \mathrm{MLP}([v_j \| p_j \| v_i \| p_i])

    Args:
        channels: C, width of nodes and messages.
        layers: linear layers, 1 or 2 (RSTG has 2), each followed by ReLU.
        norm: maker of the norm over a frame's messages, or ``None``.
        position: module ``graph → [V, P]`` with ``out_channels`` P, whose values join the messages
            (RSTG's "positional" messages), or ``None``.
        position_of: whose position joins: of ``"both"`` ends (RSTG's slides and official code) or
            of the ``"sender"`` alone (its paper).

    Raises:
        InputError: on another option, or a position without ``out_channels``.
    """

    def __init__(
        self,
        channels: int,
        layers: int = 2,
        norm: Callable[[int], FrameNorm] | None = FrameNorm,
        position: nn.Module | None = None,
        position_of: str = "both",
    ) -> None:
        super().__init__(channels, layers, norm)
        self.position = position
        self.position_of = choice("position_of", position_of, ("both", "sender"))
        extra = 0 if position is None else getattr(position, "out_channels", None)
        if not isinstance(extra, int):
            raise InputError("position", "a module with `out_channels`", type(position).__name__)
        # Columns of the weight: the source, then the target.
        self.widths = [channels + extra, channels + (extra if position_of == "both" else 0)]
        self.first = nn.Linear(sum(self.widths), channels)
        self.reset_parameters()

    def ends(self, x: Tensor, graph: Batch) -> tuple[Tensor, Tensor]:
        """See :class:`Send`."""
        of_source, of_target = torch.split(self.first.weight, self.widths, dim=1)
        source = target = x
        if self.position is not None:
            source = torch.cat([x, self.position(graph).to(x.dtype)], dim=-1)
            target = source if self.position_of == "both" else x
        return (
            nn.functional.linear(target, of_target, self.first.bias),
            nn.functional.linear(source, of_source),
        )

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        at = "" if self.position is None else f", position_of={self.position_of!r}"
        return super().extra_repr() + at
