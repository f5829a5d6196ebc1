"""Whether a region stays with what it follows: matching one to one, purity, switches."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stgraph.checks import InputError
from stgraph.metrics.boxes import Boxes, check_pair, iou
from stgraph.metrics.ratio import Ratio

__all__ = ["Matches", "identity_switches", "match_tracks", "matched", "purity"]

Array = NDArray[Any]


class Matches(NamedTuple):
    """Which region each true box is matched with; on the CPU."""

    region: Tensor
    """Track of the region ``[B, T, M]`` (int64), its identity; −1 for none."""
    hit: Tensor
    """Which boxes are matched ``[B, T, M]`` (bool)."""
    true: Boxes


def match_tracks(found: Boxes, true: Boxes, threshold: float = 0.5) -> Matches:
    """Match regions and true boxes one to one, frame by frame (Hungarian method).

    As for CLEAR MOT (Bernardin and Stiefelhagen 2008, in the form of TrackEval): pairs of the frame
    before that still overlap enough stay together; of all such matchings the one with the largest
    sum of IoUs is taken. Frames without regions or without true boxes are passed over.

    This brings the boxes to the CPU and takes about 30 µs a frame.

    Args:
        found: regions, with their identities as tracks.
        true: true boxes.
        threshold: smallest IoU of a pair, above 0.

    Raises:
        InputError: on a threshold outside 0..1 or 0, when they are not of the same frames, and on a
            track that stands twice in a frame.
    """
    if isinstance(threshold, bool) or not 0 < threshold <= 1:
        raise InputError("threshold", "a number above 0, up to 1", threshold)
    check_pair(found, true)
    there = found.present[..., :, None] & true.present[..., None, :]
    overlap = iou(found.box, true.box).masked_fill(~there, 0)
    score = overlap.masked_fill(overlap < threshold, 0).cpu().numpy().astype(np.float64)
    tracks = [_ids("found", found), _ids("true", true)]
    passed = ~(found.present.any(2) & true.present.any(2)).cpu().numpy()
    region = np.full(true.track.shape, -1, dtype=np.int64)
    hit = np.zeros(true.track.shape, dtype=bool)
    for b in range(len(score)):
        held: dict[int, int] = {}  # region by true track, in the frame before
        for t in np.flatnonzero(~passed[b]):
            mine, theirs = tracks[0][b, t], tracks[1][b, t]
            rows, columns = _pairs(score[b, t], mine, theirs, held)
            region[b, t, columns], hit[b, t, columns] = mine[rows], True
            held = dict(zip(theirs[columns].tolist(), mine[rows].tolist(), strict=True))
    on_cpu = Boxes(*(field.cpu() for field in true))
    return Matches(torch.from_numpy(region), torch.from_numpy(hit), on_cpu)


def _pairs(score: Array, mine: Array, theirs: Array, held: dict[int, int]) -> tuple[Array, Array]:
    """The best matching of a frame: slots of regions and of true boxes."""
    keeps = np.array([held.get(int(track), -1) for track in theirs])
    known = np.array([int(track) in held for track in theirs], dtype=bool)
    # one pair that is kept weighs more than all IoUs of a matching together
    stays = (mine[:, None] == keeps) & known & (score > 0)
    rows, columns = linear_sum_assignment(score + (min(score.shape) + 1) * stays, maximize=True)
    pairs = score[rows, columns] > 0
    return rows[pairs], columns[pairs]


def _ids(name: str, boxes: Boxes) -> Array:
    """Tracks ``[B, T, M]``, after a check that each stands at most once a frame."""
    track, present = boxes.track.cpu(), boxes.present.cpu()
    both = present[..., None] & present[..., None, :]
    twice = ((track[..., None] == track[..., None, :]) & both).sum(-1) > 1
    if twice.any():
        place = twice.nonzero()[0].tolist()
        raise InputError(f"{name}.track", "an id once a frame", f"one twice at {place}")
    ids: Array = track.numpy()
    return ids


def matched(matches: Matches) -> Ratio:
    """Share of true boxes that are matched with a region."""
    return Ratio.of(matches.hit.double(), matches.true.present)


def purity(matches: Matches) -> Ratio:
    r"""Share of a region's matches that are with the track that it follows most.

    .. math:: \frac{\sum_{b,i} \max_k n_{b,i,k}}{\sum_{b,i,k} n_{b,i,k}}

    where region i of clip b is matched with track k in :math:`n_{b,i,k}` frames; over all matches
    (the purity of a clustering, Manning, Raghavan and Schütze, §16.3).
    """
    region, hit, track = _arrays(matches)
    counts = [
        Counter(zip(region[b][hit[b]].tolist(), track[b][hit[b]].tolist(), strict=True))
        for b in range(len(hit))
    ]
    most = 0
    for pairs in counts:
        best: dict[int, int] = defaultdict(int)
        for (one, _), times in pairs.items():
            best[one] = max(best[one], times)
        most += sum(best.values())
    return _ratio(most, int(hit.sum()))


def identity_switches(matches: Matches) -> Ratio:
    """Share of occasions on which a track is matched with another region than it was last.

    The total is the number of switches (CLEAR MOT), over all matches but the first of each track.
    """
    region, hit, track = _arrays(matches)
    switches = occasions = 0
    for b in range(len(hit)):
        last: dict[int, int] = {}
        for t, m in np.argwhere(hit[b]).tolist():
            one, now = int(track[b, t, m]), int(region[b, t, m])
            occasions += one in last
            switches += last.get(one, now) != now
            last[one] = now
    return _ratio(switches, occasions)


def _arrays(matches: Matches) -> tuple[Array, Array, Array]:
    return matches.region.numpy(), matches.hit.numpy(), matches.true.track.numpy()


def _ratio(total: int, count: int) -> Ratio:
    return Ratio(torch.tensor(float(total)).double(), torch.tensor(float(count)).double())
