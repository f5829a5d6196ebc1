"""A node for every class of things, wherever in the frame one is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, node_count, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import moment_box, normalise, pool
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.precision import precise, uncast

__all__ = ["ClassNodes"]

_MOST = 40.0
"""Of a score, whose exponential a sum over a map still holds."""
_RARE = -4.6
"""Logit of a probability of .01."""
_SURE = 20.0
"""Of a logit, so that no belief dies out."""


class ClassNodes(NodeExtractor):
    r"""A node for every class, which lies where the frame looks most like it.

    .. math::
        E_n(p) &= e^{(W f(p) + b)_n}, \qquad m_n = \sum_p E_n(p), \qquad
        K_n(p) = E_n(p) / m_n \\
        x_n &= \sum_p K_n(p)\, f(p) + e_n + u \log m_n

    A softmax over positions says where, and its logarithmic mass :math:`\log m_n` whether: it is
    the score of class n being there at all, which
    :class:`~stgraph.training.NodePresence` teaches from names of classes alone. Which class a node
    is of, it is told by a vector :math:`e_n`; the node of a class that is absent lies on whatever
    is most like it, and knows so by its mass. Boxes are even rectangles with the kernels' means and
    variances, see :func:`~stgraph.kernels.moment_box`. For frames with one thing of a class at
    most. Not in the papers: DyReG's semantic nodes are maps without such a meaning.

    With a ``reach`` of r cells nodes go on from where they were, so that a thing is not lost when
    another covers it, and its node does not jump to what looks like it elsewhere:

    .. math::
        \bar K_n^t(p) &= (1 - λ) \sum_{|q| ≤ r} M(q)\, K_n^{t-1}(p + q) + λ / HW \\
        K_n^t(p) &\propto \bar K_n^t(p)\, \bigl((1 - ω)\, E_n^t(p) / m_n^t + ω / HW\bigr)

    is the belief of a Bayes filter over the cells (the forward algorithm of a hidden Markov model:
    Rabiner 1989; the histogram filter of Thrun, Burgard and Fox 2005, chapter 4). From where things
    come, M (a softmax of ``move``), how often one is found elsewhere, λ, and how often it is not
    what is seen, ω, are learnt; they begin with all moves alike, .01 and .01. A clip's first frame
    stands for itself, and nothing comes in over the border. The mass is that of the frame alone.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, classes.
        edges: edge builder.
        reach: r, cells on each axis that a thing moves at most from frame to frame; with 0 every
            frame stands for itself.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes. The state is the last
        kernels ``[B, N, H, W]``, and ``None`` without a reach.

    Examples:
        >>> nodes = ClassNodes(channels=64, num_nodes=10)
        >>> graph, _ = nodes(torch.randn(2, 3, 64, 16, 16))
        >>> graph.x.shape, graph.mass.log().shape
        (torch.Size([60, 64]), torch.Size([60]))
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 10,
        edges: EdgeBuilder | None = None,
        reach: int = 0,
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.reach = integer("reach", reach, minimum=0, maximum=64)
        self.maps = nn.Conv2d(channels, num_nodes, 1)
        self.name = nn.Embedding(num_nodes, channels)
        self.sure = nn.Parameter(torch.zeros(channels))
        if self.reach:
            side = 2 * self.reach + 1
            self.move = nn.Parameter(torch.zeros(side, side))
            self.elsewhere = nn.Parameter(torch.tensor(_RARE))
            self.unseen = nn.Parameter(torch.tensor(_RARE))

    def regions(
        self,
        features: Tensor,
        state: Tensor | None = None,
        frame_mask: Tensor | None = None,
    ) -> tuple[Regions, Tensor | None]:
        """The maps of every frame, and where they were in the last."""
        clips, frames, _, height, width = features.shape
        scores = precise(self.maps(features.flatten(0, 1)))  # [B·T, N, H, W]
        kernel = scores.clamp(-_MOST, _MOST).exp()
        kernel = kernel.view(clips, frames, self.num_nodes, height, width)
        weights, mass = normalise(kernel)
        after = None
        if self.reach:
            with uncast(weights.device):
                weights = self._follow(weights, self._last(state, weights), frame_mask)
            kernel = weights * mass[..., None, None]
            after = weights[:, -1].clone()
        elif state is not None:
            raise InputError("state", "None: without a reach there is none", type(state).__name__)
        x = pool(features, weights.to(features.dtype)) + self.name.weight
        x = x + mass.log()[..., None].to(x.dtype) * self.sure
        return Regions(kernel, moment_box(kernel), x=x), after

    @staticmethod
    def _last(state: Tensor | None, weights: Tensor) -> Tensor:
        """The kernels ``[B, N, H, W]`` of the frame before; zeros at a clip's beginning."""
        if state is None:
            return torch.zeros_like(weights[:, 0])
        if not isinstance(state, Tensor):
            raise InputError("state", "the kernels of an earlier call", type(state).__name__)
        shape("state", state, *weights[:, 0].shape)
        return state.to(weights)

    def _follow(self, seen: Tensor, before: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Kernels ``[B, T, N, H, W]`` of what frames show, and of where things were before.

        Args:
            seen: what each frame says by itself ``[B, T, N, H, W]``, of sum 1 over the map.
            before: kernels of the frame before ``[B, N, H, W]``; zeros at a clip's beginning.
            frame_mask: which frames exist ``[B, T]``; behind its end a clip keeps its kernels.
        """
        move = precise(self.move).flatten().softmax(0).view(1, 1, *self.move.shape).to(seen)
        elsewhere, unseen = (
            precise(logit).clamp(-_SURE, _SURE).sigmoid().to(seen)
            for logit in (self.elsewhere, self.unseen)
        )
        anywhere = seen.new_full((), 1 / seen[0, 0, 0].numel())
        here = None if frame_mask is None else frame_mask.to(seen.device, non_blocking=True)
        now, path = before, []
        for t, frame in enumerate(torch.lerp(seen, anywhere, unseen).unbind(1)):
            moved = F.conv2d(now.flatten(0, 1)[:, None], move, padding=self.reach)
            prior = torch.lerp(moved.view_as(frame), anywhere, elsewhere)
            found = normalise(prior * frame)[0]
            if here is not None:
                found = torch.where(here[:, t, None, None, None], found, now)
            path.append(found)
            now = found
        return torch.stack(path, dim=1)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, num_nodes={self.num_nodes}, reach={self.reach}"
