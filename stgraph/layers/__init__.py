"""Layers: in space, along time, and between nodes and maps or vectors."""

from stgraph.layers.adapters import GraphConv, PerNode
from stgraph.layers.attention_time import AttentionTime, Recent
from stgraph.layers.base import TemporalLayer
from stgraph.layers.broadcast import Broadcast
from stgraph.layers.common_fate import CommonFate, Offsets
from stgraph.layers.displacement import Displacement, LastSeen
from stgraph.layers.gather import (
    AdditiveAttention,
    DotAttention,
    Gather,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MeanGather,
    RawDotAttention,
    SumGather,
)
from stgraph.layers.homogeneous import HomogeneousLayer, Previous
from stgraph.layers.map_norm import ClipMapNorm, FrameMapNorm, MapNorm, Scaled
from stgraph.layers.mean_time import ClipMeanTime, MeanTime, NodeMeans
from stgraph.layers.norm import ClipNorm, FrameNorm, NodeNorm, RowNorm
from stgraph.layers.positions import BoxPosition, GaussianMaps, KernelEmbedding, KernelPosition
from stgraph.layers.readout import AggregateReadout, Readout, RunningMean, mean_over_time
from stgraph.layers.remap import Remap
from stgraph.layers.send import ConcatSend, Send, SumSend
from stgraph.layers.space import SpaceLayer
from stgraph.layers.time import TimeLayer, gru_over_time
from stgraph.layers.update import (
    AddUpdate,
    MLPUpdate,
    ReplaceUpdate,
    ScaleUpdate,
    SumUpdate,
    Update,
)

__all__ = [
    "AddUpdate",
    "AdditiveAttention",
    "AggregateReadout",
    "AttentionTime",
    "BoxPosition",
    "Broadcast",
    "ClipMapNorm",
    "ClipMeanTime",
    "ClipNorm",
    "CommonFate",
    "ConcatSend",
    "Displacement",
    "DotAttention",
    "FrameMapNorm",
    "FrameNorm",
    "Gather",
    "GaussianMaps",
    "GraphConv",
    "HomogeneousLayer",
    "KernelEmbedding",
    "KernelPosition",
    "LastSeen",
    "LeakingAdditiveAttention",
    "LeakingDotAttention",
    "MLPUpdate",
    "MapNorm",
    "MeanGather",
    "MeanTime",
    "NodeMeans",
    "NodeNorm",
    "Offsets",
    "PerNode",
    "Previous",
    "RawDotAttention",
    "Readout",
    "Recent",
    "Remap",
    "ReplaceUpdate",
    "RowNorm",
    "RunningMean",
    "ScaleUpdate",
    "Scaled",
    "Send",
    "SpaceLayer",
    "SumGather",
    "SumSend",
    "SumUpdate",
    "TemporalLayer",
    "TimeLayer",
    "Update",
    "gru_over_time",
    "mean_over_time",
]
