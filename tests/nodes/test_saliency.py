"""What stands out, and how windows divide it: the formulas, with every option set."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.nodes import (
    Competition,
    ConstantRegions,
    Contrast,
    DynamicRegions,
    FilterEnergy,
    HourGlass,
    LargeGenerator,
    LearnedSaliency,
    SlotNodes,
    SmallGenerator,
)


def amplitude(energy: torch.Tensor, stride: int, eps: float) -> torch.Tensor:
    """Cell by cell, the rows and columns that fill none left out."""
    rows, columns = energy.size(-2) // stride, energy.size(-1) // stride
    cells = energy[..., : rows * stride, : columns * stride]
    cells = cells.unflatten(-1, (columns, stride)).unflatten(-3, (rows, stride))
    return (cells.mean((-3, -1)) + eps).sqrt() - eps**0.5


@pytest.mark.parametrize(("stride", "eps"), [(3, 0.25), (1, 1e-6)])
def test_contrast_is_the_root_of_the_energy_of_a_cell(stride: int, eps: float) -> None:
    frames = torch.rand(2, 3, 2, 10, 14, dtype=torch.float64)
    rim = F.pad(frames.flatten(0, 1), [1] * 4, mode="replicate").unflatten(0, (2, 3))
    down = rim[..., 2:, 1:-1] - rim[..., :-2, 1:-1]
    across = rim[..., 1:-1, 2:] - rim[..., 1:-1, :-2]
    expected = amplitude((down**2 + across**2).mean(2), stride, eps)
    torch.testing.assert_close(Contrast(stride, eps)(frames)[0], expected)


@pytest.mark.parametrize(("stride", "eps"), [(3, 0.25), (1, 1e-6)])
def test_filters_without_their_means_give_the_root_of_the_energy(stride: int, eps: float) -> None:
    part = FilterEnergy(2, 5, side=3, stride=stride, eps=eps).double()
    frames = torch.rand(2, 3, 2, 10, 14, dtype=torch.float64)
    rim = F.pad(frames.flatten(0, 1), [1] * 4, mode="replicate")
    weight = part.weight - part.weight.mean((2, 3), keepdim=True)
    answers = F.conv2d(rim, weight).square().mean(1).unflatten(0, (2, 3))
    torch.testing.assert_close(part(frames)[0], amplitude(answers, stride, eps))


@pytest.mark.parametrize(
    "part", [Contrast(3), FilterEnergy(2, stride=3)], ids=["contrast", "filters"]
)
@pytest.mark.parametrize("size", [(2, 9), (9, 2)])
def test_frames_smaller_than_a_cell_on_one_side_are_refused(part, size) -> None:
    message = rf"frames: expected at least 3 pixels a side, got \[{size[0]}, {size[1]}\]"
    with pytest.raises(InputError, match=message):
        part(torch.rand(1, 2, 2, *size))
    assert part(torch.rand(1, 2, 2, 3, 3))[0].shape == (1, 2, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_learned_saliency_is_the_softplus_of_a_score(channels: int) -> None:
    part, maps = LearnedSaliency(channels), torch.randn(2, 3, channels, 4, 5)
    (weight,), bias = part.score.weight, part.score.bias
    score = torch.einsum("btchw,c->bthw", maps, weight) + bias
    torch.testing.assert_close(part(maps)[0], score.exp().log1p())


@pytest.mark.parametrize(("power", "others"), [(2.0, 0.01), (3.0, 0.5), (0.5, 2.0)])
def test_windows_share_a_cell_as_parts_of_a_mixture(power: float, others: float) -> None:
    rows, columns, map_ = torch.rand(2, 3, 4), torch.rand(2, 3, 5), torch.rand(2, 4, 5)
    kernel = rows[..., :, None] * columns[..., None, :]  # [B, N, H, W]
    share = kernel**power / (others + (kernel**power).sum(1, keepdim=True))
    rows, columns, common = Competition(power, others)(rows, columns, map_)
    found = rows[..., :, None] * columns[..., None, :] * common[:, None]
    torch.testing.assert_close(found, share * map_[:, None])


@pytest.mark.parametrize(
    "make",
    [
        lambda eps: ConstantRegions(4, 2, FullEdges(), SmallGenerator(4, 2), eps=eps),
        lambda eps: DynamicRegions(4, 2, FullEdges(), SmallGenerator(4, 2), eps=eps),
        lambda eps: LargeGenerator(4, 2, 4, size=12, eps=eps),
        lambda eps: HourGlass(4, eps=eps),
        lambda eps: SlotNodes(4, 2, FullEdges(), eps=eps),
    ],
    ids=["constant", "dynamic", "generator", "hour-glass", "slots"],
)
def test_all_norms_have_the_epsilon_that_they_are_told(make) -> None:
    norms = [part for part in make(0.25).modules() if isinstance(part, nn.GroupNorm | nn.LayerNorm)]
    assert norms
    assert {norm.eps for norm in norms} == {0.25}
