"""What a space-time network attends to, and the network as PyG's explainers ask for it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from stgraph.checks import InputError, choice
from stgraph.graph import attach_edges
from stgraph.layers import SpaceLayer, TemporalLayer
from stgraph.model import SpaceTimeGraph

__all__ = ["Frozen", "attention", "stages"]

OVER_HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": partial(torch.mean, dim=-1),
    "max": partial(torch.amax, dim=-1),
    "min": partial(torch.amin, dim=-1),
    "sum": partial(torch.sum, dim=-1),
    "none": lambda alpha: alpha,
}


def attention(net: SpaceTimeGraph, graph: Batch, reduce: str = "mean") -> dict[int, Tensor]:
    """Tell how much every node hears of every other one, in each space stage of a network.

    The graph holds what went into the layers, so nothing has to be recorded on the way: they run
    once more, from no memory, on a graph that the network made of whole clips. Weights are found
    where PyG's ``AttentionExplainer`` looks for them, in ``alpha`` of what messages are made of: in
    space layers, and in convolutions such as ``GATv2Conv`` or ``TransformerConv``; and in
    layers along time that tell them by ``weights(x, graph)``, of which it cannot ask. Those of
    loops that a convolution adds, and of edges that the graph has not, are left out. A convolution
    with dropout drops weights too, unless it is in evaluation mode.

    Args:
        net: the space-time network, for example the ``net`` of a graph block.
        graph: frame graphs that it returned.
        reduce: what becomes of the weights of several heads: ``"mean"``, ``"max"``, ``"min"``,
            ``"sum"``, or ``"none"``, which keeps them apart.

    Returns:
        Weights of the edges ``[E]`` (or ``[E, heads]``) by the place of the stage in the schedule;
        empty where no stage weighs edges. Of a stage that weighs them several times, as
        ``DirGNNConv`` around an attention does, the mean.

    Raises:
        InputError: on another ``reduce``.

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
    over_heads = OVER_HEADS[choice("reduce", reduce, OVER_HEADS)]
    layers = {
        name: layer if isinstance(layer, TemporalLayer) else _twin(layer)
        for name, layer in net.layers.items()
    }
    heard: list[Tensor] = []

    def hear(module: nn.Module, inputs: tuple[dict[str, Any]], out: Tensor) -> None:
        if (alpha := inputs[0].get("alpha")) is not None:
            heard.append(alpha)

    for layer in layers.values():
        for module in [] if isinstance(layer, TemporalLayer) else _messengers(layer):
            module.register_message_forward_hook(hear)
    x, found = graph.x, {}
    for place, name in enumerate(net.schedule):
        layer = layers[name]
        heard.clear()
        if tells := _weights_of(layer):
            heard.append(tells(x, graph))
        x = layer(x, graph)[0] if isinstance(layer, TemporalLayer) else layer(x, graph)
        if heard:
            found[place] = over_heads(torch.stack(heard).mean(0))
    return found


def _weights_of(layer: nn.Module) -> Callable[[Tensor, Batch], Tensor] | None:
    """What tells the weights of a layer whose messages cannot be heard: its ``weights``."""
    leaks = isinstance(layer, SpaceLayer) and layer.gather.leaks
    silent = leaks or isinstance(layer, TemporalLayer)
    tells: Callable[[Tensor, Batch], Tensor] | None = getattr(layer, "weights", None)
    return tells if silent else None


def stages(net: SpaceTimeGraph, graph: Batch) -> list[Tensor]:
    """The node features after each place of a network's schedule.

    Args:
        net: the space-time network, for example the ``net`` of a graph block.
        graph: frame graphs that it returned, of whole clips.

    Returns:
        Features ``[V, D]`` by the place in the schedule; the last ones are what the network
        returned with the graph.

    Examples:
        >>> import torch
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.nodes import GridNodes
        >>> grid = GridNodes(8, (2,), edges=FullEdges())
        >>> net = SpaceTimeGraph(grid, {"space": SpaceLayer(8)}, ("space",) * 2)
        >>> out = net(torch.randn(1, 3, 8, 6, 6))
        >>> [tuple(x.shape) for x in stages(net, out.graph)]
        [(12, 8), (12, 8)]
    """
    x, found = graph.x, []
    for name in net.schedule:
        layer = net.layers[name]
        x = layer(x, graph)[0] if isinstance(layer, TemporalLayer) else layer(x, graph)
        found.append(x)
    return found


def _twin(layer: nn.Module) -> nn.Module:
    """A copy of a layer to listen to: other modules, the same tensors.

    Its space layers run along edges where they can, and whoever listens to messages is told the
    weights of the graph's edges, in their order.
    """
    held = (value for module in layer.modules() for value in vars(module).values())
    tensors = [*layer.parameters(), *layer.buffers(), *held]
    twin = deepcopy(layer, {id(t): t for t in tensors if isinstance(t, Tensor)})
    edges: dict[str, Tensor] = {}
    twin.register_forward_pre_hook(lambda _, inputs: edges.update(graph=inputs[1].edge_index))
    for module in _messengers(twin):
        if not isinstance(module, SpaceLayer):
            _align(module, edges)
        elif not module.gather.leaks:
            module.path = "sparse"
    return twin


def _messengers(layer: nn.Module) -> list[MessagePassing]:
    return [module for module in layer.modules() if isinstance(module, MessagePassing)]


def _align(module: MessagePassing, edges: dict[str, Tensor]) -> None:
    """Tell what listens to a convolution's messages the weights of the graph's own edges.

    Convolutions with loops of their own take those of the graph out and add theirs at the end. So
    their weights are others than the graph's edges, which ``AttentionExplainer`` does not ask.
    """

    def listen(hook: Callable[..., Any]) -> Any:
        def told(module: nn.Module, inputs: tuple[dict[str, Any]], out: Tensor) -> Any:
            alpha = inputs[0].get("alpha")
            alpha = getattr(module, "_alpha", None) if alpha is None else alpha
            rest = {name: value for name, value in inputs[0].items() if name != "alpha"}
            if isinstance(alpha, Tensor) and alpha.size(0) == edges["run"].size(1):
                rest["alpha"] = _of_graph(alpha, edges["run"], edges["graph"])
            return hook(module, (rest,), out)

        return register(told)

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        edges["run"] = inputs[0]

    register = module.register_message_forward_hook
    vars(module)["register_message_forward_hook"] = listen
    module.register_propagate_forward_pre_hook(note)


def _of_graph(alpha: Tensor, run: Tensor, edges: Tensor) -> Tensor:
    """Weights ``[E, heads]`` of a graph's edges, from those ``[E', …]`` of the edges of a run."""
    alpha = alpha[:, None] if alpha.dim() == 1 else alpha.flatten(1)
    rows = 1 + max(int(each.max()) if each.numel() else 0 for each in (run, edges))
    known, order = (run[1] * rows + run[0]).sort(stable=True)
    wanted = edges[1] * rows + edges[0]
    place = torch.searchsorted(known, wanted).clamp(max=max(len(known) - 1, 0))
    if not len(known):
        return alpha.new_zeros(len(wanted), alpha.size(1))
    there = known[place] == wanted
    return alpha[order[place]] * there[:, None]


class Frozen(nn.Module):
    """The layers of a space-time network on a graph that stays as it is.

    Extractors place their nodes by the features, and so cannot be asked what an edge or a feature
    of a node is worth. Here nodes, boxes and kernels are those of one graph, and only features and
    edges are arguments. Messages run along the edges, whatever the layers' ``path``. PyG's
    ``AttentionExplainer`` finds in it the weights of :func:`attention`.

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
            if _weights_of(layer) is not None:
                raise InputError(
                    f"layers[{name!r}]", "a layer whose messages run along edges", type(layer)
                )
            layers[name] = layer if isinstance(layer, TemporalLayer) else _twin(layer)
        self.layers, self.schedule, self.graph = nn.ModuleDict(layers), net.schedule, graph

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Run the schedule, from no memory."""
        graph = attach_edges(self.graph, edge_index)
        for name in self.schedule:
            layer = self.layers[name]
            x = layer(x, graph)[0] if isinstance(layer, TemporalLayer) else layer(x, graph)
        return x
