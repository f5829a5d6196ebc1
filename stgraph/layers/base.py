"""What layers are.

A *space layer* works inside each frame, ``(x [V, C], graph) → x [V, D]``; any module of that form
is one. A *time layer* works along each node identity and carries a state,
``(x [V, C], graph, state=None) → (x [V, D], state)``; it subclasses :class:`TemporalLayer`.
A layer that looks at other frames in any other way says ``causal = False``: see
:mod:`stgraph.causality`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.causality import AsItsParts

__all__ = ["TemporalLayer"]


class TemporalLayer(nn.Module, ABC):
    """A layer along time, with its state as a value.

    Examples:
        The sum of all that a node has been, in one file:

        >>> import torch
        >>> from stgraph.graph import from_dense, to_dense
        >>> from stgraph.nodes import GridNodes
        >>> class Sum(TemporalLayer):
        ...     def forward(self, x, graph, state=0):
        ...         dense = to_dense(x, graph).cumsum(1) + state  # [B, T, N, C]
        ...         return from_dense(dense, graph), dense[:, -1:].clone()  # no view of all T
        >>> graph, _ = GridNodes(channels=1, scales=(1,))(torch.ones(1, 3, 1, 2, 2))
        >>> x, state = Sum()(graph.x, graph)
        >>> x.flatten()
        tensor([1., 2., 3.])
    """

    causal: bool = AsItsParts()  # type: ignore[assignment]
    """Whether the output of a frame depends on this frame and earlier ones only."""

    @abstractmethod
    def forward(self, x: Tensor, graph: Batch, state: Any = None) -> tuple[Tensor, Any]:
        """Return new node features ``[V, D]`` and the state to go on with."""
