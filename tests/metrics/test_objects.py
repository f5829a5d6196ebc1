"""Regions against true boxes: by loops over plain numbers, by hand, and by what must hold."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from stgraph.checks import InputError
from stgraph.metrics import (
    Boxes,
    Ratio,
    at_frames,
    boxes_of_batch,
    common_motion,
    displacement_error,
    grid_baseline,
    harmonic_mean,
    identity_switches,
    iou,
    match_tracks,
    nearest_region,
    object_metrics,
    purity,
    recall,
)

Box = list[float]


def clips(seed: int, count: int, clips: int = 3, frames: int = 4, share: float = 0.7) -> Boxes:
    """Random boxes, of which some are absent, with tracks in random slots."""
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(clips, frames, count, 2, generator=random) * 0.6
    size = 0.05 + torch.rand(clips, frames, count, 2, generator=random) * 0.35
    ids = torch.rand(clips, frames, count + 1, generator=random).argsort(-1)[..., :count]
    return boxes_of_batch(
        {
            "box": torch.cat([corner, corner + size], -1).double(),
            "present": torch.rand(clips, frames, count, generator=random) < share,
            "track": ids,
        }
    )


def frame(boxes: Boxes, b: int, t: int) -> dict[int, Box]:
    """The boxes of a frame by track."""
    rows = zip(boxes.box[b, t].tolist(), boxes.present[b, t], boxes.track[b, t], strict=True)
    return {int(track): box for box, present, track in rows if present}


def frames(boxes: Boxes) -> list[list[dict[int, Box]]]:
    """All frames of all clips."""
    B, T = boxes.exists.shape
    return [[frame(boxes, b, t) for t in range(T)] for b in range(B)]


def overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
    return width * height / (sum(areas) - width * height)


def centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def distance(a: Box, b: Box) -> float:
    return math.dist(centre(a), centre(b))


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def moved(before: Box, after: Box) -> tuple[float, float]:
    (x, y), (u, v) = centre(before), centre(after)
    return u - x, v - y


def best_matching(
    regions: dict[int, Box], boxes: dict[int, Box], held: dict[int, int], threshold: float
) -> dict[int, int]:
    """Region by box: of all matchings the one that keeps most pairs, then has the largest IoUs."""
    pairs = [
        (box, region)
        for box in boxes
        for region in regions
        if overlap(boxes[box], regions[region]) >= threshold
    ]
    best: tuple[Any, dict[int, int]] = ((0, 0.0), {})
    for size in range(1, min(len(regions), len(boxes)) + 1):
        for chosen in itertools.combinations(pairs, size):
            some = dict(chosen)
            if len(some) == size and len(set(some.values())) == size:
                kept = sum(held.get(box) == region for box, region in chosen)
                ious = sum(overlap(boxes[b], regions[r]) for b, r in chosen)
                best = max(best, ((kept, ious), some), key=lambda one: one[0])
    return best[1]


def measure(found: Boxes, true: Boxes, threshold: float) -> dict[str, float | None]:
    """All that ``object_metrics`` says, without ``iou``."""
    values: dict[str, list[float]] = {
        name: [] for name in ("iou_p", "iou_r", "recall", "l2_p", "l2_r", "displacement", "matched")
    }
    common, movement = 0.0, 0.0
    switches: list[float] = []
    pure = matches = 0
    for clip, truth in zip(frames(found), frames(true), strict=True):
        for regions, boxes in zip(clip, truth, strict=True):
            for region in regions.values():
                if boxes:
                    values["iou_p"].append(max(overlap(region, box) for box in boxes.values()))
                    values["l2_p"].append(min(distance(region, box) for box in boxes.values()))
            for box in boxes.values():
                ious = [overlap(region, box) for region in regions.values()]
                far = [distance(region, box) for region in regions.values()]
                values["iou_r"].append(max(ious, default=0.0))
                values["recall"].append(float(max(ious, default=-1.0) >= threshold))
                values["l2_r"].append(min(far, default=2**0.5))
        steps = zip(clip[:-1], clip[1:], truth[:-1], truth[1:], strict=True)
        for before, after, boxes, boxes_after in steps:
            for track, box in boxes.items():
                if track in boxes_after and before:
                    nearest = min(before, key=lambda one: distance(before[one], box))
                    if nearest in after:
                        mine = moved(before[nearest], after[nearest])
                        error = math.dist(mine, moved(box, boxes_after[track]))
                        values["displacement"].append(error)
            both = [moved(before[one], after[one]) for one in before if one in after]
            if len(both) > 1:
                average = [sum(axis) / len(both) for axis in zip(*both, strict=True)]
                common += len(both) * math.hypot(*average) ** 2
                movement += sum(math.hypot(*one) ** 2 for one in both)
        held: dict[int, int] = {}
        last: dict[int, int] = {}
        together: dict[int, list[int]] = {}
        for regions, boxes in zip(clip, truth, strict=True):
            if regions and boxes:
                held = best_matching(regions, boxes, held, threshold)
            pairs = held if regions and boxes else {}
            values["matched"] += [float(box in pairs) for box in boxes]
            for box, region in pairs.items():
                if box in last:
                    switches.append(float(last[box] != region))
                last[box] = region
                together.setdefault(region, []).append(box)
        for seen in together.values():
            pure += max(map(seen.count, seen))
            matches += len(seen)
    result = {name: mean(found) for name, found in values.items()}
    result["common"] = common / movement if movement else None
    result["purity"] = pure / matches if matches else None
    return result | {"switches": mean(switches)}


@pytest.mark.parametrize("between", [[], [[False, False]]], ids=["next", "after none"])
def test_a_pair_stays_where_others_overlap_more(between: list[list[bool]]) -> None:
    one, other = [0.2, 0.0, 0.5, 1.0], [0.35, 0.0, 0.65, 1.0]  # which overlap by a third
    present = torch.tensor([[[True, False], *between, [True, True]]])
    first = [[one, one]] * (1 + len(between))
    found, true = (
        boxes_of_batch({"box": torch.tensor([[*first, last]]), "present": present})
        for last in ([other, one], [one, other])
    )
    pairs = match_tracks(found, true, threshold=0.3)
    assert pairs.region[0, -1].tolist() == [0, 1]  # and not crossed, with IoUs of 1
    assert identity_switches(pairs).value == 0


def still(*boxes: Box, frames: int = 2) -> Boxes:
    """A clip in which these boxes stay where they are."""
    return boxes_of_batch({"box": torch.tensor(boxes).view(1, 1, -1, 4).expand(1, frames, -1, 4)})


def path(*places: tuple[float, ...], side: float = 0.1) -> Boxes:
    """A clip of boxes with centres on a line, a tuple of x a frame."""
    x = torch.tensor(places)[None, ..., None]  # [1, T, M, 1]
    y = torch.full_like(x, 0.5)
    half = side / 2
    return boxes_of_batch({"box": torch.cat([x - half, y - half, x + half, y + half], -1)})


def values(measured: dict[str, Ratio]) -> dict[str, float | None]:
    return {name: ratio.value for name, ratio in measured.items()}


@pytest.mark.parametrize("threshold", [0.1, 0.3])
@pytest.mark.parametrize("sizes", [(4, 3), (3, 5), (1, 1), (5, 1), (2, 0), (0, 2)])
def test_all_numbers_are_those_of_loops(sizes: tuple[int, int], threshold: float) -> None:
    matched = 0.0
    for seed in range(8):
        found, true = clips(seed, sizes[0]), clips(100 + seed, sizes[1])
        expected = measure(found, true, threshold)
        assert values(object_metrics(found, true, threshold)) == pytest.approx(expected)
        matched += expected["matched"] or 0
    assert matched > 0 or 0 in sizes


def test_regions_that_are_the_boxes_are_perfect() -> None:
    true = clips(1, 4)
    perfect = {"iou_p", "iou_r", "recall", "matched", "purity"}
    for name, value in values(object_metrics(true, true)).items():
        if name != "common":
            assert value == pytest.approx(1.0 if name in perfect else 0.0), name


def test_the_order_of_regions_and_boxes_is_nothing() -> None:
    found, true = clips(1, 4), clips(2, 3)
    expected = values(object_metrics(found, true, 0.1))
    for seed in range(3):
        torch.manual_seed(seed)
        shuffled = []
        for boxes in (found, true):
            order = torch.randperm(boxes.box.size(2))
            fields = (field[:, :, order] for field in boxes[:3])
            shuffled.append(Boxes(*fields, boxes.exists))
        assert values(object_metrics(*shuffled, 0.1)) == pytest.approx(expected)


def test_the_names_of_tracks_are_nothing() -> None:
    found, true = clips(1, 4), clips(2, 3)
    renamed = [boxes._replace(track=1000 - 7 * boxes.track) for boxes in (found, true)]
    expected = values(object_metrics(found, true, 0.1))
    assert values(object_metrics(*renamed, 0.1)) == pytest.approx(expected)


def test_ratios_of_parts_add_up_to_those_of_all() -> None:
    found, true = clips(1, 4), clips(2, 3)
    parts = [
        object_metrics(Boxes(*(x[cut] for x in found)), Boxes(*(x[cut] for x in true)), 0.1)
        for cut in (slice(0, 1), slice(1, 3))
    ]
    for name, ratio in object_metrics(found, true, 0.1).items():
        both = parts[0][name] + parts[1][name]
        assert both.value == pytest.approx(ratio.value), name
        torch.testing.assert_close(both.count, ratio.count)


def test_scores_by_hand() -> None:
    left, right = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]
    measured = values(object_metrics(still([0.0, 0.0, 1.0, 1.0]), still(left, right)))
    assert measured["iou_p"] == measured["iou_r"] == 0.5
    assert measured["recall"] == 1.0
    assert measured["matched"] == 0.5  # one to one
    assert measured["l2_p"] == measured["l2_r"] == 0.25
    # two regions on one of two objects: precise, but half of them is missed
    twice = values(object_metrics(still(left, left), still(left, right)))
    assert (twice["iou_p"], twice["iou_r"], twice["recall"]) == (1.0, 0.5, 0.5)
    assert harmonic_mean(twice["iou_p"], twice["iou_r"]) == pytest.approx(2 / 3)
    assert twice["l2_r"] == 0.25


def test_boxes_without_area_overlap_nothing() -> None:
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert iou(point, point).item() == iou(point, whole).item() == 0
    tiny = torch.tensor([[0.5, 0.5, 0.5 + 1e-7, 0.5 + 1e-7]])
    assert iou(tiny, tiny).item() == 1


def test_a_region_that_leads_by_a_frame() -> None:
    true = path((0.1,), (0.2,), (0.4,))
    assert displacement_error(path((0.2,), (0.4,), (0.6,)), true).value == pytest.approx(0.05)
    assert displacement_error(path((0.5,), (0.5,), (0.5,)), true).value == pytest.approx(0.15)
    # the nearest region of the frame before is followed, though another one is nearer later
    two = path((0.1, 0.9), (0.9, 0.2), (0.9, 0.4))
    assert displacement_error(two, true).value == pytest.approx((0.7 + 0.0) / 2)


def test_movement_in_common() -> None:
    assert common_motion(path((0.1, 0.5), (0.2, 0.6))).value == pytest.approx(1.0)
    assert common_motion(path((0.1, 0.5), (0.2, 0.4))).value == pytest.approx(0.0)
    assert common_motion(path((0.1, 0.5), (0.2, 0.5))).value == pytest.approx(0.5)
    assert common_motion(path((0.1, 0.5), (0.1, 0.5))).value is None  # nothing moves
    assert common_motion(path((0.1,), (0.2,))).value is None  # nothing to have in common with


def test_switches_and_purity_by_hand() -> None:
    true = path(*[(0.2, 0.8)] * 4)
    changed = path((0.2, 0.8), (0.8, 0.2), (0.8, 0.2), (0.8, 0.2))
    matches = match_tracks(changed, true)
    assert matches.region[0].tolist() == [[0, 1], [1, 0], [1, 0], [1, 0]]
    assert identity_switches(matches).total.item() == 2
    assert identity_switches(matches).value == pytest.approx(2 / 6)
    assert purity(matches).value == pytest.approx(6 / 8)


def test_pairs_stay_together_while_they_overlap() -> None:
    """Region 1 is nearer in the second frame, but region 0 has not let go."""
    true = path((0.5,), (0.54,), (0.9,), side=0.2)
    found = path((0.5, 0.9), (0.5, 0.54), (0.5, 0.54), side=0.2)
    assert match_tracks(found, true, 0.4).region.flatten().tolist() == [0, 0, -1]


def test_a_track_that_was_away_may_come_back() -> None:
    true, found = path(*[(0.5,)] * 3), path((0.5, 0.1), (0.1, 0.9), (0.1, 0.5))
    assert identity_switches(match_tracks(found, true)).value == 1.0


def test_what_is_not_there_is_not_read() -> None:
    box = torch.tensor([0.2, 0.2, 0.4, 0.4]).repeat(1, 3, 2, 1)
    clip = {"box": box.clone(), "present": torch.ones(1, 3, 2, dtype=torch.bool)}
    clip["present"][0, :, 1] = False
    clip["box"][0, :, 1] = torch.nan
    clip["frame_mask"] = torch.tensor([[True, True, False]])
    clip["box"][0, 2] = torch.inf
    true = boxes_of_batch(clip)
    assert int(true.present.sum()) == 2
    assert true.box.isfinite().all()
    measured = object_metrics(grid_baseline(true), true)
    assert measured["iou_p"].count == 2 * 9
    assert measured["iou_r"].count == 2


def test_frames_without_boxes_and_without_regions() -> None:
    nobody = boxes_of_batch({"box": torch.zeros(1, 2, 0, 4)})
    some = still([0.0, 0.0, 0.5, 0.5])
    missed = values(object_metrics(nobody, some))
    assert [missed[name] for name in ("iou_r", "recall", "matched")] == [0, 0, 0]
    assert missed["l2_r"] == pytest.approx(2**0.5)
    assert missed["iou_p"] is missed["l2_p"] is missed["displacement"] is None
    assert set(values(object_metrics(some, nobody)).values()) == {None}
    assert (recall(nobody, some, 0.0).value, recall(some, some, 0.0).value) == (0, 1)


def test_nearest_regions() -> None:
    true = path((0.1, 0.8))
    true = true._replace(present=torch.tensor([[[True, False]]]))
    assert nearest_region(path((0.7, 0.2, 0.2)), true).tolist() == [[[1, -1]]]


def test_no_region_is_nearest_in_a_frame_without_regions() -> None:
    found = path((0.7, 0.2), (0.7, 0.2))
    found = found._replace(present=torch.tensor([[[True, True], [False, False]]]))
    assert nearest_region(found, path((0.1,), (0.1,))).tolist() == [[[1], [-1]]]


def test_views_are_clips() -> None:
    box = torch.rand(2, 3, 4, 5, 2)
    clip = {"box": torch.cat([box, box + 0.1], -1), "track": torch.arange(5).expand(2, 3, 4, 5)}
    clip["frame_mask"] = torch.rand(2, 3, 4) < 0.5
    flat = {name: field.flatten(0, 1) for name, field in clip.items()}
    for one, other in zip(boxes_of_batch(clip), boxes_of_batch(flat), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("came", "left"), [(9, [0, 2, 4, 6, 8]), (3, [0, 0, 1, 2, 2])])
def test_frames_of_other_rates(came: int, left: list[int]) -> None:
    boxes = at_frames(path(*[(t / 100,) for t in range(came)]), 5)
    expected = [t * came // 10 for t in (1, 3, 5, 7, 9)]
    assert (boxes.centre[0, :, 0, 0] * 100).round().int().tolist() == expected == left


BAD = {
    "no box": ({"video": torch.zeros(1)}, "batch"),
    "flat": ({"box": torch.zeros(2, 3, 4)}, "box"),
    "corners": ({"box": torch.zeros(1, 2, 3, 5)}, "box"),
    "whole numbers": ({"box": torch.zeros(1, 2, 3, 4).int()}, "box"),
    "nan": ({"box": torch.full((1, 2, 3, 4), torch.nan)}, "box"),
    "backwards": ({"box": torch.tensor([0.5, 0.0, 0.4, 1.0]).expand(1, 2, 3, 4)}, "box"),
    "mask": ({"box": torch.zeros(1, 2, 3, 4), "present": torch.ones(1, 2, 3)}, "present"),
    "mask's shape": ({"box": torch.zeros(1, 2, 3, 4), "present": torch.ones(1, 3) > 0}, "present"),
    "frames": ({"box": torch.zeros(1, 2, 3, 4), "frame_mask": torch.ones(1, 3) > 0}, "frame_mask"),
    "track": ({"box": torch.zeros(1, 2, 3, 4), "track": torch.ones(1, 2, 3)}, "track"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_boxes(case: str) -> None:
    batch, name = BAD[case]
    with pytest.raises(InputError) as error:
        boxes_of_batch(batch)
    assert error.value.name == name


def test_bad_pairs() -> None:
    one, other = clips(1, 2, frames=3), clips(1, 2, frames=4)
    for function in (object_metrics, recall, nearest_region, displacement_error, match_tracks):
        with pytest.raises(InputError, match=r"found: expected \[3, 4\] .* got \[3, 3\]$"):
            function(one, other)
    assert match_tracks(one, one, 1.0) is not None
    for threshold in (0.0, -1, 1.5, True, float("nan")):
        with pytest.raises(InputError, match="threshold"):
            match_tracks(one, one, threshold)
    twice = one._replace(track=torch.zeros_like(one.track), present=torch.ones_like(one.present))
    with pytest.raises(InputError, match=r"true.track: expected an id once a frame"):
        match_tracks(one, twice)
