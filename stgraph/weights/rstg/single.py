"""A graph of the official RSTG code by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stgraph.checks import InputError, flag, integer
from stgraph.edges import EdgeBuilder
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.weights.by_name import Loaded
from stgraph.weights.rstg.files import Source, variables_of
from stgraph.weights.rstg.graph import GraphOptions, constants, make_graph
from stgraph.weights.rstg.loading import load_parts
from stgraph.weights.rstg.names import residual_tags, sort_names

__all__ = ["OfficialGraph", "rstg_graph_from_official"]


class OfficialGraph(NamedTuple):
    """A graph made of official weights, and what became of every name."""

    net: SpaceTimeGraph
    """From maps to nodes, in evaluation mode."""
    block: GraphBlock | None
    """The same ``net`` as a residual block of a CNN; ``None`` where there is no norm for it, as on
    SyncMNIST."""
    report: Loaded
    """Names used and skipped as they stand in the file; missing as in ``block`` or ``net``."""


def rstg_graph_from_official(
    source: Source,
    rounds: int = 3,
    edges: str | EdgeBuilder | Any = "grid",
    to_map: bool | None = None,
    scales: int | Sequence[int] | None = None,
    frame: int = 224,
    forget_bias: float = 1.0,
) -> OfficialGraph:
    """Build the space-time graph that official RSTG weights belong to, and load them.

    Read off the weights: widths, linear maps in and out, which norms there are, positions, layers
    of messages and updates, an update for each scale, dot-product or additive attention, whether
    LSTMs run in the rounds ("1-temp" has none), and the residual's norm.

    Args:
        source: an ``.npz``, or arrays by the names of variables, of one graph: in any scope, with
            or without ``:0``, slots of optimisers and other variables among them.
        rounds: spatial iterations K, which leave no trace; 3 in the official configurations. The
            LSTM of the rounds stops after round 3, as it does there.
        edges: ``"grid"``, ``"full"`` (with loops), ``"full_noloops"``, an adjacency ``[N, N]`` of
            zeros and ones, or an edge builder.
        to_map: whether the block writes nodes back to maps, or reads them out to a vector; by
            default to maps, unless the scope ends in ``final``.
        scales: grid sides, or how many; by default read off updates and positions, else 3.
        frame: side of the frames in pixels, which the adjacency of the grid is computed for.
        forget_bias: what a cell of TensorFlow's own adds to its forget gate; cuDNN's and compatible
            ones add nothing, whatever this is.

    Returns:
        The graph, the block, and a report of every name. ``skipped`` are slots of optimisers and
        what belongs to no graph.

    Raises:
        InputError: when a variable of the graph is missing, has another shape or would not be used,
            or the positions are others than those that are computed here.
    """
    state = variables_of(source)
    found = sort_names(name for name, value in state.items() if value.numel())
    if len(found.graphs) != 1:
        came = list(found.graphs) or f"none, but {list(state)[:4]}"
        raise InputError("source", "the variables of one graph", came)
    (scope,) = found.graphs
    options = GraphOptions(integer("rounds", rounds, 0), edges, scales, frame, forget_bias)
    residual = residual_tags(found).get(scope)
    to_map = not scope.endswith("final") if to_map is None else flag("to_map", to_map)
    form = "nodes" if residual is None else "map" if to_map else "vec"
    made = make_graph(found, scope, residual, state, options, form)
    report = load_parts(made.module, [made.part], state, constants(found, state, [made.net]))
    made.module.eval()
    block = made.module if isinstance(made.module, GraphBlock) else None
    return OfficialGraph(made.net, block, report)
