"""One vector a clip, everywhere on its maps."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.graph import clips_of
from stgraph.layers.readout import Readout

__all__ = ["Broadcast"]


class Broadcast(nn.Module):
    r"""Write a readout to every point of every frame, :math:`y(t, p) = \mathrm{readout}(v)`.

    Added to maps that are averaged afterwards, it adds the vector to their average: so a
    :class:`~stgraph.GraphBlock` with this remap before a CNN's global pooling is RSTG-to-vec.

    Args:
        readout: nodes to a vector; their sum, averaged over time, by default.
        norm: of the maps that this makes, ``[B, T, C, H, W]``; none by default. Over a clip
            (:class:`~stgraph.layers.ClipMapNorm`) it is the vector's own.

    Shapes:
        ``x [V, C]``, frame graphs → ``[B, T, C, H, W]``, a view where there is no norm.
    """

    causal = False

    def __init__(self, readout: Readout | None = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm
        self.readout = Readout() if readout is None else readout

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Read out ``x [V, C]`` and spread it over the maps that the graph came from."""
        layout = clips_of(graph)
        vector: Tensor = self.readout(x, graph)
        sizes = (layout.clips, layout.frames, -1, layout.height, layout.width)
        maps = vector[:, None, :, None, None].expand(sizes)
        return maps if self.norm is None else self.norm(maps)
