"""A detector that is made of true boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from stgraph.checks import InputError
from stgraph.datasets import Detected, SyncMNIST, detected
from stgraph.metrics import boxes_of_batch, boxes_of_graph, harmonic_mean, object_metrics
from stgraph.metrics.boxes import iou
from stgraph.nodes import BoxNodes


def test_a_perfect_detector_finds_the_true_boxes(small: SyncMNIST) -> None:
    batch = Detected(small, misses=0.0, noise=0.0, false_boxes=0).batch(range(8))
    assert torch.equal(batch["detected"], batch["box"])
    assert bool(batch["found"].all())
    assert {*small.batch([0])} < {*batch}


def test_what_is_found_is_as_good_as_it_is_said_to_be(small: SyncMNIST) -> None:
    batch = Detected(small, misses=0.25, noise=0.2, false_boxes=2).batch(range(200))
    true, found = batch["box"], batch["found"]
    own = batch["detected"][:, :, : true.size(2)]
    assert found[:, :, :3].float().mean() == pytest.approx(0.75, abs=0.02)
    assert bool(found[:, :, 3:].all())
    sides = (true[..., 2:] - true[..., :2]).repeat(1, 1, 1, 2)
    inside = (own > 0) & (own < 1)  # what was not cut off at the border
    error = ((own - true) / sides)[inside]
    assert error.abs().max() <= 0.2 + 1e-5
    assert error.std() == pytest.approx(0.4 / 12**0.5, rel=0.03)
    false = batch["detected"][:, :, 3:]
    torch.testing.assert_close(false[..., 2:] - false[..., :2], sides[:, :, :2, :2])
    assert false.min() >= 0
    assert false.max() <= 1
    near = iou(false, true).amax(-1)
    assert near.mean() < 0.25
    place = false[..., :2] / (1 - sides[:, :, :2, :2])
    assert torch.corrcoef(place.flatten(0, 2).T)[0, 1].abs() < 0.1  # not on a diagonal


def test_a_clip_has_the_same_detections_in_any_batch(small: SyncMNIST) -> None:
    detected = Detected(small, seed=3)
    whole = detected.batch(range(6))
    for name, value in detected.batch(torch.tensor([4, 1])).items():
        assert torch.equal(value, whole[name][[4, 1]]), name
    assert torch.equal(detected[-1]["detected"], detected[len(detected) - 1]["detected"])
    with pytest.raises(IndexError, match="clip"):
        detected[len(detected)]
    assert not torch.equal(Detected(small, seed=4).batch(range(6))["detected"], whole["detected"])
    assert detected.label_names == small.label_names


def test_they_are_hints_of_nodes_and_objects_that_are_absent_are_not_found() -> None:
    class Absent(SyncMNIST):
        def batch(self, indices, device="cpu"):  # type: ignore[no-untyped-def]
            batch = super().batch(indices, device)
            present = torch.rand(batch["box"].shape[:3]) < 0.5
            return {**batch, "box": batch["box"] * present[..., None], "present": present}

    from stgraph.datasets import sklearn_digits

    clips = Absent(sklearn_digits("test"), num_digits=3, frames=4, canvas=48, size=48)
    batch = Detected(clips, misses=0.0, noise=0.1).batch(range(10))
    assert torch.equal(batch["found"][:, :, :3], batch["present"])
    features = torch.ones(10, 4, 2, 12, 12)
    graph, _ = BoxNodes(2)(features, boxes=batch["detected"], present=batch["found"])
    measured = object_metrics(boxes_of_graph(graph), boxes_of_batch(batch))
    score = harmonic_mean(measured["iou_p"].value, measured["iou_r"].value)
    assert measured["iou_r"].value > 0.75
    assert 0.4 < score < measured["iou_r"].value


def test_what_is_refused(small: SyncMNIST) -> None:
    with pytest.raises(InputError, match="clips: expected a dataset with batch"):
        Detected(TensorDataset(torch.zeros(3)))
    for options, name in (
        ({"misses": 1.5}, "misses"),
        ({"noise": 0.5}, "noise"),
        ({"false_boxes": -1}, "false_boxes"),
        ({"false_boxes": 1001}, "false_boxes"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ):
        with pytest.raises(InputError, match=f"{name}: expected"):
            Detected(small, **options)  # type: ignore[arg-type]

    class Blind(SyncMNIST):
        def batch(self, indices, device="cpu"):  # type: ignore[no-untyped-def]
            batch = super().batch(indices, device)
            return {name: value for name, value in batch.items() if name != "box"}

    blind = Blind(small.digits, num_digits=3, num_classes=5, canvas=48, size=48)
    with pytest.raises(InputError, match="clips: expected ones with `box`"):
        Detected(blind).batch([0])


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_boxes_at_the_ends_of_what_is_drawn(
    small: SyncMNIST, monkeypatch: pytest.MonkeyPatch, end: float
) -> None:
    """In single precision a number below 1 may be 1."""

    def uneven(indices, device="cpu"):  # type: ignore[no-untyped-def]
        batch = SyncMNIST.batch(small, indices, device)
        batch["box"][:, :, -1, 2:] -= 0.05  # the last one is smaller
        return batch

    monkeypatch.setattr(small, "batch", uneven)
    monkeypatch.setattr(detected, "uniform", lambda word: np.full(word.shape, end))
    clips = Detected(small, misses=0.25, noise=0.125, false_boxes=1, seed=2**63 - 1)
    batch = clips.batch([0, 1])
    true, boxes = batch["box"], batch["detected"]
    sides = (true[..., 2:] - true[..., :2]).repeat(1, 1, 1, 2)
    moved = true + (2 * end - 1) * 0.125 * sides
    torch.testing.assert_close(boxes[:, :, :3], moved.clamp(0, 1))
    assert bool((batch["found"][:, :, :3] == (end >= 0.25)).all())
    assert bool(Detected(small, misses=0.0).batch([0])["found"].all())  # also at 0
    size = sides[:, :, -1 if end else 0, :2]  # of the last true box, or of the first
    place = end * (1 - size)
    torch.testing.assert_close(boxes[:, :, 3], torch.cat([place, place + size], -1))


def test_its_clips_are_counted_as_those_that_it_is_made_of(small: SyncMNIST) -> None:
    clips = Detected(small)
    assert torch.equal(clips[0]["index"], small[0]["index"])
    assert torch.equal(clips[-1]["index"], small[-1]["index"])
    for number in (len(small), -len(small) - 1):
        with pytest.raises(IndexError, match=f"clip {number} of {len(small)}"):
            clips[number]

    class Nameless:
        batch = small.batch

    assert Detected(Nameless()).label_names == []  # type: ignore[arg-type]
