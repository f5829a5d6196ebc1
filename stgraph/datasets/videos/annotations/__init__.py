"""Boxes and masks of videos, from the files that annotators, detectors and trackers write.

Each class here is a part of a data set of videos, ``annotations=…``: called with a clip, its
frames, their size and the view that is seen of them, it returns fields of the clip. What the frames
of a video are called differs from format to format; here they are numbers, from 0, in the order of
display. Numbers of frames are those of the whole video, also where a clip is a part of it.
"""

from stgraph.datasets.videos.annotations.boxes import Boxes
from stgraph.datasets.videos.annotations.coco import CocoBoxes, CocoMasks, FrameOf
from stgraph.datasets.videos.annotations.column import ColumnBoxes
from stgraph.datasets.videos.annotations.mask_table import TableMasks
from stgraph.datasets.videos.annotations.masks import Mask, Masks
from stgraph.datasets.videos.annotations.mot import MotBoxes
from stgraph.datasets.videos.annotations.png import PngMasks
from stgraph.datasets.videos.annotations.polygons import polygons_of, runs_of_polygons
from stgraph.datasets.videos.annotations.rle import mask_of_runs, runs_of_rle
from stgraph.datasets.videos.annotations.something_else import SomethingElseBoxes
from stgraph.datasets.videos.annotations.stored import open_table, save_table
from stgraph.datasets.videos.annotations.table import Table, TableWriter
from stgraph.datasets.videos.annotations.values import NumberedFrames
from stgraph.datasets.videos.annotations.youtube_vis import YouTubeVisBoxes, YouTubeVisMasks

__all__ = [
    "Boxes",
    "CocoBoxes",
    "CocoMasks",
    "ColumnBoxes",
    "FrameOf",
    "Mask",
    "Masks",
    "MotBoxes",
    "NumberedFrames",
    "PngMasks",
    "SomethingElseBoxes",
    "Table",
    "TableMasks",
    "TableWriter",
    "YouTubeVisBoxes",
    "YouTubeVisMasks",
    "mask_of_runs",
    "open_table",
    "polygons_of",
    "runs_of_polygons",
    "runs_of_rle",
    "save_table",
]
