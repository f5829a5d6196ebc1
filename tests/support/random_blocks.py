"""Whole blocks put together at random: any extractor, edges, layers, schedule and sizes.

A drawn :class:`Composition` is names and numbers only, so that a failing one can be read and run
again. Weights are drawn from its seed, with every gate open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import networkx as nx
import torch
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import EdgeConv, GATv2Conv, TransformerConv

from stgraph import GraphBlock, SpaceTimeGraph, schedules
from stgraph.edges import (
    EdgeBuilder,
    FullEdges,
    GridEdges,
    NearestEdges,
    OverlapEdges,
    RadiusEdges,
    SimilarityEdges,
    TemplateEdges,
)
from stgraph.kernels import Bilinear, Gaussian, LogLinear, boxcar
from stgraph.layers import (
    AdditiveAttention,
    AddUpdate,
    AttentionTime,
    BoxPosition,
    ClipMeanTime,
    ConcatSend,
    DotAttention,
    FrameNorm,
    GaussianMaps,
    GraphConv,
    HomogeneousLayer,
    KernelEmbedding,
    KernelPosition,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MeanGather,
    MeanTime,
    MLPUpdate,
    NodeNorm,
    PerNode,
    RawDotAttention,
    ReplaceUpdate,
    SpaceLayer,
    SumGather,
    SumSend,
    SumUpdate,
    TimeLayer,
)
from stgraph.nodes import (
    BoxNodes,
    ConstantRegions,
    DynamicRegions,
    FixedRegions,
    FixedSizeWindows,
    GridNodes,
    LargeGenerator,
    NodeExtractor,
    PointNodes,
    SemanticNodes,
    SlotNodes,
    SmallGenerator,
    StaticRegions,
    WindowKernel,
    Windows,
    grid_anchors,
    spatial_softmax,
)

__all__ = [
    "CONVS",
    "EDGES",
    "FROM_OUTSIDE",
    "GATHERS",
    "LEAKING",
    "NODE_LAYERS",
    "UNNAMED",
    "UPDATES",
    "C",
    "Composition",
    "compositions",
]

C = 4  # width of the nodes

# Edges of N identities, that depend on positions and features only, and on identities.
UNNAMED: dict[str, Callable[[int], EdgeBuilder]] = {
    "full": lambda n: FullEdges(),
    "no loops": lambda n: FullEdges(loops=False),
    "nearest": lambda n: NearestEdges(2),
    "nearest and itself": lambda n: NearestEdges(3, loops=True),
    "radius": lambda n: RadiusEdges(0.3),
    "overlap": lambda n: OverlapEdges(0.1),
    "overlap and itself": lambda n: OverlapEdges(loops=True),
    "similar": lambda n: SimilarityEdges(2, metric="dot"),
}
EDGES: dict[str, Callable[[int], EdgeBuilder]] = UNNAMED | {
    "path": lambda n: TemplateEdges.from_networkx(nx.path_graph(n)),
    "grid": lambda n: GridEdges((1,) * n),
}

OPEN = (0.3, 0.2, 0.5, 0.4)
SMALL = lambda n: SmallGenerator(C, n, 6)  # noqa: E731
LARGE = lambda n: LargeGenerator(C, n, 6, 5)  # noqa: E731

EXTRACTORS: dict[str, Callable[[int, Any], NodeExtractor]] = {
    "grid": lambda n, make: GridNodes(C, (1,) * n, make(n)),
    "grids": lambda n, make: GridNodes(C, (n, 1), make(n * n + 1)),
    "points": lambda n, make: PointNodes(C, FullEdges(loops=n > 1)),
    "fixed": lambda n, make: FixedRegions(C, n * n, make(n * n), profile=LogLinear(7.0)),
    "static": lambda n, make: StaticRegions(C, n, make(n), alpha=OPEN),
    "constant": lambda n, make: ConstantRegions(C, n, make(n), SMALL(n), alpha=OPEN),
    "dynamic": lambda n, make: DynamicRegions(C, n, make(n), SMALL(n), alpha=OPEN),
    "dynamic, large": lambda n, make: DynamicRegions(
        C, n * n, make(n * n), LARGE(n * n), profile=Gaussian(), anchors=grid_anchors, alpha=OPEN
    ),
    "dynamic, bilinear": lambda n, make: DynamicRegions(
        C, n, make(n), SMALL(n), profile=Bilinear(), windows=FixedSizeWindows.of(1.0), alpha=OPEN
    ),
    "dynamic, paper": lambda n, make: DynamicRegions(
        C, n, make(n), SMALL(n), profile=boxcar, windows=Windows.paper(2.0), alpha=OPEN
    ),
    "semantic": lambda n, make: SemanticNodes(C, n, make(n)),
    "semantic, softmax": lambda n, make: SemanticNodes(C, n, make(n), positive=spatial_softmax),
    "slots": lambda n, make: SlotNodes(C, n, make(n)),
    "boxes": lambda n, make: BoxNodes(C, n, make(n)),
    "boxes, windows": lambda n, make: BoxNodes(C, n, make(n), WindowKernel(Gaussian())),
}
FROM_OUTSIDE = ("boxes", "boxes, windows")

SENDS: dict[str, Callable[[], nn.Module]] = {
    "sum": lambda: SumSend(C),
    "sum, two layers": lambda: SumSend(C, 2),
    "sum, no norm": lambda: SumSend(C, norm=None),
    "both": lambda: ConcatSend(C),
    "maps": lambda: ConcatSend(C, position=GaussianMaps(6)),
    "boxes of senders": lambda: ConcatSend(C, 1, position=BoxPosition(), position_of="sender"),
    "kernels": lambda: ConcatSend(C, position=KernelEmbedding(2, 3, 2)),
}
GATHERS: dict[str, Callable[[], nn.Module]] = {
    "dot": lambda: DotAttention(C),
    "dot, heads": lambda: DotAttention(C, heads=2, scale=0.7, norm=FrameNorm),
    "additive": lambda: AdditiveAttention(C, heads=2),
    "mean": lambda: MeanGather(C, norm=FrameNorm),
    "sum": lambda: SumGather(C),
    "raw": lambda: RawDotAttention(C, scale=0.2),
}
LEAKING: dict[str, Callable[[], nn.Module]] = {
    "leaking dot": lambda: LeakingDotAttention(C),
    "leaking additive": lambda: LeakingAdditiveAttention(C),
}
UPDATES: dict[str, Callable[[], nn.Module]] = {
    "add": lambda: AddUpdate(C),
    "replace": lambda: ReplaceUpdate(C),
    "mlp of the sum": lambda: SumUpdate(C),
    "mlp": lambda: MLPUpdate(C),
}
UPDATES_BARE: dict[str, Callable[[], nn.Module]] = {
    "add, no norm": lambda: AddUpdate(C, norm=None),
    "mlp, no norm": lambda: MLPUpdate(C, norm=None),
}
CONVS: dict[str, Callable[[], nn.Module]] = {
    "gat": lambda: GraphConv(GATv2Conv(C, C // 2, heads=2), C),
    "edge": lambda: GraphConv(EdgeConv(nn.Linear(2 * C, C), aggr="mean"), C),
    "transformer": lambda: GraphConv(TransformerConv(C, C), C),
}
NODE_LAYERS: dict[str, Callable[[], nn.Module]] = {
    "norm": lambda: NodeNorm(C),
    "per node": lambda: PerNode(nn.Sequential(nn.Linear(C, C), nn.Tanh())),
    "position": lambda: KernelPosition(C, 3, 2),
}
TIMES: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: TimeLayer(nn.GRU(C, C)),
    "gru, two layers": lambda: TimeLayer(nn.GRU(C, C, 2, batch_first=True)),
    "lstm": lambda: TimeLayer(nn.LSTM(C, C)),
    "forgetting": lambda: TimeLayer(nn.GRU(C, C), forget_after=1),
    "running mean": MeanTime,
    "attention": lambda: AttentionTime(C, window=2, heads=2),
    "attention to itself": lambda: AttentionTime(C, window=1),
}
LASTS: dict[str, Callable[[], nn.Module]] = TIMES | {
    "narrow": lambda: TimeLayer(nn.GRU(C, 3)),
    "wide": lambda: TimeLayer(nn.LSTM(C, 6)),
}
MEANS: dict[str, Callable[[], nn.Module]] = {"clip mean": ClipMeanTime, "running mean": MeanTime}
ABLATIONS: dict[str, Callable[..., tuple[str, ...]]] = {
    "all-temp": schedules.all_temp,
    "1-temp": schedules.one_temp,
    "space-only": schedules.space_only,
    "time-only": schedules.time_only,
    "homogeneous": schedules.homogeneous,
    "layers in time first": lambda rounds, before: (*before, "time", "both", "space") * rounds,
    "only what is before": lambda rounds, before: before or ("space",),
}


class Composition(NamedTuple):
    """Names of the parts, and sizes."""

    extractor: str
    edges: str
    ablation: str
    rounds: int
    before: tuple[str, ...]
    send: str
    gather: str
    update: str
    time: str
    last: str
    mean: str
    channels: int
    clips: int
    frames: int
    nodes: int
    height: int
    width: int
    present: float
    seed: int

    def space(self, path: str = "auto") -> SpaceLayer:
        gather, update = (GATHERS | LEAKING)[self.gather], (UPDATES | UPDATES_BARE)[self.update]
        return SpaceLayer(C, SENDS[self.send](), gather(), update(), path)

    def block(self) -> GraphBlock:
        """The block in double precision, as its constructor leaves it."""
        torch.manual_seed(self.seed)
        makers = (CONVS | NODE_LAYERS | {"clip mean": ClipMeanTime}) | {
            "space": self.space,
            "both": lambda: HomogeneousLayer(self.space()),
            "time": TIMES[self.time],
            "last": LASTS[self.last],
            "mean": MEANS[self.mean],
        }
        places = ABLATIONS[self.ablation](self.rounds, before=self.before)
        names = {name: name.replace(" ", "_") for name in dict.fromkeys(places)}
        extractor = EXTRACTORS[self.extractor](self.nodes, EDGES[self.edges])
        net = SpaceTimeGraph(
            extractor,
            {safe: makers[name]() for name, safe in names.items()},
            [names[name] for name in places],
        )
        return GraphBlock(net, self.channels).double()

    def trained(self) -> GraphBlock:
        """The block with its last norm open, for inference."""
        block = self.block().eval()
        nn.init.normal_(block.norm.weight)
        nn.init.normal_(block.norm.bias)
        return block

    def features(self) -> torch.Tensor:
        sizes = (self.clips, self.frames, self.channels, self.height, self.width)
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(sizes, generator=generator, dtype=torch.float64)

    def hints(self) -> dict[str, torch.Tensor]:
        """Boxes anywhere, some of them missing, of identities that change places."""
        if self.extractor not in FROM_OUTSIDE:
            return {}
        generator = torch.Generator().manual_seed(self.seed)
        lead = (self.clips, self.frames, self.nodes)
        rand = torch.rand(*lead, 4, generator=generator, dtype=torch.float64)
        low = 0.8 * rand[..., :2]
        side = 0.1 + rand[..., 2:] * (0.9 - low)
        present = torch.rand(lead, generator=generator) < self.present
        return {
            "boxes": torch.cat([low, low + side], dim=-1),
            "present": present,
            "track": torch.rand(lead, generator=generator).argsort(-1),
        }


def compositions(
    extractor=EXTRACTORS,
    edges=EDGES,
    gather=GATHERS | LEAKING,
    update=UPDATES | UPDATES_BARE,
    before=CONVS | NODE_LAYERS | {"clip mean": ClipMeanTime},
    ablation=ABLATIONS,
) -> st.SearchStrategy[Composition]:
    def one_of(names):
        return st.sampled_from(list(names))

    return st.builds(
        Composition,
        extractor=one_of(extractor),
        edges=one_of(edges),
        ablation=one_of(ablation),
        rounds=st.integers(1, 3),
        before=st.lists(one_of(before), max_size=2).map(tuple),
        send=one_of(SENDS),
        gather=one_of(gather),
        update=one_of(update),
        time=one_of(TIMES),
        last=one_of(LASTS),
        mean=one_of(MEANS),
        channels=st.sampled_from([C, 6]),
        clips=st.integers(1, 3),
        frames=st.integers(1, 4),
        nodes=st.integers(1, 4),
        height=st.integers(1, 8),
        width=st.integers(1, 8),
        present=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
        seed=st.integers(0, 10_000),
    )
