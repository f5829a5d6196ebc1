"""Sums over batches and processes are those of all clips at once; what is absent is not logged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.metrics import boxes_of_batch, boxes_of_graph, harmonic_mean, object_metrics
from stgraph.metrics.running import Classes, ClipMetric, Objects
from stgraph.nodes import BoxNodes, GridNodes


def batch(clips: int = 6, frames: int = 4, classes: int = 7) -> dict[str, torch.Tensor]:
    corner = torch.rand(clips, frames, 3, 2) * 0.6
    return {
        "box": torch.cat([corner, corner + 0.35], -1),
        "present": torch.rand(clips, frames, 3) < 0.8,
        "label": torch.randint(0, classes, (clips,)),
    }


def answer(clips: dict[str, torch.Tensor], frames: int = 4) -> Any:
    noise = (clips["box"] + 0.05).clamp(0, 1)[:, :frames]
    present = clips["present"][:, :frames]
    nodes = BoxNodes(2, num_nodes=3)
    maps = torch.ones(len(noise), frames, 2, 5, 5)
    graph, _ = nodes(maps, boxes=noise, present=present)
    return SimpleNamespace(graph=graph, graphs={"late": graph})


def cut(clips: dict[str, torch.Tensor], part: slice) -> dict[str, torch.Tensor]:
    return {name: value[part] for name, value in clips.items()}


def fed(metric: ClipMetric, *parts: dict[str, torch.Tensor], logits: Any = None) -> ClipMetric:
    for part in parts:
        given = torch.zeros(len(part["label"]), 7) if logits is None else logits
        metric.update(given, answer(part), part)
    return metric


def test_batches_add_up_to_all_clips_at_once() -> None:
    clips = batch()
    found = fed(Objects(), cut(clips, slice(0, 2)), cut(clips, slice(2, 6))).compute()
    ratios = object_metrics(boxes_of_graph(answer(clips).graph), boxes_of_batch(clips))
    expected = {name: ratio.value for name, ratio in ratios.items()}
    expected["iou"] = harmonic_mean(expected["iou_p"], expected["iou_r"])
    told = found.pop("objects")
    assert found == pytest.approx({k: v for k, v in expected.items() if v is not None}, abs=1e-6)
    assert told["iou_r"]["count"] == int(clips["present"].sum())
    empty = int((~clips["present"].any(2)).sum())
    assert told["frames"] == {"all": 24, "without_boxes": empty, "without_regions": empty}
    assert set(found) <= set(Objects().names)


def test_processes_add_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchmetrics adds states of processes up, here without any."""
    clips = batch()
    for make in (Objects, Classes):
        whole = fed(make(), clips).compute()
        parts = [fed(make(), cut(clips, slice(k, None, 2))) for k in range(2)]
        one = make()
        for state, reduction in one._reductions.items():
            both = torch.stack([getattr(part, state) for part in parts])
            setattr(one, state, reduction(both))
        one._update_count = 1
        assert one.compute() == whole  # to the last bit


def test_precision_plugins_leave_sums_alone() -> None:
    metrics = nn.ModuleList([fed(Objects(), batch()), fed(Classes(), batch())])
    before = [metric.compute() for metric in metrics]
    metrics.to(torch.bfloat16)
    for metric in metrics:
        metric._computed = None
    assert [metric.compute() for metric in metrics] == before


def test_the_threshold_is_that_of_what_it_measures() -> None:
    clips = batch()
    recalls = [fed(Objects(threshold=t), clips).compute()["recall"] for t in (0.5, 1.0)]
    assert recalls == [1, 0]  # no region is quite a box


def test_nothing_to_measure_is_nothing_logged() -> None:
    clips = batch()
    logits = torch.zeros(6, 7)
    metric = Objects()
    metric.update(logits, SimpleNamespace(graph=None), clips)
    metric.update(logits, SimpleNamespace(), clips)
    metric.update(logits, answer(clips), {"label": clips["label"]})
    assert metric.compute() == {}
    nobody = clips | {"present": torch.zeros_like(clips["present"])}
    graph, _ = GridNodes(2, (2,))(torch.ones(6, 4, 2, 4, 4))
    metric = Objects()
    metric.update(logits, SimpleNamespace(graph=graph), nobody)
    found = metric.compute()
    assert set(found) == {"objects"}
    assert found["objects"]["iou_p"] == {"value": None, "count": 0}
    assert found["objects"]["frames"]["without_boxes"] == 24


@pytest.mark.parametrize("place", [None, "late"])
def test_what_may_be_logged_is_announced_by_its_name(place: str | None) -> None:
    """So that a schedule or a checkpoint can wait for it."""
    metric = fed(Objects(place=place), batch())
    numbers = {name for name, value in metric.compute().items() if isinstance(value, float)}
    assert numbers
    assert numbers <= set(metric.names)


def test_a_place_of_several() -> None:
    clips = batch()
    here = fed(Objects(place="late"), clips).compute()
    last = fed(Objects(), clips).compute()
    assert here == {f"late/{name}": value for name, value in last.items()}
    with pytest.raises(InputError, match=r"place: expected one with a graph, of \['late'\]"):
        fed(Objects(place="early"), clips)


def test_views_of_a_clip_are_measured_each() -> None:
    clips = batch(clips=6)
    views = {name: clips[name].unflatten(0, (3, 2)) for name in ("box", "present")}
    views["label"] = clips["label"][::2]
    metric = Objects()
    metric.update(torch.zeros(3, 7), answer(clips), views)
    assert metric.compute() == fed(Objects(), clips).compute()


def test_maps_of_fewer_frames() -> None:
    """Of a CNN that pools along time by two: its map t is of the frames 2t and 2t + 1."""
    clips = batch()
    metric = Objects()
    half = {name: clips[name][:, 1::2] for name in ("box", "present")} | {"label": clips["label"]}
    metric.update(torch.zeros(6, 7), answer(half, frames=2), clips)
    assert metric.compute() == fed_half(half)


def fed_half(half: dict[str, torch.Tensor]) -> dict[str, Any]:
    metric = Objects()
    metric.update(torch.zeros(6, 7), answer(half, frames=2), half)
    return metric.compute()


def test_classes() -> None:
    clips, logits = batch(clips=40), torch.randn(40, 7)
    told = fed(Classes(), clips, logits=logits).compute()["classes"]
    answers = logits.argmax(1)
    right = int((answers == clips["label"]).sum())
    assert told["clips"] == 40
    assert told["top1"]["value"] == right / 40
    assert told["top1"]["low"] < right / 40 < told["top1"]["high"]
    assert told["top5"]["value"] >= told["top1"]["value"]
    assert sum(map(sum, told["confusion"])) == 40
    for classes, told in ((5, False), (6, True)):  # of five, five answers are always right
        few = Classes()
        few.update(torch.randn(40, classes), None, {"label": torch.randint(0, classes, (40,))})
        assert ("top5" in few.compute()["classes"]) == told


def test_top5_counts_all_batches() -> None:
    metric = Classes()
    logits = torch.arange(7.0, 0.0, -1.0).expand(4, 7)  # all but classes 5 and 6 are in the top 5
    for labels in ([0, 4, 5, 6], [4, 5, 5, 6]):
        metric.update(logits, None, {"label": torch.tensor(labels)})
    told = metric.compute()["classes"]
    assert (told["clips"], told["top1"]["value"], told["top5"]["value"]) == (8, 1 / 8, 3 / 8)


def test_reset_is_a_beginning() -> None:
    clips = batch()
    for metric in (Objects(), Classes()):
        expected = fed(metric, clips).compute()
        metric.reset()
        assert fed(metric, clips).compute() == expected


def test_bad_options_and_clips() -> None:
    for threshold in (0.0, 2.0):
        with pytest.raises(InputError, match="threshold"):
            Objects(threshold=threshold)
    with pytest.raises(InputError, match="confidence"):
        Classes(confidence=1.0)
    clips = batch()
    with pytest.raises(InputError, match=r"found: expected \[5, 4\] clips and frames"):
        Objects().update(torch.zeros(6, 7), answer(clips), cut(clips, slice(0, 5)))
