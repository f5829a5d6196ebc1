"""All that is measured of regions against true boxes, at once."""

from __future__ import annotations

from stgraph.metrics.boxes import Boxes, check_pair
from stgraph.metrics.motion import common_motion, displacement_error
from stgraph.metrics.overlap import iou_precision, iou_recall, l2_precision, l2_recall, recall
from stgraph.metrics.ratio import Ratio
from stgraph.metrics.tracks import identity_switches, match_tracks, matched, purity

__all__ = ["object_metrics"]


def object_metrics(found: Boxes, true: Boxes, threshold: float = 0.5) -> dict[str, Ratio]:
    """Measure regions against true boxes: see :mod:`stgraph.metrics` for what each number is.

    Ratios of several batches add up; the score of the DyReG paper, ``iou``, is the
    :func:`~stgraph.metrics.harmonic_mean` of ``iou_p`` and ``iou_r`` once they have.

    Args:
        found: regions.
        true: true boxes.
        threshold: smallest IoU at which a region has found a box, above 0.

    Raises:
        InputError: when they are not of the same frames, on a threshold outside 0..1 or 0, and on a
            track that stands twice in a frame.

    Examples:
        >>> import torch
        >>> from stgraph.metrics import boxes_of_batch, grid_baseline
        >>> cell = torch.tensor([0.0, 0.0, 1 / 3, 1 / 3])
        >>> true = boxes_of_batch({"box": cell.expand(1, 2, 1, 4)})
        >>> measured = object_metrics(grid_baseline(true), true)
        >>> round(measured["iou_p"].value, 4), measured["iou_r"].value
        (0.1111, 1.0)
    """
    check_pair(found, true)
    matches = match_tracks(found, true, threshold)
    return {
        "iou_p": iou_precision(found, true),
        "iou_r": iou_recall(found, true),
        "recall": recall(found, true, threshold),
        "l2_p": l2_precision(found, true),
        "l2_r": l2_recall(found, true),
        "displacement": displacement_error(found, true),
        "common": common_motion(found),
        "matched": matched(matches),
        "purity": purity(matches),
        "switches": identity_switches(matches),
    }
