"""What benchmarks/ tells of windows and places is counted as it says: on places that are known."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch

from stgraph.datasets import MultiSyncMNIST, SyncMNIST, none_label, sklearn_digits
from stgraph.graph import Layout, frame_graphs

DIGITS: dict[str, Any] = {"num_digits": 3, "num_classes": 5, "canvas": 48, "size": 48, "frames": 6}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    return importlib.import_module(request.param)


@pytest.mark.parametrize("benchmark", ["following"], indirect=True)
def test_who_is_near_and_moves_as_a_digit_does_follows_it(benchmark: Any) -> None:
    start = torch.tensor([[0.3, 0.3], [0.7, 0.7]])
    step = torch.tensor([[0.02, 0.0], [0.0, -0.03]])
    centre = start + torch.arange(4.0)[:, None, None] * step  # [T, M, 2], of sides of .16
    box = torch.cat((centre - 0.08, centre + 0.08), -1)[None]
    near, off = centre[:, 0] + 0.05, centre[:, 0] + 0.06  # .071 and .085 away
    still = start[1].expand(4, 2)  # .03 a frame behind, where .02 are allowed
    shaken = centre[:, 1] + 0.02 * torch.tensor([1.0, -1, 1, -1])[:, None]
    pos = torch.stack((centre[:, 1], near, off, still, shaken), 1)[None]
    found = benchmark.follows(pos, box)[0].tolist()
    assert found == [[False, True, False, False, False], [True, False, False, False, False]]
    assert benchmark.followed(pos, box) == (1.0, 1.0)
    two, boxes = pos.repeat(2, 1, 1, 1), box.repeat(2, 1, 1, 1)
    two[1, :, 1] += 0.2
    assert benchmark.followed(two, boxes) == (0.75, 0.5)


@pytest.mark.parametrize("benchmark", ["sharing"], indirect=True)
def test_the_simple_rule_answers_what_it_can_see(benchmark: Any) -> None:
    """All clips by exact places, and by one window for all digits those in which none move alike.

    One half of the clips says how exact is exact enough, so the other half is answered.
    """
    data = MultiSyncMNIST(sklearn_digits(), length=400, **DIGITS)
    batch = data.batch(range(400))
    centre = (batch["box"][..., :2] + batch["box"][..., 2:]) / 2
    assert benchmark.answered(centre, batch, 5) == 1.0
    none = (batch["label"][200:] == none_label(5)).float().mean()
    assert 0 < none < 1
    assert benchmark.answered(centre[:, :, :1], batch, 5) == pytest.approx(float(none))


@pytest.mark.parametrize("benchmark", ["places"], indirect=True)
def test_places_of_classes_tell_who_moves_alike(benchmark: Any) -> None:
    batch = SyncMNIST(sklearn_digits(), length=200, **DIGITS).batch(range(200))
    digit, layout = batch["digit_class"], Layout(200, 6, 5, 1, 1)
    slot = digit[:, None].expand(-1, 6, -1)
    box = torch.rand(200, 6, 5, 4)  # of classes that are not there
    box = box.scatter(2, slot[..., None].expand(-1, -1, -1, 4), batch["box"])
    pos = (box[..., :2] + box[..., 2:]) / 2
    mass = torch.full((200, 6, 5), 0.01).scatter(2, slot, 0.9)
    fields = {"x": pos, "pos": pos, "box": box, "mass": mass}
    exact = frame_graphs(fields, layout)
    found = benchmark.measured(exact, batch)
    some = batch["synchronous"].any(1)
    assert 0 < some.sum() < 200
    assert found["off"].abs().max() < 1e-6
    for rule in ("all frames alike", "weighted by area"):
        assert len(found[rule]) == some.sum()
        assert found[rule].all()
    assert benchmark.named(exact, digit).all()
    # In one frame all places are elsewhere, and unsure: the weights leave it out.
    box[:, 2] = torch.tensor([-500.0, -500, 500, 500])
    strewn = {**fields, "pos": pos.clone(), "box": box}
    strewn["pos"][:, 2] = torch.rand(200, 5, 2)
    found = benchmark.measured(frame_graphs(strewn, layout), batch)
    assert found["weighted by area"].all()
    assert not found["all frames alike"].all()
    mass[:100] = mass[:100].flip(2)  # of digits 0 to 4 as of 4 to 0
    swapped = (digit.sort().values == (4 - digit).sort().values).all(1)
    known = benchmark.named(frame_graphs({**fields, "mass": mass}, layout), digit)
    assert known.tolist() == [*swapped[:100].tolist(), *[True] * 100]
    assert not swapped[:100].all()
