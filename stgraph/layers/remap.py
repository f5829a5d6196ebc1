"""From nodes back to feature maps."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, flag
from stgraph.graph import to_frames, to_maps
from stgraph.layers.spread import SpreadMaps

__all__ = ["Remap"]


class Remap(nn.Module):
    r"""Write nodes back where their kernels read, :math:`y(p) = \sum_n K_n(p)\, v_n`.

    Args:
        normalised: with the normalised kernel, the adjoint of pooling (DyReG), or the raw one;
            for :class:`~stgraph.nodes.GridNodes` the raw one gives the area resize of every
            scale's grid to the map, summed over scales (RSTG-to-map).

    Shapes:
        ``x [V, C]``, frame graphs → ``[B, T, C, H, W]``, where the features had their frames;
        frames that do not exist are 0.
    """

    def __init__(self, normalised: bool = True) -> None:
        super().__init__()
        self.normalised = flag("normalised", normalised)

    def spread(self, x: Tensor, graph: Batch) -> SpreadMaps:
        """What the maps of the frames that exist are made of, before they are written.

        Raises:
            InputError: when the graph has no kernels, or on another number of nodes.
        """
        if getattr(graph, "kernel", None) is None:
            raise InputError("graph", "a `kernel` for every node", "none")
        kernel = graph.kernel
        if not self.normalised:  # not to x: masses are up to H·W, and x times that overflows a half
            kernel = kernel * graph.mass[:, None, None]
        return SpreadMaps(to_frames(x, graph), to_frames(kernel.to(x.dtype), graph))

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Spread ``x [V, C]`` over the maps that the graph came from.

        Raises:
            InputError: when the graph has no kernels, or on another number of nodes.
        """
        return to_maps(self.spread(x, graph).written(), graph)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"normalised={self.normalised}"
