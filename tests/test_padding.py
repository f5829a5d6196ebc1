"""Clips of different lengths in one batch are the same clips one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GCNConv

from stgraph import GraphBlock, SpaceTimeGraph, insert
from stgraph.backbones import (
    NonLocalBlock,
    RecurrentClassifier,
    TemporalShift,
    TinyCNN,
    i3d_resnet50,
)
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import FullEdges, NearestEdges, space_time_graph, temporal_edges
from stgraph.graph import (
    Layout,
    as_clips,
    frame_mask,
    frame_of,
    layout_of,
    newest,
    presence,
    to_dense,
    validate,
)
from stgraph.layers import (
    AggregateReadout,
    Broadcast,
    GraphConv,
    Readout,
    Remap,
    SpaceLayer,
    TimeLayer,
)
from stgraph.nodes import BoxNodes, DynamicRegions, GridNodes, NodeExtractor, Regions
from stgraph.padding import align, check_frame_mask, front, pad_clips, put_frames, take_frames
from tests.test_compositions import Composition, compositions, same, some


def masks(clips: int, frames: int, seed: int, kind: str) -> torch.Tensor:
    """Which frames exist: the first few, or any; some frame of the batch always does."""
    rand = torch.rand(clips, frames, generator=torch.Generator().manual_seed(seed))
    mask = rand < 0.6
    mask[0, -1] = True
    return front(mask) if kind == "prefix" else mask
