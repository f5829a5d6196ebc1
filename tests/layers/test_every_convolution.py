"""Every convolution of PyG is a space layer, but for those that the tutorial lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import torch_geometric.typing
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import conv as convolutions

from stgraph.checks import InputError
from stgraph.edges import template_edges
from stgraph.graph import attach_edges
from stgraph.layers import GraphConv

C, D, EDGE = 8, 6, 3


def mlp(channels: int, width: int = D) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, 8), nn.Tanh(), nn.Linear(8, width))


@dataclass
class Case:
    """A convolution, and what it is told beside the features."""

    make: Callable[..., nn.Module]
    by_itself: tuple[str, ...] = ("edge_index",)
    """Fields of the graph that the layer finds by itself, from the convolution's arguments."""
    fields: dict[str, str] = field(default_factory=dict)
    """Those that it is told, by the names of the arguments."""
    width: int = D


N = convolutions
WEIGHT, ATTR = {"edge_weight": "weight"}, {"edge_attr": "edge_attr"}
WITH_ATTR = ("edge_index", "edge_attr")
WITH_POS = ("pos", "edge_index")
CASES: dict[str, list[Case]] = {
    "AGNNConv": [Case(N.AGNNConv, width=C)],
    "APPNP": [Case(lambda: N.APPNP(2, 0.1), fields=WEIGHT, width=C)],
    "ARMAConv": [Case(lambda: N.ARMAConv(C, D), fields=WEIGHT)],
    "AntiSymmetricConv": [
        Case(lambda: N.AntiSymmetricConv(C), fields=WEIGHT, width=C),
        Case(lambda: N.AntiSymmetricConv(C, N.GATv2Conv(C, C, edge_dim=EDGE)), WITH_ATTR, width=C),
    ],
    "CGConv": [
        Case(lambda: N.CGConv(C), width=C),
        Case(lambda: N.CGConv((C, C), dim=EDGE), WITH_ATTR, width=C),
    ],
    "ChebConv": [Case(lambda: N.ChebConv(C, D, 3), ("edge_index", "batch"), WEIGHT)],
    "ClusterGCNConv": [Case(lambda: N.ClusterGCNConv(C, D))],
    "DirGNNConv": [Case(lambda: N.DirGNNConv(N.SAGEConv(C, D)))],
    "DynamicEdgeConv": [Case(lambda: N.DynamicEdgeConv(mlp(2 * C), k=3), ("batch",))],
    "EGConv": [Case(lambda: N.EGConv(C, D, num_heads=2))],
    "EdgeConv": [Case(lambda: N.EdgeConv(mlp(2 * C)))],
    "FAConv": [
        Case(lambda: N.FAConv(C), fields={"x_0": "x"}, width=C),
        Case(lambda: N.FAConv(C, normalize=False), fields={"x_0": "x"} | WEIGHT, width=C),
    ],
    "FastRGCNConv": [Case(lambda: N.FastRGCNConv(C, D, 2), fields={"edge_type": "edge_type"})],
    "FeaStConv": [Case(lambda: N.FeaStConv(C, D, heads=2))],
    "FiLMConv": [
        Case(lambda: N.FiLMConv(C, D)),
        Case(lambda: N.FiLMConv((C, C), D, 2), fields={"edge_type": "edge_type"}),
    ],
    "GATConv": [
        Case(lambda: N.GATConv((C, C), 3, heads=2)),
        Case(lambda: N.GATConv(C, D, edge_dim=EDGE), WITH_ATTR),
    ],
    "GATv2Conv": [
        Case(lambda: N.GATv2Conv((C, C), 3, heads=2)),
        Case(lambda: N.GATv2Conv(C, D, edge_dim=EDGE), WITH_ATTR),
    ],
    "GCN2Conv": [
        Case(lambda: N.GCN2Conv(C, 0.1), fields={"x_0": "x"} | WEIGHT, width=C),
    ],
    "GCNConv": [Case(lambda: N.GCNConv(C, D)), Case(lambda: N.GCNConv(C, D), fields=WEIGHT)],
    "GENConv": [
        Case(lambda: N.GENConv((C, C), D)),
        Case(lambda: N.GENConv(C, D, edge_dim=EDGE), WITH_ATTR),
    ],
    "GINConv": [Case(lambda: N.GINConv(mlp(C)))],
    "GINEConv": [Case(lambda: N.GINEConv(nn.Linear(C, D), edge_dim=EDGE), fields=ATTR)],
    "GMMConv": [Case(lambda: N.GMMConv((C, C), D, EDGE, 2), WITH_ATTR)],
    "GPSConv": [
        Case(lambda: N.GPSConv(C, None), ("edge_index", "batch"), width=C),
        Case(
            lambda: N.GPSConv(C, N.GINEConv(mlp(C, C), edge_dim=EDGE), heads=2),
            ("edge_index", "batch"),
            ATTR,
            width=C,
        ),
        Case(
            lambda: N.GPSConv(C, N.GATv2Conv(C, C, edge_dim=EDGE), norm="graph_norm"),
            (*WITH_ATTR, "batch"),
            width=C,
        ),
        Case(
            lambda: N.GPSConv(C, N.GCNConv(C, C), attn_type="performer"),
            ("edge_index", "batch"),
            WEIGHT,
            width=C,
        ),
    ],
    "GatedGraphConv": [Case(lambda: N.GatedGraphConv(C, 2), fields=WEIGHT, width=C)],
    "GeneralConv": [
        Case(lambda: N.GeneralConv((C, C), D, attention=True, heads=2)),
        Case(lambda: N.GeneralConv(C, D, in_edge_channels=EDGE), WITH_ATTR),
    ],
    "GraphConv": [Case(lambda: N.GraphConv((C, C), D), fields=WEIGHT)],
    "GravNetConv": [Case(lambda: N.GravNetConv(C, D, 2, 3, k=3), ("batch",))],
    "HEATConv": [
        Case(
            lambda: N.HEATConv(C, D, 14, 2, 4, EDGE, 4),
            ("edge_index", "edge_type"),
            {"node_type": "node_id"} | ATTR,
        )
    ],
    "HypergraphConv": [
        Case(lambda: N.HypergraphConv(C, D), (), {"hyperedge_index": "edge_index"}),
    ],
    "LEConv": [Case(lambda: N.LEConv((C, C), D), fields=WEIGHT)],
    "LGConv": [Case(N.LGConv, fields=WEIGHT, width=C)],
    "MFConv": [Case(lambda: N.MFConv((C, C), D))],
    "MeshCNNConv": [Case(lambda: N.MeshCNNConv(C, D))],
    "MixHopConv": [Case(lambda: N.MixHopConv(C, 2), fields=WEIGHT)],
    "NNConv": [Case(lambda: N.NNConv((C, C), D, mlp(EDGE, C * D)), fields=ATTR)],
    "PDNConv": [Case(lambda: N.PDNConv(C, D, EDGE, 4), WITH_ATTR)],
    "PNAConv": [
        Case(lambda: N.PNAConv(C, D, ["mean", "max"], ["identity"], torch.tensor([0, 0, 0, 0, 9]))),
        Case(
            lambda: N.PNAConv(C, D, ["std"], ["amplification"], torch.tensor([0, 0, 0, 1, 9]), 3),
            WITH_ATTR,
        ),
    ],
    "PPFConv": [
        Case(lambda: N.PPFConv(mlp(C + 4)), ("normal", "edge_index"), {"pos": "place"}),
    ],
    "PointGNNConv": [
        Case(lambda: N.PointGNNConv(mlp(C, 2), mlp(C + 2), mlp(D, C)), WITH_POS, width=C)
    ],
    "PointNetConv": [Case(lambda: N.PointNetConv(mlp(C + 2), mlp(D)), WITH_POS)],
    "PointTransformerConv": [
        Case(lambda: N.PointTransformerConv((C, C), D, mlp(2), mlp(D)), WITH_POS)
    ],
    "RGATConv": [
        Case(lambda: N.RGATConv(C, D, 2, heads=1), fields={"edge_type": "edge_type"}),
        Case(lambda: N.RGATConv(C, D, 2, edge_dim=3), WITH_ATTR, {"edge_type": "edge_type"}),
    ],
    "RGCNConv": [Case(lambda: N.RGCNConv((C, C), D, 2), fields={"edge_type": "edge_type"})],
    "ResGatedGraphConv": [
        Case(lambda: N.ResGatedGraphConv((C, C), D)),
        Case(lambda: N.ResGatedGraphConv(C, D, edge_dim=EDGE), WITH_ATTR),
    ],
    "SAGEConv": [
        Case(lambda: N.SAGEConv((C, C), D)),
        Case(lambda: N.SAGEConv(C, D, aggr="softmax", project=True)),
    ],
    "SGConv": [Case(lambda: N.SGConv(C, D, 2), fields=WEIGHT)],
    "SSGConv": [Case(lambda: N.SSGConv(C, D, 0.1, 2), fields=WEIGHT)],
    "SignedConv": [
        Case(
            lambda: N.SignedConv(C, D // 2, first_aggr=True),
            (),
            {"pos_edge_index": "edge_index", "neg_edge_index": "edge_index"},
        )
    ],
    "SimpleConv": [Case(lambda: N.SimpleConv("mean", "sum"), fields=WEIGHT, width=C)],
    "SplineConv": [Case(lambda: N.SplineConv((C, C), D, EDGE, 2), WITH_ATTR)],
    "SuperGATConv": [Case(lambda: N.SuperGATConv(C, 3, heads=2), ("edge_index", "batch"))],
    "TAGConv": [Case(lambda: N.TAGConv(C, D), fields=WEIGHT)],
    "TransformerConv": [
        Case(lambda: N.TransformerConv((C, C), 3, heads=2, beta=True)),
        Case(lambda: N.TransformerConv(C, D, edge_dim=EDGE), WITH_ATTR),
    ],
    "WLConvContinuous": [Case(N.WLConvContinuous, fields=WEIGHT, width=C)],
    "XConv": [Case(lambda: N.XConv(C, D, 2, kernel_size=3), ("pos", "batch"))],
}
METADATA = (["node"], [("node", "space", "node")])
DO_NOT_FIT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "DNAConv": (lambda: N.DNAConv(C), r"num_nodes, num_layers, channels"),
    "HANConv": (lambda: N.HANConv(C, D, METADATA), "one kind of node"),
    "HGTConv": (lambda: N.HGTConv(C, D, METADATA), "one kind of node"),
    "HeteroConv": (
        lambda: N.HeteroConv({("node", "space", "node"): N.SAGEConv(C, D)}),
        "one kind of node",
    ),
    "MessagePassing": (N.MessagePassing, "got NoneType"),
    "WLConv": (N.WLConv, "WLConv needs"),
}
NEED_MORE = {
    "CuGraphGATConv": "pylibcugraphops",
    "CuGraphRGCNConv": "pylibcugraphops",
    "CuGraphSAGEConv": "pylibcugraphops",
    "FusedGATConv": "dgNN",
    "PANConv": "torch-sparse",
}
"""Of other graphs than an ``edge_index``, that only further packages have."""
WITH_PYG_LIB = {"DynamicEdgeConv", "GravNetConv", "SplineConv", "XConv"}


def test_all_convolutions_are_tried():
    sorts = (CASES, DO_NOT_FIT, NEED_MORE)
    assert sorted(convolutions.__all__) == sorted(name for sort in sorts for name in sort)


def test_the_tutorial_lists_those_that_do_not_fit():
    page = Path(__file__).parent.parent.parent / "docs/tutorials/graphs.md"
    rows = re.findall(r"^\| (`.*?) \|", page.read_text("utf-8"), re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted([*DO_NOT_FIT, *NEED_MORE, *WITH_PYG_LIB])


@pytest.fixture
def graph(make_graph) -> Batch:
    """Frame graphs in which every node hears of the four after it, with fields for any wish."""
    ring = torch.zeros(14, 14, dtype=torch.bool)
    for far in (1, 2, 3, 4):
        ring |= torch.eye(14, dtype=torch.bool).roll(far, 0)
    plain = make_graph(lambda graph: graph)
    edges = template_edges(ring, plain)
    order = edges[0].argsort(stable=True)  # the four of a node follow each other
    graph = attach_edges(plain, edges[:, order], torch.rand(edges.size(1), EDGE).double())
    graph.pos = (graph.box[:, :2] + graph.box[:, 2:]) / 2
    graph.weight = torch.rand(edges.size(1)).double()
    graph.edge_type = torch.arange(edges.size(1)) % 2
    graph.place, graph.normal = torch.randn(2, graph.num_nodes, 3).double()
    return graph


@pytest.fixture
def knn(monkeypatch):
    """What pyg-lib does, for convolutions that look for neighbours by themselves."""

    def nearest(x: Tensor, y: Tensor, ptr: Tensor, _: Tensor, k: int, *more: object) -> Tensor:
        frame = torch.repeat_interleave(torch.arange(len(ptr) - 1), ptr.diff())
        far = torch.cdist(y, x).masked_fill(frame[:, None] != frame, torch.inf)
        source = far.topk(k, largest=False).indices.flatten()
        return torch.stack([torch.arange(len(y)).repeat_interleave(k), source])

    monkeypatch.setattr(torch_geometric.typing, "WITH_KNN", True)
    monkeypatch.setattr(torch.ops.pyg, "knn", nearest, raising=False)


@pytest.mark.parametrize(
    ("name", "number"), [(name, k) for name, cases in CASES.items() for k in range(len(cases))]
)
def test_a_layer_makes_what_the_convolution_makes(name, number, graph, knn):
    case = CASES[name][number]
    if name == "SplineConv" and not torch_geometric.typing.WITH_SPLINE:
        pytest.skip("needs pyg-lib")
    conv = case.make().double().eval()
    layer = GraphConv(conv, case.width, case.fields)
    told = {each: each for each in case.by_itself} | case.fields
    x = torch.randn(graph.num_nodes, C).double()  # what an earlier layer made
    torch.manual_seed(0)
    expected = conv(x, **{argument: graph[name] for argument, name in told.items()})
    torch.manual_seed(0)
    out = layer(x, graph)
    assert out.shape == (graph.num_nodes, case.width)
    torch.testing.assert_close(out, expected)
    # other frames take no part
    first, others = graph.batch == 0, graph.batch > 0
    changed = torch.where(others[:, None], torch.randn_like(x), x)
    torch.manual_seed(0)
    torch.testing.assert_close(layer(changed, graph)[first], out[first])
    # and it learns
    out = layer(x.requires_grad_(), graph)
    out.square().sum().backward()
    assert x.grad[first].abs().sum() > 0


@pytest.mark.parametrize("name", DO_NOT_FIT)
def test_what_does_not_fit_is_refused_with_the_reason(name, graph):
    make, reason = DO_NOT_FIT[name]
    with pytest.raises(InputError, match=reason):
        GraphConv(make(), C)(graph.x.float(), graph)


@pytest.mark.parametrize("name", NEED_MORE)
def test_what_needs_other_packages_says_so(name, graph):
    more = {
        "CuGraphRGCNConv": {"num_relations": 2},
        "FusedGATConv": {"add_self_loops": False},
        "PANConv": {"filter_size": 2},
    }
    kind = getattr(convolutions, name)
    with pytest.raises(ImportError, match=NEED_MORE[name]):
        GraphConv(kind(in_channels=C, out_channels=D, **more.get(name, {})), D)(graph.x, graph)
