"""How good answers and regions are: accuracies, overlap with true boxes, movement, tracks.

Accuracies are of logits and labels. All that is about regions compares two :class:`Boxes`, those
that were found and those that are true: :func:`boxes_of_graph` reads the contract's fields of frame
graphs of any extractor, :func:`boxes_of_batch` those of a clip batch, and the baselines make some
without a model. :func:`object_metrics` is all of it at once:

================  =================================================================================
``iou_p``         mean over regions of the largest IoU with a true box (DyReG)
``iou_r``         mean over true boxes of the largest IoU with a region (DyReG)
``iou``           harmonic mean of these two, of the means over all clips
``recall``        share of true boxes with a region of IoU ≥ threshold: recall at N, of N regions
``l2_p``          mean distance from a region's centre to the nearest true centre
``l2_r``          mean distance from a true centre to the nearest region's
``displacement``  mean error of the movement of a region that follows a box
``common``        share of the regions' movement that is the same for all of them
``matched``       share of true boxes that are matched with a region, one to one (Hungarian)
``purity``        share of a region's matches that are with the track that it follows most
``switches``      share of occasions on which a track is matched with another region than before
================  =================================================================================

Distances and movements are in sides of the frame, x in widths and y in heights; the rest are
shares. Every number is a :class:`Ratio`: a total and what it is a mean over, so that batches and
processes add up exactly. **What is not there** counts as follows:

- Padding is no frame. Absent nodes and boxes are not read, whatever they hold.
- A frame without true boxes says nothing about regions, and is left out of ``iou_p`` and ``l2_p``:
  annotations may lack it.
- A frame without regions misses its true boxes: 0 in ``iou_r``, ``recall`` and ``matched``, and √2,
  the frame's diagonal, in ``l2_r``.
- A box without area overlaps nothing: IoU 0.
- What is a mean over nothing has the value ``None``, and is not logged; it is never nan.

The functions need torch and scipy. :mod:`stgraph.metrics.running` has the same as metrics of
torchmetrics, summed over many batches and processes.
"""

from stgraph.metrics.answers import (
    Interval,
    accuracy,
    average_views,
    confusion,
    hits,
    per_class,
    wilson,
)
from stgraph.metrics.baselines import centre_baseline, detector_baseline, grid_baseline
from stgraph.metrics.boxes import Boxes, at_frames, boxes_of_batch, boxes_of_graph, iou
from stgraph.metrics.motion import common_motion, displacement_error
from stgraph.metrics.objects import object_metrics
from stgraph.metrics.overlap import (
    iou_precision,
    iou_recall,
    l2_precision,
    l2_recall,
    nearest_region,
    recall,
)
from stgraph.metrics.ratio import Ratio, harmonic_mean
from stgraph.metrics.tracks import Matches, identity_switches, match_tracks, matched, purity

__all__ = [
    "Boxes",
    "Interval",
    "Matches",
    "Ratio",
    "accuracy",
    "at_frames",
    "average_views",
    "boxes_of_batch",
    "boxes_of_graph",
    "centre_baseline",
    "common_motion",
    "confusion",
    "detector_baseline",
    "displacement_error",
    "grid_baseline",
    "harmonic_mean",
    "hits",
    "identity_switches",
    "iou",
    "iou_precision",
    "iou_recall",
    "l2_precision",
    "l2_recall",
    "match_tracks",
    "matched",
    "nearest_region",
    "object_metrics",
    "per_class",
    "purity",
    "recall",
    "wilson",
]
