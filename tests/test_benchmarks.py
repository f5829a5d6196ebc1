"""What benchmarks/ tells of windows and places is counted as it says: on places that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stgraph.datasets import MultiSyncMNIST, SyncMNIST, none_label, sklearn_digits
from stgraph.graph import Layout, frame_graphs

DIGITS: dict[str, Any] = {"num_digits": 3, "num_classes": 5, "canvas": 48, "size": 48, "frames": 6}


@pytest.mark.parametrize("benchmark", ["following"], indirect=True)
def test_who_is_near_and_moves_as_a_digit_does_follows_it(benchmark: Any) -> None:
    start = torch.tensor([[0.3, 0.3], [0.7, 0.7]])
    step = torch.tensor([[0.02, 0.0], [0.0, -0.03]])
    centre = start + torch.arange(4.0)[:, None, None] * step  # [T, M, 2], of sides of .16
    box = torch.cat((centre - 0.08, centre + 0.08), -1)[None]
    near, off = centre[:, 0] + 0.05, centre[:, 0] + 0.06  # .071 and .085 away
    still = start[1].expand(4, 2)  # .03 a frame behind, where .02 are allowed
    pos = torch.stack((centre[:, 1], near, off, still), 1)[None]
    found = benchmark.follows(pos, box)[0].tolist()
    assert found == [[False, True, False, False], [True, False, False, False]]
    assert benchmark.followed(pos, box) == (1.0, 1.0)
    two, boxes = pos.repeat(2, 1, 1, 1), box.repeat(2, 1, 1, 1)
    two[1, :, 1] += 0.2
    assert benchmark.followed(two, boxes) == (0.75, 0.5)


@pytest.mark.parametrize("benchmark", ["following"], indirect=True)
@pytest.mark.parametrize(
    ("right", "down", "follows"),
    [
        ((0.079, 0.079, 0.079, 0.079), (0, 0, 0, 0), True),
        ((0.081, 0.081, 0.081, 0.081), (0, 0, 0, 0), False),
        ((0.085, 0.070, 0.070, 0.085), (0, 0, 0, 0), True),
        ((0.070, 0.090, 0.095, 0.075), (0, 0, 0, 0), False),
        ((0.000, 0.019, 0.000, 0.019), (0, 0, 0, 0), True),
        ((0.000, 0.021, 0.000, 0.021), (0, 0, 0, 0), False),
        ((0.000, 0.028, 0.000, 0.000), (0, 0, 0, 0), True),
        ((0.000, 0.000, 0.030, -0.010), (0, 0, 0, 0), False),
        ((0.000, 0.012, 0.000, 0.012), (0, 0.012, 0, 0.012), True),
        ((0.000, 0.015, 0.000, 0.015), (0, 0.015, 0, 0.015), False),
    ],
)
def test_near_and_exact_are_means_over_the_clip(
    right: tuple[float, ...], down: tuple[float, ...], follows: bool, benchmark: Any
) -> None:
    """Half a side away at most, .08, and an eighth of one off from frame to frame, .02."""
    centre = torch.stack((0.3 + 0.02 * torch.arange(4.0), torch.full((4,), 0.5)), -1)
    box = torch.cat((centre - 0.08, centre + 0.08), -1)[None, :, None]
    pos = centre + torch.tensor([right, down]).T
    assert benchmark.follows(pos[None, :, None], box).item() is follows


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return dict(MultiSyncMNIST(sklearn_digits(), length=400, **DIGITS).batch(range(400)))


@pytest.mark.parametrize("benchmark", ["sharing"], indirect=True)
def test_the_simple_rule_answers_what_it_can_see(benchmark: Any, batch: dict[str, Tensor]) -> None:
    """All clips by exact places, and by one window for all digits those in which none move alike.

    One half of the clips says how exact is exact enough, so the other half is answered.
    """
    centre = (batch["box"][..., :2] + batch["box"][..., 2:]) / 2
    assert benchmark.answered(centre, batch, 5) == 1.0
    none = float((batch["label"][200:] == none_label(5)).float().mean())
    assert 0 < none < 1
    assert benchmark.answered(centre[:, :, :1], batch, 5) == pytest.approx(none)
    noise = 0.01 * torch.randn(centre.shape)
    assert benchmark.answered(centre + noise, batch, 5) > 0.98
    noise[:200] = 0
    assert benchmark.answered(centre + noise, batch, 5) == pytest.approx(none)


@pytest.mark.parametrize("benchmark", ["sharing"], indirect=True)
def test_the_window_of_a_digit_is_the_nearest_over_the_clip(
    benchmark: Any, batch: dict[str, Tensor]
) -> None:
    centre = (batch["box"][..., :2] + batch["box"][..., 2:]) / 2
    decoy = centre[:, :, :1].clone()
    decoy[:, 1:] += 0.5  # on the first digit in the first frame alone
    assert benchmark.answered(torch.cat((decoy, centre), 2), batch, 5) == 1.0


class Scene:
    """Clips, and the nodes of five classes: those of the three digits lie on them."""

    def __init__(self) -> None:
        data = SyncMNIST(sklearn_digits(), length=200, draw_order="random", **DIGITS)
        self.batch = data.batch(range(200))
        self.some = self.batch["synchronous"].any(1)
        self.digit = self.batch["digit_class"]
        self.slot = self.digit[:, None].expand(-1, 6, -1)
        box = torch.rand(200, 6, 5, 4)
        self.box = box.scatter(2, self.slot[..., None].expand(-1, -1, -1, 4), self.batch["box"])
        self.pos = (self.box[..., :2] + self.box[..., 2:]) / 2

    def graph(self, **fields: Tensor) -> Any:
        mass = torch.full((200, 6, 5), 0.2)
        fields = {"x": self.pos, "pos": self.pos, "box": self.box, "mass": mass, **fields}
        return frame_graphs(fields, Layout(200, 6, 5, 1, 1))


@pytest.mark.parametrize("benchmark", ["places"], indirect=True)
def test_places_of_classes_tell_who_moves_alike(benchmark: Any) -> None:
    scene = Scene()
    found = benchmark.measured(scene.graph(), scene.batch)
    assert 0 < scene.some.sum() < 200
    assert found["off"].abs().max() < 1e-6
    for rule in ("all frames alike", "weighted by area"):
        assert len(found[rule]) == scene.some.sum()
        assert found[rule].all()
    moved = scene.pos.clone()
    moved[:, 1:] += torch.tensor([0.03, 0.04])
    found = benchmark.measured(scene.graph(pos=moved), scene.batch)
    assert found["off"].tolist() == pytest.approx([0.05] * 200, abs=1e-5)


@pytest.mark.parametrize("benchmark", ["places"], indirect=True)
@pytest.mark.parametrize("unsure", [slice(None), 0], ids=["all nodes", "one class"])
def test_frames_in_which_a_place_is_unsure_count_little(benchmark: Any, unsure: Any) -> None:
    """The weights are one over both areas, so that one of two nodes alone can make them small."""
    scene = Scene()
    pos, box = scene.pos.clone(), scene.box.clone()
    pos[:, 2, unsure] = torch.rand(pos[:, 2, unsure].shape)
    box[:, 2, unsure] = torch.tensor([-500.0, -500, 500, 500])
    found = benchmark.measured(scene.graph(pos=pos, box=box), scene.batch)
    assert found["weighted by area"].all()
    assert not found["all frames alike"].all()
    assert found["off"].max() < 1e-6  # a median


@pytest.mark.parametrize("benchmark", ["places"], indirect=True)
def test_the_digits_of_a_clip_are_the_classes_of_largest_mass(benchmark: Any) -> None:
    scene = Scene()
    mass = torch.full((200, 6, 5), 0.05).scatter(2, scene.slot, 0.01)
    once = mass.clone()
    once[:, 3] = once[:, 3].scatter(1, scene.digit, 0.9)  # more than six times .05
    assert benchmark.named(scene.graph(mass=once), scene.digit).all()
    least = mass.clone()
    least[:, 3] = least[:, 3].scatter(1, scene.digit, 0.2)  # more than .05, less than all of them
    assert not benchmark.named(scene.graph(mass=least), scene.digit).any()
