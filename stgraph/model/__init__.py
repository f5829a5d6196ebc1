"""The space-time graph, its schedule and state, and the graph block made of it."""

from stgraph.model.block import BlockOutput, GraphBlock, GraphStage
from stgraph.model.net import Output, SpaceTimeGraph, State, detached

__all__ = [
    "BlockOutput",
    "GraphBlock",
    "GraphStage",
    "Output",
    "SpaceTimeGraph",
    "State",
    "detached",
]
