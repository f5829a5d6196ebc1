"""A state is refused wherever a part, of any kind and at any depth, needs the whole clip."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from stgraph import GraphBlock, SpaceTimeGraph, insert
from stgraph.backbones import RecurrentClassifier
from stgraph.causality import waiting
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import EdgeBuilder, FullEdges, temporal_edges
from stgraph.layers import (
    Broadcast,
    ConcatSend,
    GraphConv,
    HomogeneousLayer,
    PerNode,
    Readout,
    SpaceLayer,
    TemporalLayer,
    TimeLayer,
)
from stgraph.nodes import DynamicRegions, GridNodes, LargeGenerator, NodeExtractor, Regions

C = 8


class Ahead(nn.Linear):
    """Rows to rows; says that it looks at later frames."""

    causal = False


class AlongTime(nn.Module):
    """A convolution over edges in time, which has no state for the frames of an earlier piece."""

    causal = False

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(C, C)

    def forward(self, x, graph):
        return self.conv(x, temporal_edges(graph))


class Convolves(nn.Module):
    causal = False

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(C, C)

    def forward(self, x, edge_index):
        return self.map(x)


class Wrapped(nn.Module):
    """Says nothing about itself."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Sequential(*parts)])

    def forward(self, x, graph):
        return x + self.parts[0](x)


class Sure(Wrapped):
    """Knows that what its part says means something else here."""

    causal = True


class Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args):
        return self.inner(*args)


class Recurrent(TemporalLayer):
    """A time layer says nothing by itself either."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x, graph, state=None):
        return self.part(x), torch.zeros(1)


class Position(nn.Module):
    causal = False
    out_channels = 4

    def forward(self, graph):
        return graph.box


class Later(EdgeBuilder):
    causal = False

    def edges(self, graph):
        return FullEdges().edges(graph)


class Whole(NodeExtractor):
    causal = False

    def regions(self, features, state=None):
        b, t, _, h, w = features.shape
        box = features.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(b, t, 1, 4)
        return Regions(features.new_ones(b, t, 1, h, w), box), None


class Generator(LargeGenerator):
    causal = False


def net(layer: nn.Module | None = None, nodes: NodeExtractor | None = None) -> SpaceTimeGraph:
    nodes = GridNodes(C, (2,), edges=FullEdges()) if nodes is None else nodes
    layers = {"time": TimeLayer(nn.GRU(C, C))} | ({} if layer is None else {"own": layer})
    return SpaceTimeGraph(nodes, layers, ("time", "own")[: len(layers)])


def cnn(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, C, 3, padding=1), *parts, nn.Flatten(), nn.Linear(C * 36, 5))


class AheadMaps(nn.Identity):
    causal = False


def graphs(block: GraphBlock, *parts: nn.Module):
    return insert(cnn(*parts), {"0": block}, input_size=(3, 6, 6))


class LastReadout(Readout):
    causal = False


NETS: dict[str, tuple[Callable[[], SpaceTimeGraph], str]] = {
    "plain layer": (lambda: net(AlongTime()), "layers.own"),
    "inside a plain layer": (lambda: net(Wrapped(nn.ReLU(), Ahead(C, C))), "layers.own.parts.0.1"),
    "convolution": (lambda: net(GraphConv(Convolves(), C)), "layers.own.conv"),
    "module of a node": (lambda: net(PerNode(Ahead(C, C))), "layers.own.module"),
    "inside a time layer": (lambda: net(Recurrent(Ahead(C, C))), "layers.own.part"),
    "position in messages": (
        lambda: net(HomogeneousLayer(SpaceLayer(C, ConcatSend(C, position=Position())))),
        "layers.own.space.send.position",
    ),
    "extractor": (lambda: net(nodes=Whole(C)), "nodes"),
    "generator": (lambda: net(nodes=DynamicRegions(C, generator=Generator(C))), "nodes.generator"),
    "edge builder": (lambda: net(nodes=GridNodes(C, (2,), edges=Later())), "nodes.edges"),
}
MAPS = (2, 2, C, 6, 6)
VIDEO = (2, 2, 3, 6, 6)


def block() -> GraphBlock:
    return GraphBlock(net(AlongTime()))


WHOLES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    **{
        f"block, {name}": (lambda m=make: GraphBlock(m()), MAPS, part)  # the net says so
        for name, (make, part) in NETS.items()
    },
    "remap": (lambda: GraphBlock(net(), remap=Broadcast()), MAPS, "remap"),
    "inside a remap": (
        lambda: GraphBlock(net(), remap=Around(Broadcast())),
        MAPS,
        "remap.inner",
    ),
    "inserted block": (lambda: graphs(block()), VIDEO, "0"),
    "part of the CNN": (lambda: graphs(GraphBlock(net()), AheadMaps()), VIDEO, "1"),
    "classifier with blocks": (lambda: CNNClassifier(graphs(block()), 5), VIDEO, "0"),
    "classifier of graphs": (
        lambda: GraphClassifier(nn.Conv2d(3, C, 1), net(AlongTime()), 5),
        VIDEO,
        "net.layers.own",
    ),
    "readout": (
        lambda: GraphClassifier(nn.Conv2d(3, C, 1), net(), 5, LastReadout()),
        VIDEO,
        "readout",
    ),
    "backbone": (
        lambda: GraphClassifier(nn.Sequential(nn.Conv2d(3, C, 1), AheadMaps()), net(), 5),
        VIDEO,
        "backbone.1",
    ),
    "backbone before a cell": (
        lambda: RecurrentClassifier(
            nn.Sequential(nn.Conv2d(3, C, 1), AheadMaps()), nn.GRU(C, C), 5
        ),
        VIDEO,
        "backbone.1",
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_a_network_refuses_a_state_with_the_name_of_the_part(name):
    make, part = NETS[name]
    model = make()
    assert model.causal is False
    state = model(torch.randn(MAPS)).state
    with pytest.raises(InputError, match=rf"state: expected None: \['{part}'\] need the whole"):
        model(torch.randn(MAPS), state)


@pytest.mark.parametrize("name", NETS)
def test_stored_graphs_ask_the_layers_only(name):
    """Where it is the extractor that needs the whole clip, graphs that are there stream."""
    make, part = NETS[name]
    model = make()
    out = model(torch.randn(MAPS))
    state = model.process(out.graph).state
    if part.startswith("nodes"):
        assert model.process(out.graph, state).x.shape == out.x.shape
        return
    with pytest.raises(InputError, match=rf"state: expected None: \['{part}'\] need the whole"):
        model.process(out.graph, state)


def test_stored_graphs_ask_a_network_that_says_so_itself():
    model = net()
    model.causal = False
    out = model(torch.randn(MAPS))
    with pytest.raises(InputError, match=r"\['SpaceTimeGraph'\] need the whole clip"):
        model.process(out.graph, model.process(out.graph).state)


@pytest.mark.parametrize("name", WHOLES)
def test_what_is_around_it_refuses_a_state_too(name):
    make, sizes, part = WHOLES[name]
    model = make()
    assert model.causal is False
    state = model(torch.randn(sizes)).state
    with pytest.raises(InputError, match=rf"state: expected None: \['{part}'\] need the whole"):
        model(torch.randn(sizes), state)


def test_a_cnn_that_says_so_itself():
    class Clips(nn.Sequential):
        causal = False

    inner = Clips(nn.Conv2d(3, C, 3, padding=1))
    model = insert(inner, {"0": GraphBlock(net())}, input_size=(3, 6, 6))
    assert not model.causal
    with pytest.raises(InputError, match=r"\['Clips'\] need the whole clip"):
        model(torch.randn(VIDEO), model(torch.randn(VIDEO)).state)
    inner.causal = True
    assert model.causal


def test_without_such_a_part_a_layer_would_be_wrong_on_a_stream():
    """Why it is refused: in pieces, edges in time are not there."""
    layer = AlongTime()
    layer.causal = True
    model, maps = net(layer), torch.randn(1, 4, C, 6, 6)
    assert model.causal
    with torch.no_grad():
        whole = model(maps)
        first = model(maps[:, :3])
        last = model(maps[:, 3:], first.state)
    assert (whole.x[-4:] - last.x).abs().max() > 1e-2


def test_what_a_module_says_holds_for_what_is_inside():
    assert net(Sure(Ahead(C, C))).causal
    assert not net(Wrapped(Sure(Ahead(C, C)), Ahead(C, C))).causal
    layer = Recurrent(Ahead(C, C))
    assert not layer.causal
    layer.causal = True
    assert layer.causal
    assert net(layer).causal
    mask = nn.Module()
    mask.register_buffer("causal", torch.ones(3, 3))  # a name for something else
    assert waiting(nn.Sequential(mask)) == []


def test_ordinary_parts_stream():
    model = GraphBlock(net(Wrapped(nn.Linear(C, C))))
    assert model.causal is True
    state = model(torch.randn(MAPS)).state
    assert model(torch.randn(MAPS), state).state.nodes.clock == 4
