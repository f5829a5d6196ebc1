"""What blocks in a CNN are told beside its maps."""

from __future__ import annotations

import pytest
import torch
from somebodys_cnn import CNN, VIDEO, awake, graph_block

from stgraph import GraphBlock, insert
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier
from stgraph.insertion import Place
from stgraph.nodes import BoxNodes
from stgraph.recipes import dyreg_block, small_followers


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
