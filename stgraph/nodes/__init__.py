"""Node extractors: each turns feature maps into frame graphs."""

from stgraph.nodes.base import NodeExtractor, NodeState, Regions
from stgraph.nodes.dynamic import DynamicRegions
from stgraph.nodes.generators import LargeGenerator, SmallGenerator
from stgraph.nodes.grid import GridNodes
from stgraph.nodes.windows import Windows, centre_anchors, grid_anchors

__all__ = [
    "DynamicRegions",
    "GridNodes",
    "LargeGenerator",
    "NodeExtractor",
    "NodeState",
    "Regions",
    "SmallGenerator",
    "Windows",
    "centre_anchors",
    "grid_anchors",
]
