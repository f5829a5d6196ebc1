from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import to_dense
from stgraph.kernels import Bilinear, moment_box, normalise, separable, tent
from stgraph.nodes import (
    Change,
    Competition,
    Contrast,
    FilterEnergy,
    FixedSizeWindows,
    LearnedSaliency,
    MeanShiftRegions,
)
from stgraph.testing import check_extractor


def blobs(path: torch.Tensor, side: int = 16) -> torch.Tensor:
    """A map ``[1, T, 1, H, W]`` with a Gaussian spot at each of the places ``[T, M, 2]``."""
    cells = torch.arange(side, dtype=path.dtype)
    near = torch.exp(-(cells - path[..., None]).square() / 2)  # [T, M, 2, cells]
    return (near[:, :, 0, :, None] * near[:, :, 1, None, :]).sum(1)[None, :, None]


def centres(nodes, features, state=None):
    graph, state = nodes(features, state)
    return to_dense(graph.window[:, 2:], graph), state


@pytest.mark.parametrize(
    "options",
    [
        {"saliency": LearnedSaliency(4)},
        {"saliency": Change()},
        {"saliency": FilterEnergy(2, 3)},
        {"saliency": Contrast(), "competition": Competition(), "settling": (1.3, 1.0)},
        {"saliency": Contrast(), "sampling": Bilinear()},
    ],
    ids=lambda options: type(options["saliency"]).__name__,
)
def test_with_any_parts_it_is_an_extractor(options):
    check_extractor(MeanShiftRegions(4, 4, FullEdges(), **options))


def test_a_move_goes_to_the_mean_of_the_kernel_times_the_saliency():
    torch.manual_seed(0)
    saliency = torch.rand(2, 7, 9, dtype=torch.float64)
    centre = torch.rand(2, 9, 2, dtype=torch.float64) * 6
    size = torch.full((9, 2), 2.0, dtype=torch.float64)
    moved = MeanShiftRegions(1, 5, anchors=lambda n: torch.full((n, 2), 0.5)).shift(
        centre, size, saliency
    )
    kernel, _ = normalise(separable(tent, centre, size, 7, 9) * saliency[:, None])
    row, column = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    place = torch.stack([row, column], dim=-1).double()
    torch.testing.assert_close(moved, torch.einsum("bnhw,hwd->bnd", kernel, place))


def test_windows_stay_on_what_they_found_while_it_moves():
    torch.manual_seed(0)
    start = torch.tensor([[3.0, 4.0], [11.0, 11.0]])
    steps = (torch.rand(12, 2, 2) * 2 - 1).cumsum(0).clamp(-3, 3)  # up to a cell a frame
    path = start + steps
    seen, _ = centres(MeanShiftRegions(1, 16), blobs(path))
    for spot in range(2):
        off = (seen[0] - path[:, None, spot]).norm(dim=-1)  # [T, N]
        followers = off[0] < 0.5
        assert followers.any()
        assert off[:, followers].max() < 0.5


def test_where_nothing_is_salient_windows_stay_and_pool_with_the_window_alone():
    nodes = MeanShiftRegions(1, 4)
    graph, state = nodes(torch.zeros(1, 2, 1, 8, 8))
    at = to_dense(graph.window[:, 2:], graph)
    assert torch.equal(at[0, 0], 8 * nodes.anchor)
    assert torch.equal(at[0, 1], at[0, 0])
    torch.testing.assert_close(graph.kernel.sum((1, 2)), torch.ones(8))
    torch.testing.assert_close(
        graph.pos, (at[0, 0].flip(-1).repeat(2, 1) + 0.5) / 8, atol=0.02, rtol=0
    )
    seen, _ = centres(nodes, blobs(torch.tensor([[[5.0, 5.0]]]), 8), state)
    assert (seen[0, 0] - 5).norm(dim=-1).min() < 0.3


def test_gradients_say_how_a_spot_pulls():
    path = torch.tensor([[[5.3, 4.6]]], dtype=torch.float64, requires_grad=True)
    seen, _ = centres(MeanShiftRegions(1, 9).double(), blobs(path, 12))
    nearest = (seen[0, 0] - path[0]).norm(dim=-1).argmin()
    (pull,) = torch.autograd.grad(seen[0, 0, nearest, 0], path)
    assert 0.5 < pull[0, 0, 0] < 1.5
    assert abs(pull[0, 0, 1]) < 0.3


def test_change_is_drawn_to_what_moves_and_not_to_what_stands():
    path = torch.tensor([[[4.0, 4.0], [11.0, 11.0]], [[4.0, 4.0], [11.0, 12.0]]])
    standing, moving = Change()(blobs(path))[0][0, 1, 4, 4], Change()(blobs(path))[0][0, 1, 11, 12]
    assert standing < 1e-9 < 0.01 < moving
    assert not Change()(blobs(path))[0][0, 0].any()


def test_change_goes_on_from_the_last_frame_that_a_clip_has():
    features, state = torch.randn(2, 3, 2, 4, 5), torch.randn(2, 2, 4, 5)
    mask = torch.tensor([[True, True, False], [False] * 3])  # the second has none in this piece
    _, last = Change()(features, state, mask)
    assert torch.equal(last, torch.stack([features[0, 1], state[1]]))


def test_what_does_not_fit_is_refused():
    nodes = MeanShiftRegions(2, 4)
    with pytest.raises(InputError, match="saliency: expected a Saliency such as Energy"):
        MeanShiftRegions(2, saliency=torch.nn.ReLU())
    with pytest.raises(InputError, match="moves"):
        MeanShiftRegions(2, moves=())
    _, state = nodes(torch.rand(1, 1, 2, 6, 6))
    with pytest.raises(InputError, match=r"state\.centre: expected"):
        nodes(torch.rand(2, 1, 2, 6, 6), state)
    with pytest.raises(InputError, match="the MeanShiftState of an earlier call"):
        nodes(torch.rand(1, 1, 2, 6, 6), state._replace(regions=torch.zeros(1, 4, 2)))


def test_the_box_is_that_of_the_kernel():
    torch.manual_seed(0)
    graph, _ = MeanShiftRegions(3, 4, competition=Competition())(torch.rand(2, 2, 3, 9, 7))
    torch.testing.assert_close(graph.box, moment_box(graph.kernel), atol=1e-5, rtol=0)


def test_windows_that_compete_keep_apart_what_others_mix_up():
    """Two spots meet, stay side by side for a while and part again."""
    apart = torch.tensor([6.0, 4.0, 3.0, 3.0, 4.0, 6.0])
    path = torch.stack([8 - apart / 2, 8 + apart / 2], dim=1)
    path = torch.stack([torch.full_like(path, 8.0), path], dim=-1)  # [T, 2, 2]

    def error(**options):
        def anchors(_):
            return path[0] / 16

        nodes = MeanShiftRegions(
            1, 2, windows=FixedSizeWindows.of(4.0), anchors=anchors, moves=(1.0,) * 5, **options
        )
        seen, _ = centres(nodes, blobs(path))
        return (seen[0] - path).norm(dim=-1)[-1].max()

    assert error(competition=Competition()) < 0.5 < 1.5 < error()


def test_a_saliency_of_the_frames_says_more_exactly_where_things_are():
    torch.manual_seed(0)
    start, steps = torch.tensor([[24.0, 24.0]]), torch.randint(-3, 4, (12, 1, 2)).cumsum(0)
    frames = blobs(start + steps.clamp(-12, 12).float(), 48)
    features = torch.nn.functional.avg_pool2d(frames[0], 4)[None]
    nodes = MeanShiftRegions(1, 9, saliency=FilterEnergy(), moves=(1.0,) * 5)
    assert nodes.of_frames
    assert not MeanShiftRegions(1, 9).of_frames
    graph, _ = nodes(features, frames=frames)
    assert graph.kernel.shape[1:] == features.shape[-2:]
    pos = to_dense(graph.pos, graph)[0] * 48 - 0.5
    off = (pos.flip(-1) - (start + steps.clamp(-12, 12))).norm(dim=-1)  # [T, N]
    assert off[:, off.mean(0).argmin()].max() < 0.5
    with pytest.raises(InputError, match="frames: expected the video"):
        nodes(features)


@pytest.mark.parametrize("finer", [(2, 6), (6, 2)])
def test_frames_may_be_finer_on_one_axis_than_on_the_other(finer):
    """Windows stand on the same cells of the features, and are drawn to the same place."""
    spot = torch.zeros(1, 2, 1, 6 * finer[0], 6 * finer[1])
    rows, columns = (slice(int(2.5 * n), int(3.5 * n)) for n in finer)
    spot[..., rows, columns] = 1
    nodes = MeanShiftRegions(1, 9, saliency=Contrast(stride=1), moves=(2.0,) * 8)
    graph, _ = nodes(torch.zeros(1, 2, 1, 6, 6), frames=spot)
    at = to_dense(graph.window, graph)[0, -1]  # half-sizes and centres in cells of the features
    torch.testing.assert_close(at[:, :2], torch.ones(9, 2))
    torch.testing.assert_close(at[4, 2:], torch.tensor([2.5, 2.5]), atol=0.05, rtol=0)
    plain, _ = nodes(
        torch.zeros(1, 1, 1, 6, 6), frames=torch.ones(1, 1, 1, 6 * finer[0], 6 * finer[1])
    )
    start = nodes.windows(torch.zeros(9, 4), nodes.anchor, 6, 6)[0]
    torch.testing.assert_close(plain.window[:, 2:], start)


@pytest.mark.parametrize("make", [Contrast, lambda: FilterEnergy(3, 5, side=5)])
def test_nothing_uniform_is_salient_and_contrast_of_either_sign_is(make):
    torch.manual_seed(0)
    part = make()
    plain = torch.rand(3)[:, None, None].expand(1, 1, 3, 16, 16)
    assert part(plain)[0].max() < 1e-6
    spot = torch.zeros(1, 1, 3, 16, 16)
    spot[..., 6:9, 6:9] = 1
    energy, _ = part(spot)
    torch.testing.assert_close(part(7 - spot)[0], energy, atol=1e-4, rtol=1e-4)
    assert energy[0, 0, 3, 3] > 0.1
    assert not energy[0, 0, 0].any()
    with pytest.raises(InputError, match="side: expected an odd number"):
        FilterEnergy(side=4)


def test_contrast_is_the_mean_over_channels():
    grey = torch.rand(1, 2, 1, 16, 16)
    colour = torch.rand(1, 2, 3, 16, 16)
    part = Contrast()
    torch.testing.assert_close(part(grey.expand(-1, -1, 3, -1, -1))[0], part(grey)[0])
    squares = torch.stack([part(each)[0].square() for each in colour.split(1, dim=2)])
    torch.testing.assert_close(part(colour)[0].square(), squares.mean(0), atol=1e-4, rtol=1e-3)
