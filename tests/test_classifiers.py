from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph import GraphBlock, SpaceTimeGraph, insert, recipes
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier, VideoClassifier
from stgraph.edges import FullEdges
from stgraph.layers import Readout, SpaceLayer, TimeLayer
from stgraph.nodes import Contrast, DynamicRegions, GridNodes, MeanShiftRegions


def graph_net(kind: type) -> SpaceTimeGraph:
    return SpaceTimeGraph(
        nodes=kind(8, edges=FullEdges()),
        layers={"time": TimeLayer(nn.GRU(8, 8)), "space": SpaceLayer(8)},
        schedule=("time", "space", "time"),
    )


def frames_cnn() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def in_cnn(kind: type) -> CNNClassifier:
    block = GraphBlock(graph_net(kind))
    nn.init.ones_(block.norm.weight)
    return CNNClassifier(insert(frames_cnn(), {"0": block}, input_size=(1, 9, 11)), 5)


CLASSIFIERS = {
    "mean": lambda kind: GraphClassifier(nn.Conv2d(1, 8, 3), graph_net(kind), 5, Readout("mean")),
    "last": lambda kind: GraphClassifier(
        nn.Conv2d(1, 8, 3), graph_net(kind), 5, Readout("max", time="last")
    ),
    "cnn": in_cnn,
}


@pytest.mark.parametrize("kind", [GridNodes, DynamicRegions])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_stream(name, kind):
    model: VideoClassifier = CLASSIFIERS[name](kind).double()
    video = torch.rand(2, 4, 1, 9, 11, dtype=torch.float64)
    whole = model(video)
    assert whole.logits.shape == (2, 5)
    assert whole.x.shape == (whole.graph.num_nodes, 8)
    state = None
    for t in range(4):
        answer = model(video[:, t : t + 1], state)
        state = answer.state
    torch.testing.assert_close(answer.logits, whole.logits, atol=1e-10, rtol=0)


def test_a_cnn_without_blocks_averages_frames():
    cnn = frames_cnn()
    model = CNNClassifier(insert(cnn, {}, input_size=(1, 9, 9)), 5)
    video = torch.rand(2, 3, 1, 9, 9)
    logits, x, graph, state, graphs = model(video)
    torch.testing.assert_close(logits, cnn(video.flatten(0, 1)).unflatten(0, (2, 3)).mean(1))
    assert x is None
    assert graph is None
    assert graphs == {}
    with pytest.raises(InputError, match=r"state: expected \[3, 5\], got \[2, 5\]"):
        model(torch.rand(3, 2, 1, 9, 9), state)
    with pytest.raises(
        InputError, match=r"hints: expected what a block or the CNN takes, got \['boxes'\]"
    ):
        model(video, boxes=3)


def test_a_clips_logits_are_those_of_a_3d_cnn():
    cnn = nn.Sequential(nn.Conv3d(1, 8, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 5))
    model = CNNClassifier(insert(cnn, {}, input_size=(1, 4, 9, 9)), 5)
    video = torch.rand(2, 4, 1, 9, 9)
    torch.testing.assert_close(model(video).logits, cnn(video.transpose(1, 2)))


def test_frames_that_the_caller_gives_are_those_that_are_seen():
    nodes = MeanShiftRegions(8, 4, edges=FullEdges(), saliency=Contrast())
    net = SpaceTimeGraph(nodes, {"space": SpaceLayer(8)}, ("space",))
    model = GraphClassifier(nn.Conv2d(1, 8, 3, stride=2, padding=1), net, 5).eval()
    video, others = torch.rand(2, 3, 1, 16, 16), torch.rand(2, 3, 1, 16, 16)
    with torch.no_grad():
        own, told = model(video), model(video, frames=others)
        assert torch.equal(model(video, frames=video).graph.window, own.graph.window)
        assert not torch.allclose(told.graph.window, own.graph.window)


@pytest.mark.parametrize(
    "make",
    [
        lambda: recipes.dyreg_small(3),
        lambda: recipes.frames_small(3),
        lambda: recipes.mean_lstm(3, channels=4),
        lambda: recipes.i3d_sync_mnist(3),
    ],
    ids=["graph", "CNN", "recurrent", "3D"],
)
def test_a_video_of_nothing_is_refused(make):
    model = make().eval()
    for sizes in [(0, 2, 1, 32, 32), (2, 0, 1, 32, 32), (2, 2, 1, 0, 32), (2, 2, 1, 32, 0)]:
        with pytest.raises(InputError, match=rf"video: expected no size of 0, got \[{sizes[0]}, "):
            model(torch.zeros(sizes))
