"""What blocks in a CNN are told beside its maps."""

from __future__ import annotations

import pytest
import torch
from somebodys_cnn import CNN, VIDEO, awake, graph_block
from torch import nn

from stgraph import GraphBlock, insert
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier
from stgraph.edges import FullEdges
from stgraph.insertion import Place
from stgraph.nodes import BoxNodes, FilterEnergy, MeanShiftRegions
from stgraph.recipes import dyreg_block, small_followers

SIZE = (3, 16, 16)


@pytest.fixture
def cnn() -> CNN:
    return CNN().eval()


def test_hints_reach_the_blocks_that_take_them(cnn):
    def boxes(place: Place) -> GraphBlock:
        return graph_block(place, BoxNodes)

    net = insert(cnn, {"stages.1": boxes}, input_size=(3, 16, 16))
    out = net(torch.randn(VIDEO), boxes=torch.tensor([0.0, 0, 0.5, 0.5]).expand(2, 3, 4, 4))
    assert out.blocks["stages.1"].graph.num_nodes == 24
    mixed = insert(net, {"stages.0.1.conv2": graph_block})  # of grids, which take none
    assert mixed(torch.randn(VIDEO), boxes=torch.rand(2, 3, 4, 4).sort().values)
    with pytest.raises(
        InputError, match=r"hints: expected what a block or the CNN takes, got \['clicks'\]"
    ):
        mixed(torch.randn(VIDEO), clicks=1)
    with pytest.raises(InputError, match=r"hints: expected what GridNodes takes, got \['boxes'\]"):
        mixed.graph_blocks["stages/0/1/conv2"](torch.randn(2, 3, 8, 8, 8), boxes=1)
    plain = insert(cnn, {}, input_size=(3, 16, 16))
    with pytest.raises(
        InputError, match=r"hints: expected what a block or the CNN takes, got \['boxes'\]"
    ):
        plain(torch.randn(VIDEO), boxes=1)


def following(place: Place) -> GraphBlock:
    return dyreg_block(small_followers(8, 4), place.channels, place.height, rounds=1)


def test_blocks_that_look_at_frames_are_given_the_video(cnn):
    net = awake(
        insert(cnn, {"stages.0": following, "stages.1": graph_block}, input_size=(3, 16, 16))
    ).eval()
    video = torch.randn(VIDEO)
    out = net(video)
    torch.testing.assert_close(out.output, net(video, frames=video).output)
    assert not torch.allclose(out.output, net(video, frames=video.flip(-1)).output)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    short = net(video[1:, :1]).output
    torch.testing.assert_close(net(video, frame_mask=mask).output[1:, :1], short)
    state, pieces = None, []
    for t in range(3):
        piece = net(video[:, t : t + 1], state)
        pieces.append(piece.output)
        state = piece.state
    torch.testing.assert_close(torch.cat(pieces, 1), out.output)
    assert CNNClassifier(net, 5)(video).graphs["stages.0"].window.shape == (24, 4)
    assert net.graph_blocks["stages/0"].of_frames
    assert not net.graph_blocks["stages/1"].of_frames


def test_missing_frames_may_hold_anything(cnn):
    """Gradients of what looks at the frames do not read them either."""
    windows = MeanShiftRegions(8, 4, edges=FullEdges(), saliency=FilterEnergy(3))
    block = dyreg_block(windows, 8, map_size=8, rounds=1)
    net = awake(insert(cnn, {"stages.0": block}, input_size=(3, 16, 16))).eval()
    video, mask = torch.randn(VIDEO), torch.tensor([[True, True, True], [True, False, False]])
    video[1, 1:] = torch.nan
    found, expected = (
        torch.autograd.grad(net(v, frame_mask=m).output.sum(), windows.saliency.parameters())
        for v, m in ((video, mask), (video.nan_to_num(5.0), mask))
    )
    assert all(grad.abs().sum() > 0 for grad in found)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("place", [pytest.param("before", marks=pytest.mark.long), "after"])
def test_blocks_that_look_at_frames_compile(cnn, place):
    net = awake(insert(cnn, **{"after": {}, place: {"stages.1": following}}, input_size=SIZE))
    compiled = torch.compile(net.eval(), backend="eager", fullgraph=True)
    for clips in (2, 3):
        video = torch.randn(clips, *VIDEO[1:])
        torch.testing.assert_close(compiled(video).output, net(video).output)


def test_blocks_that_look_at_frames_are_in_a_3d_cnn():
    cnn = nn.Sequential(nn.Conv3d(3, 8, 3, (1, 2, 2), 1), nn.Flatten(), nn.LazyLinear(5)).eval()
    video = torch.randn(2, 3, 3, 16, 16)
    cnn(video.transpose(1, 2))
    net = awake(insert(cnn, {"0": following}, input_size=(3, 3, 16, 16)))
    torch.testing.assert_close(net(video).output, net(video, frames=video).output)
    strided = nn.Sequential(nn.Conv3d(3, 8, 3, (2, 2, 2), 1), nn.Flatten(2)).eval()
    net = awake(insert(strided, {"0": following}, input_size=(3, 4, 16, 16)))
    video = torch.randn(2, 4, 3, 16, 16)
    with pytest.raises(InputError, match=r"frames: expected \[2, 2, c, h, w\], got \[2, 4, 3, 16,"):
        net(video)
    assert net(video, frames=video[:, ::2]).blocks["0"].graph.num_graphs == 4


@pytest.mark.parametrize("of_frames", [True, "method", 1])
def test_who_looks_at_frames_has_to_take_them(cnn, of_frames):
    class Deaf(nn.Module):
        causal = True

        def forward(self, features, state=None):
            return features

    class Method(Deaf):
        def of_frames(self):
            return False

    block = Method() if of_frames == "method" else Deaf()
    if of_frames != "method":
        block.of_frames = of_frames
    with pytest.raises(InputError, match=r"block of 'stages.0': expected `of_frames` to be a bool"):
        insert(cnn, {"stages.0": block}, input_size=SIZE)
