"""What a space-time network attends to, and the network as PyG's explainers ask for it."""

from __future__ import annotations

from copy import copy

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.graph import attach_edges
from stgraph.layers import HomogeneousLayer, SpaceLayer, TemporalLayer
from stgraph.model import SpaceTimeGraph

__all__ = ["Frozen", "attention"]


def attention(net: SpaceTimeGraph, graph: Batch) -> dict[int, Tensor]:
    """Tell how much every node hears of every other one, in each space stage of a network.

    The graph holds what went into the layers, so nothing has to be recorded on the way: they run
    once more, from no memory, on a graph that the network made of whole clips.

    Args:
        net: the space-time network, for example the ``net`` of a graph block.
        graph: frame graphs that it returned.

    Returns:
        Weights of the edges ``[E]`` (the mean over heads) by the place of the stage in the
        schedule; empty where no stage weighs edges.

    Examples:
        >>> import torch
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.nodes import GridNodes
        >>> grid = GridNodes(8, (2,), edges=FullEdges())
        >>> net = SpaceTimeGraph(grid, {"space": SpaceLayer(8)}, ("space",) * 2)
        >>> graph = net(torch.randn(1, 3, 8, 6, 6)).graph
        >>> alpha = attention(net, graph)
        >>> list(alpha), round(float(alpha[0][graph.edge_index[1] == 0].sum().detach()), 4)
        ([0, 1], 1.0)
    """
    x, found = graph.x, {}
    for place, name in enumerate(net.schedule):
        layer = net.layers[name]
        if isinstance(layer, SpaceLayer):
            found[place] = layer.attention(x, graph)
        x = layer(x, graph)[0] if isinstance(layer, TemporalLayer) else layer(x, graph)
    return found


class Frozen(nn.Module):
    """The layers of a space-time network on a graph that stays as it is.

    Extractors place their nodes by the features, and so cannot be asked what an edge or a feature
    of a node is worth. Here nodes, boxes and kernels are those of one graph, and only features and
    edges are arguments. Messages run along the edges, whatever the layers' ``path``.

    Args:
        net: the space-time network; its parameters are shared.
        graph: frame graphs that it made.

    Shapes:
        ``x [V, C]``, ``edge_index [2, E]`` → ``[V, D]``.

    Raises:
        InputError: when a layer weighs nodes that no edge joins, so no edge can be explained.

    Examples:
        >>> import torch
        >>> from torch_geometric.explain import Explainer, GNNExplainer
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.nodes import GridNodes
        >>> grid = GridNodes(8, (2,), edges=FullEdges())
        >>> net = SpaceTimeGraph(grid, {"space": SpaceLayer(8)}, ("space",))
        >>> graph = net(torch.randn(1, 3, 8, 6, 6)).graph
        >>> explainer = Explainer(
        ...     Frozen(net, graph),
        ...     GNNExplainer(epochs=2),
        ...     explanation_type="model",
        ...     edge_mask_type="object",
        ...     model_config={
        ...         "mode": "regression", "task_level": "node", "return_type": "raw"
        ...     },
        ... )
        >>> explainer(graph.x.detach(), graph.edge_index, index=7).edge_mask.shape
        torch.Size([48])
    """

    def __init__(self, net: SpaceTimeGraph, graph: Batch) -> None:
        super().__init__()
        layers = {}
        for name, layer in net.layers.items():
            if isinstance(layer, HomogeneousLayer) or (
                isinstance(layer, SpaceLayer) and layer.gather.leaks
            ):
                raise InputError(
                    f"layers[{name!r}]", "a layer whose messages run along edges", type(layer)
                )
            if isinstance(layer, SpaceLayer):
                layer = copy(layer)
                layer.path = "sparse"
            layers[name] = layer
        self.layers, self.schedule, self.graph = nn.ModuleDict(layers), net.schedule, graph

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Run the schedule, from no memory."""
        graph = attach_edges(self.graph, edge_index)
        for name in self.schedule:
            layer = self.layers[name]
            x = layer(x, graph)[0] if isinstance(layer, TemporalLayer) else layer(x, graph)
        return x
