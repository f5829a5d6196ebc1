"""What layers are.

A *space layer* works inside each frame, ``(x [V, C], graph) → x [V, D]``; any module of that form
is one. A *time layer* works along each node identity and carries a state,
``(x [V, C], graph, state=None) → (x [V, D], state)``; it subclasses :class:`TemporalLayer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Batch

__all__ = ["PerNode", "TemporalLayer"]


class TemporalLayer(nn.Module, ABC):
    """A layer along time, with its state as a value.

    Example:
        A running mean of every node, in one file:

        >>> from stgraph.graph import from_dense, to_dense
        >>> class Difference(TemporalLayer):
        ...     def forward(self, x, graph, state=None):
        ...         dense = to_dense(x, graph)  # [B, T, N, C]
        ...         before = dense[:, :1] if state is None else state
        ...         past = torch.cat([before, dense[:, :-1]], dim=1)
        ...         return from_dense(dense - past, graph), dense[:, -1:]
    """

    causal: bool = True
    """Whether the output of a frame depends on this frame and earlier ones only."""

    @abstractmethod
    def forward(self, x: Tensor, graph: Batch, state: Any = None) -> tuple[Tensor, Any]:
        """Return new node features ``[V, D]`` and the state to go on with."""


class PerNode(nn.Module):
    """Applies a module to every node: ``module(x [V, C])``, for example a norm or an MLP.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Apply the module to ``x [V, C]``; the graph is not read."""
        return self.module(x)  # type: ignore[no-any-return]
