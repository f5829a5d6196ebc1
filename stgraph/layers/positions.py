"""Where a node is, as features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch

from stgraph.checks import InputError, choice, integer, positive
from stgraph.graph import layout_of

__all__ = ["BoxPosition", "GaussianMaps", "KernelEmbedding", "KernelPosition"]


class GaussianMaps(nn.Module):
    r"""A small map of each node's box, a Gaussian window inside it and 0 outside; no parameters.

    On an S×S map, a box of relative width w takes :math:`n = ⌊S w⌋` cells (at least 1) of an axis,
    with values :math:`\exp(-(k - (n-1)/2)^2 / 2σ^2)`, k = 0 … n−1 (official code of RSTG, S = 6,
    σ = 2; its paper filters a map of ones). Cell number i of an s×s grid begins at cell i·n, as in
    that code, which leaves the last cells empty where s does not divide S; any other box begins at
    the nearest cell.

    Args:
        size: S.
        sigma: σ in cells.

    Shapes:
        frame graphs of V nodes → ``[V, S²]``.
    """

    def __init__(self, size: int = 6, sigma: float = 2.0) -> None:
        super().__init__()
        self.size, self.sigma = integer("size", size, maximum=256), positive("sigma", sigma)

    @property
    def out_channels(self) -> int:
        """Values a node, S²."""
        return self.size * self.size

    def forward(self, graph: Batch) -> Tensor:
        """See the class."""
        low, high = graph.box[:, :2], graph.box[:, 2:]  # (x, y)
        span = (high - low).clamp_min(1e-6)
        cells = torch.floor(span * self.size + 1e-4).clamp_min(1)  # [V, 2]
        number = low / span  # a whole number for a cell of a grid
        of_grid = (number - number.round()).abs() < 1e-3
        of_grid &= (1 / span - (1 / span).round()).abs() < 1e-3
        of_grid &= span * self.size > 1 - 1e-3
        first = torch.where(of_grid, number.round() * cells, (low * self.size).round())
        first = torch.minimum(first, self.size - cells)
        place = torch.arange(self.size, device=low.device, dtype=low.dtype) - first[..., None]
        off = place - (cells[..., None] - 1) / 2
        window = torch.exp(-off.square() / (2 * self.sigma**2))  # [V, 2, S]
        window = window * ((place >= 0) & (place < cells[..., None]))
        return (window[:, 1, :, None] * window[:, 0, None, :]).flatten(1)  # rows, then columns

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.size}, sigma={self.sigma}"


class BoxPosition(nn.Module):
    """The node's box as four numbers in 0..1 of the frame; no parameters.

    Args:
        form: ``"corners"``, (x1, y1, x2, y2), or ``"centre"``, (x, y, width, height).

    Shapes:
        frame graphs of V nodes → ``[V, 4]``.
    """

    out_channels = 4

    def __init__(self, form: str = "corners") -> None:
        super().__init__()
        self.form = choice("form", form, ("corners", "centre"))

    def forward(self, graph: Batch) -> Tensor:
        """See the class.

        Raises:
            InputError: when the graph has no boxes.
        """
        if getattr(graph, "box", None) is None:
            raise InputError("graph", "a `box` for every node", "none")
        box: Tensor = graph.box
        if self.form == "corners":
            return box
        low, high = box[:, :2], box[:, 2:]
        return torch.cat([(low + high) / 2, high - low], dim=1)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.form!r}"


class KernelEmbedding(nn.Module):
    r"""A linear map of the node's own kernel, :math:`W\,\mathrm{vec}(K_n) + b`.

    The normalised kernel says where the node looked and how widely, and the embedding keeps a path
    for gradients to the window (DyReG). The weights are made for maps of one size; a kernel on
    another is average-pooled to it, as the official code does.

    Args:
        channels: width of the embedding.
        height: rows that the weights are made for.
        width: columns that the weights are made for.
        gain: factor on the initial weights. Entries of a normalised kernel are about 1/(cells
            covered), so a gain of some tens brings positions to the scale of features.

    Shapes:
        frame graphs of V nodes → ``[V, channels]``.
    """

    def __init__(self, channels: int, height: int, width: int, gain: float = 1.0) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.height, self.width = integer("height", height), integer("width", width)
        self.linear = nn.Linear(height * width, channels)
        with torch.no_grad():
            self.linear.weight.mul_(positive("gain", gain))

    @property
    def out_channels(self) -> int:
        """Values a node."""
        return self.channels

    def embed(self, graph: Batch) -> Tensor:
        """Position embeddings ``[V, channels]``.

        Raises:
            InputError: when the graph has no kernels.
        """
        if getattr(graph, "kernel", None) is None:
            raise InputError("graph", "a `kernel` for every node", "none")
        layout, kernel = layout_of(graph), graph.kernel
        if (layout.height, layout.width) != (self.height, self.width):
            kernel = F.adaptive_avg_pool2d(kernel[:, None], (self.height, self.width))
        return self.linear(kernel.flatten(1))  # type: ignore[no-any-return]

    def forward(self, graph: Batch) -> Tensor:
        """See the class."""
        return self.embed(graph)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{self.channels}, {self.height}, {self.width}"


class KernelPosition(KernelEmbedding):
    r"""Adds the embedding of its kernel to a node, :math:`v_n + W\,\mathrm{vec}(K_n) + b`.

    DyReG's position embedding, as a layer of a schedule; the arguments are those of
    :class:`KernelEmbedding`, with the width C of the nodes as ``channels``.
    """

    def forward(self, x: Tensor, graph: Batch) -> Tensor:  # type: ignore[override]
        """Add the embedding to ``x [V, C]``."""
        return x + self.embed(graph)
