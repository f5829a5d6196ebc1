"""Node extractors: each turns feature maps into frame graphs."""

from stgraph.nodes.base import NodeExtractor, NodeState, Regions
from stgraph.nodes.boxes import BoxNodes, WindowKernel
from stgraph.nodes.class_nodes import ClassNodes
from stgraph.nodes.competition import Competition
from stgraph.nodes.constant import ConstantRegions
from stgraph.nodes.detections import Tracks, pad_detections, relative_boxes, track_slots
from stgraph.nodes.dynamic import DynamicRegions
from stgraph.nodes.fixed import FixedRegions
from stgraph.nodes.generators import (
    LargeGenerator,
    SmallGenerator,
    official_small_generator,
)
from stgraph.nodes.grid import GridNodes
from stgraph.nodes.masks import MaskNodes
from stgraph.nodes.mean_shift import MeanShiftRegions, MeanShiftState
from stgraph.nodes.points import PointNodes
from stgraph.nodes.refined import RefinedRegions
from stgraph.nodes.saliency import Change, Contrast, Energy, FilterEnergy, LearnedSaliency, Saliency
from stgraph.nodes.semantic import HourGlass, SemanticNodes, spatial_softmax
from stgraph.nodes.slots import SlotNodes
from stgraph.nodes.static import StaticRegions
from stgraph.nodes.window_regions import WindowRegions
from stgraph.nodes.windows import (
    FixedSizeWindows,
    WindowRule,
    Windows,
    centre_anchors,
    grid_anchors,
)

__all__ = [
    "BoxNodes",
    "Change",
    "ClassNodes",
    "Competition",
    "ConstantRegions",
    "Contrast",
    "DynamicRegions",
    "Energy",
    "FilterEnergy",
    "FixedRegions",
    "FixedSizeWindows",
    "GridNodes",
    "HourGlass",
    "LargeGenerator",
    "LearnedSaliency",
    "MaskNodes",
    "MeanShiftRegions",
    "MeanShiftState",
    "NodeExtractor",
    "NodeState",
    "PointNodes",
    "RefinedRegions",
    "Regions",
    "Saliency",
    "SemanticNodes",
    "SlotNodes",
    "SmallGenerator",
    "StaticRegions",
    "Tracks",
    "WindowKernel",
    "WindowRegions",
    "WindowRule",
    "Windows",
    "centre_anchors",
    "grid_anchors",
    "official_small_generator",
    "pad_detections",
    "relative_boxes",
    "spatial_softmax",
    "track_slots",
]
