"""Layers: in space, along time, and between nodes and maps or vectors."""

from stgraph.layers.adapters import GraphConv, PerNode
from stgraph.layers.base import TemporalLayer
from stgraph.layers.gather import AdditiveAttention, DotAttention, Gather, MeanGather
from stgraph.layers.norm import FrameNorm, NodeNorm
from stgraph.layers.positions import GaussianMaps, KernelPosition
from stgraph.layers.readout import Readout, RunningMean, mean_over_time
from stgraph.layers.remap import Remap
from stgraph.layers.send import ConcatSend, Send, SumSend
from stgraph.layers.space import SpaceLayer
from stgraph.layers.time import TimeLayer
from stgraph.layers.update import AddUpdate, MLPUpdate, Update

__all__ = [
    "AddUpdate",
    "AdditiveAttention",
    "ConcatSend",
    "DotAttention",
    "FrameNorm",
    "Gather",
    "GaussianMaps",
    "GraphConv",
    "KernelPosition",
    "MLPUpdate",
    "MeanGather",
    "NodeNorm",
    "PerNode",
    "Readout",
    "Remap",
    "RunningMean",
    "Send",
    "SpaceLayer",
    "SumSend",
    "TemporalLayer",
    "TimeLayer",
    "Update",
    "mean_over_time",
]
