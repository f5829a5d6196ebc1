"""Clips of real videos: reading frames, choosing them, and cutting views out of them."""

from stgraph.datasets.videos.bad import raise_error, skip
from stgraph.datasets.videos.brightness import Brightness, ColourChange
from stgraph.datasets.videos.colours import ColourStatistics, colour_statistics
from stgraph.datasets.videos.crops import Crops, MultiScaleCrops, RandomCrops, TrainCrops, View
from stgraph.datasets.videos.cuts import (
    CentreClips,
    ClipRule,
    OnDevice,
    ProtocolClips,
    TrainClips,
    protocol,
)
from stgraph.datasets.videos.cutting import cut, seen
from stgraph.datasets.videos.dataset import Annotations, OnError, VideoClips
from stgraph.datasets.videos.entries import Entry, long_enough, stretch
from stgraph.datasets.videos.flips import Flips, mirrored_name
from stgraph.datasets.videos.folder import VideoFolder, videos_in
from stgraph.datasets.videos.made_something import make_something
from stgraph.datasets.videos.manifest import VideoManifest
from stgraph.datasets.videos.moving_digits import MovingDigits
from stgraph.datasets.videos.reading import FrameFolder, Video, VideoFile, decoder, open_video
from stgraph.datasets.videos.sampling import (
    DenseWindow,
    EvenFrames,
    FrameSampler,
    OfficialSegments,
    Segments,
)
from stgraph.datasets.videos.something import SomethingSomething

__all__ = [
    "Annotations",
    "Brightness",
    "CentreClips",
    "ClipRule",
    "ColourChange",
    "ColourStatistics",
    "Crops",
    "DenseWindow",
    "Entry",
    "EvenFrames",
    "Flips",
    "FrameFolder",
    "FrameSampler",
    "MovingDigits",
    "MultiScaleCrops",
    "OfficialSegments",
    "OnDevice",
    "OnError",
    "ProtocolClips",
    "RandomCrops",
    "Segments",
    "SomethingSomething",
    "TrainClips",
    "TrainCrops",
    "Video",
    "VideoClips",
    "VideoFile",
    "VideoFolder",
    "VideoManifest",
    "View",
    "colour_statistics",
    "cut",
    "decoder",
    "long_enough",
    "make_something",
    "mirrored_name",
    "open_video",
    "protocol",
    "raise_error",
    "seen",
    "skip",
    "stretch",
    "videos_in",
]
