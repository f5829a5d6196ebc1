"""Other people's modules as space layers."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, integer
from stgraph.graph import frame_of, layout_of

__all__ = ["GraphConv", "PerNode"]


def _frames(module: nn.Module, graph: Batch) -> dict[str, Any]:
    """Which frame every row is of, for modules that ask: so no frame sees another one."""
    known = signature(module.forward).parameters
    told = {"batch": frame_of(graph), "batch_size": layout_of(graph).graphs}
    return {name: value for name, value in told.items() if name in known}


class PerNode(nn.Module):
    """Applies a module to every node: ``module(x [V, C])``, for example a norm or an MLP.

    A module whose forward takes ``batch``, such as PyG's norms, is told the frame of every node.

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
        """Apply the module to ``x [V, C]``; of the graph only the frames are read."""
        return self.module(x, **_frames(self.module, graph))  # type: ignore[no-any-return]


class GraphConv(nn.Module):
    """Makes a space layer of any PyG convolution, called as ``conv(x, edge_index, …)``.

    A convolution whose forward takes ``batch`` is told the frame of every node.

    Args:
        conv: the convolution.
        out_channels: width that it makes; PyG's own attribute does not count heads.
        fields: fields of the graph by the names of the convolution's arguments, such as
            ``{"edge_attr": "edge_attr"}`` or ``{"edge_weight": "edge_attr", "pos": "pos"}``.

    Raises:
        InputError: on a field for an argument that the convolution does not have.

    Examples:
        >>> from torch_geometric.nn import GATv2Conv
        >>> layer = GraphConv(GATv2Conv(32, 8, heads=4), out_channels=32)
    """

    def __init__(
        self, conv: nn.Module, out_channels: int, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.out_channels = integer("out_channels", out_channels)
        self.fields = dict(fields or {})
        known = signature(conv.forward).parameters
        if unknown := sorted(set(self.fields) - set(known)):
            raise InputError("fields", f"arguments among {list(known)}", unknown)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Convolve ``x [V, C]``.

        Raises:
            InputError: when the graph lacks edges or a field.
        """
        layout_of(graph)
        if getattr(graph, "edge_index", None) is None:
            raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
        read = {}
        for argument, name in self.fields.items():
            if (value := getattr(graph, name, None)) is None:
                raise InputError("graph", f"`{name}`", "none attached")
            read[argument] = value
        options = _frames(self.conv, graph) | read
        return self.conv(x, graph.edge_index, **options)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"out_channels={self.out_channels}, fields={self.fields}"
