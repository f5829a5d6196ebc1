"""Clips of real videos: reading frames, choosing them, and cutting views out of them."""

from stgraph.datasets.videos.crops import Crops, MultiScaleCrops, View
from stgraph.datasets.videos.reading import FrameFolder, Video, VideoFile, decoder, open_video
from stgraph.datasets.videos.sampling import (
    DenseWindow,
    EvenFrames,
    FrameSampler,
    OfficialSegments,
    Segments,
)

__all__ = [
    "Crops",
    "DenseWindow",
    "EvenFrames",
    "FrameFolder",
    "FrameSampler",
    "MultiScaleCrops",
    "OfficialSegments",
    "Segments",
    "Video",
    "VideoFile",
    "View",
    "decoder",
    "open_video",
]
