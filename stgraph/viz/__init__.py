"""Pictures of video graphs and pages about runs: pure functions of tensors and graphs.

Matplotlib, Pillow and PyAV are imported when a function first needs them
(``pip install "stgraph-video[viz]"``).
"""

from __future__ import annotations

from stgraph.viz.about import About, about_here
from stgraph.viz.animate import animation_bytes, data_uri, image_bytes, write_animation
from stgraph.viz.attention import (
    attention_graph,
    attention_matrix,
    attention_networkx,
    weight_matrix,
)
from stgraph.viz.clips import ClipView, clip_edges
from stgraph.viz.colours import identity_colour, identity_colours, identity_hex
from stgraph.viz.curves import OBJECTS, RunCurve, accuracy_table, learning_curve, objects_table
from stgraph.viz.html import Html, Report
from stgraph.viz.regions import region_frames
from stgraph.viz.report import demo_report, show
from stgraph.viz.trajectories import trajectories

__all__ = [
    "OBJECTS",
    "About",
    "ClipView",
    "Html",
    "Report",
    "RunCurve",
    "about_here",
    "accuracy_table",
    "animation_bytes",
    "attention_graph",
    "attention_matrix",
    "attention_networkx",
    "clip_edges",
    "data_uri",
    "demo_report",
    "identity_colour",
    "identity_colours",
    "identity_hex",
    "image_bytes",
    "learning_curve",
    "objects_table",
    "region_frames",
    "show",
    "trajectories",
    "weight_matrix",
    "write_animation",
]
