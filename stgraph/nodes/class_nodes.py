"""A node for every class of things, wherever in the frame one is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import node_count
from stgraph.edges import EdgeBuilder
from stgraph.kernels import moment_box, normalise, pool, precise
from stgraph.nodes.base import NodeExtractor, Regions

__all__ = ["ClassNodes"]

_MOST = 40.0
"""Of a score, whose exponential a sum over a map still holds."""


class ClassNodes(NodeExtractor):
    r"""A node for every class, which lies where the frame looks most like it.

    .. math::
        K_n(p) &= e^{(W f(p) + b)_n}, \qquad m_n = \sum_p K_n(p) \\
        x_n &= \sum_p \frac{K_n(p)}{m_n} f(p) + e_n + u \log m_n

    A softmax over positions says where, and its logarithmic mass :math:`\log m_n` whether: it is
    the score of class n being there at all, which
    :class:`~stgraph.training.NodePresence` teaches from names of classes alone. Which class a node
    is of, it is told by a vector :math:`e_n`; the node of a class that is absent lies on whatever
    is most like it, and knows so by its mass. Boxes are even rectangles with the kernels' means and
    variances, see :func:`~stgraph.kernels.moment_box`. For frames with one thing of a class at
    most. Not in the papers: DyReG's semantic nodes are maps without such a meaning.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, classes.
        edges: edge builder.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes; there is no state.

    Examples:
        >>> nodes = ClassNodes(channels=64, num_nodes=10)
        >>> graph, _ = nodes(torch.randn(2, 3, 64, 16, 16))
        >>> graph.x.shape, graph.mass.log().shape
        (torch.Size([60, 64]), torch.Size([60]))
    """

    def __init__(
        self, channels: int, num_nodes: int = 10, edges: EdgeBuilder | None = None
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.maps = nn.Conv2d(channels, num_nodes, 1)
        self.name = nn.Embedding(num_nodes, channels)
        self.sure = nn.Parameter(torch.zeros(channels))

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The maps of every frame by itself; there is no state."""
        clips, frames, _, height, width = features.shape
        scores = precise(self.maps(features.flatten(0, 1)))  # [B·T, N, H, W]
        kernel = scores.clamp(-_MOST, _MOST).exp()
        kernel = kernel.view(clips, frames, self.num_nodes, height, width)
        weights, mass = normalise(kernel)
        x = pool(features, weights.to(features.dtype)) + self.name.weight
        x = x + mass.log()[..., None].to(x.dtype) * self.sure
        return Regions(kernel, moment_box(kernel), x=x), None
