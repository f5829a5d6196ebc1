from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stgraph import GraphBlock, SpaceTimeGraph, insert
from stgraph.edges import FullEdges
from stgraph.insertion import Place, copies
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes

# The compiler itself looks at every gradient.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


class ChannelNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mixer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide, self.narrow = nn.Linear(channels, 32), nn.Linear(32, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(nn.functional.gelu(self.wide(y)))
        return x + (self.scale * y).permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Sequential(ChannelNorm(before), nn.Conv2d(before, channels, 2, 2))
        self.blocks = nn.Sequential(Mixer(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.down(x))


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 2, 2), ChannelNorm(8))
        self.stages = nn.Sequential(Stage(8, 12), Stage(12, 16), Stage(16, 24))
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


def graph_block(place: Place) -> GraphBlock:
    width = place.channels
    layers = {"time": TimeLayer(nn.GRU(width, width)), "space": SpaceLayer(width)}
    block = GraphBlock(
        SpaceTimeGraph(GridNodes(width, (2,), edges=FullEdges()), layers, ("time", "space"))
    )
    nn.init.ones_(block.norm.weight)
    return block


def trains_as_uncompiled(cnn: nn.Module, place: str, backend: object, make: object) -> None:
    net = insert(cnn, {place: make}, input_size=(3, 32, 32)).train()
    torch._dynamo.reset()
    compiled = torch.compile(net, backend=backend)
    for clips, frames in ((2, 2), (3, 2), (2, 3)):
        video = torch.randn(clips, frames, 3, 32, 32)
        found = compiled(video).output
        expected = net(video).output
        torch.testing.assert_close(found, expected)
        grads = [
            torch.autograd.grad(out.square().sum(), list(net.parameters()))
            for out in (found, expected)
        ]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [copies._around, copies._steady])
def test_copies_are_of_the_same_class_in_every_call(make):
    """Compiled code is chosen by classes: with new ones every call would compile again."""
    assert make(nn.Sequential) is make(nn.Sequential)
    assert make(nn.Sequential) is not make(nn.Conv2d)


class Unfollowed(GraphBlock):
    """A block that a compiler has to leave out."""

    def forward(self, features: Tensor, state=None):
        torch._dynamo.graph_break()
        return super().forward(features, state)


def unfollowed(place: Place) -> GraphBlock:
    block = Unfollowed(graph_block(place).net)
    nn.init.ones_(block.norm.weight)
    return block


def sizes_that_change(make: object, place: str) -> tuple[int, set[tuple[int, int]]]:
    """How many graphs there are, and the dimensions of their clips and maps that may change."""
    changing, graphs = set(), []

    def backend(graph, inputs):
        graphs.append(graph)
        for node in graph.graph.find_nodes(op="placeholder"):
            x = node.meta["example_value"]
            if isinstance(x, Tensor) and x.dim() in (4, 5) and not isinstance(x, nn.Parameter):
                sizes = enumerate(x.shape)
                changing.update((x.dim(), d) for d, size in sizes if isinstance(size, torch.SymInt))
        return graph.forward

    trains_as_uncompiled(ConvNeXt(), place, backend, make)
    return len(graphs), changing


@pytest.mark.slow
@pytest.mark.parametrize("place", ["stages.0", "stages.1.blocks.0"])
def test_a_cnn_with_blocks_is_one_graph(place):
    """For its first clips, and then for any number of clips, and of frames."""
    graphs, changing = sizes_that_change(graph_block, place)
    assert graphs <= 3
    assert changing <= {(5, 0), (5, 1)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["stages.0", pytest.param("stages.1.blocks.0", marks=pytest.mark.long)]
)
def test_maps_of_stages_keep_their_size(place):
    graphs, changing = sizes_that_change(unfollowed, place)
    assert graphs > 3
    # Clips and frames may become sizes of any number, the sides of maps may not.
    assert (4, 0) in changing
    assert not changing & {(4, 2), (4, 3)}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("make", [graph_block, unfollowed])
def test_a_cnn_with_channels_at_the_end_compiles(make):
    trains_as_uncompiled(ConvNeXt(), "stages.0", "inductor", make)


class Adds(NamedTuple):
    features: Tensor
    state: None = None


class AddsOne(nn.Module):
    causal = True

    def forward(self, features: Tensor, state: None = None) -> Adds:
        return Adds(features + 1)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["part", "mode"])
def test_compiled_code_runs_the_parts_that_there_are_by_now(change):
    """A classifier that came later, and a mode that the CNN has by itself."""
    cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5), nn.Dropout(1.0))
    net = insert(cnn, {"0": AddsOne()}, input_size=(3, 8, 8)).eval()
    if change == "part":
        net.register_module("2", nn.Linear(144, 7))
    else:
        cnn.training = True
    torch._dynamo.reset()
    video = torch.randn(2, 2, 3, 8, 8)
    with torch.no_grad():
        found = torch.compile(net, backend="eager")(video).output
        torch.testing.assert_close(found, net(video).output)
    assert found.shape == (2, 2, 7 if change == "part" else 5)


@pytest.mark.slow
def test_a_block_that_breaks_runs_on_copies():
    """As outside of compiled code: nothing is written to the CNN, and calls may run at once."""
    cnn = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    seen = []

    class Watching(Unfollowed):
        def forward(self, features: Tensor, state=None):
            seen.append("forward" in vars(cnn[1]))
            return super().forward(features, state)

    def watching(place: Place) -> GraphBlock:
        return Watching(graph_block(place).net)

    net = insert(cnn, {"1": watching}, input_size=(3, 8, 8)).eval()
    torch._dynamo.reset()
    video = torch.randn(2, 2, 3, 8, 8)
    with torch.no_grad():
        found = torch.compile(net, backend="eager")(video).output
        torch.testing.assert_close(found, net(video).output)
    assert seen
    assert not any(seen)
    assert "forward" not in vars(cnn[1])
