"""Other people's modules as space layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, flag, integer

__all__ = ["GraphConv", "PerNode"]


class PerNode(nn.Module):
    """Applies a module to every node: ``module(x [V, C])``, for example a norm or an MLP.

    Args:
        module: the module.
        out_channels: width that it makes, if it changes the width.
    """

    def __init__(self, module: nn.Module, out_channels: int | None = None) -> None:
        super().__init__()
        self.module = module
        if out_channels is not None:
            self.out_channels = integer("out_channels", out_channels)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Apply the module to ``x [V, C]``; the graph is not read."""
        return self.module(x)  # type: ignore[no-any-return]


class GraphConv(nn.Module):
    """Makes a space layer of any PyG convolution, called as ``conv(x, edge_index, …)``.

    Args:
        conv: the convolution.
        out_channels: width that it makes; PyG's own attribute does not count heads.
        edge_attr: whether it takes the graph's ``edge_attr``.

    Examples:
        >>> from torch_geometric.nn import GATv2Conv
        >>> layer = GraphConv(GATv2Conv(32, 8, heads=4), out_channels=32)
    """

    def __init__(self, conv: nn.Module, out_channels: int, edge_attr: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.out_channels = integer("out_channels", out_channels)
        self.edge_attr = flag("edge_attr", edge_attr)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Convolve ``x [V, C]``.

        Raises:
            InputError: when the graph lacks edges or edge features.
        """
        if getattr(graph, "edge_index", None) is None:
            raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
        if not self.edge_attr:
            return self.conv(x, graph.edge_index)  # type: ignore[no-any-return]
        if getattr(graph, "edge_attr", None) is None:
            raise InputError("graph", "`edge_attr` from its edge builder", "none attached")
        return self.conv(x, graph.edge_index, edge_attr=graph.edge_attr)  # type: ignore[no-any-return]
