from __future__ import annotations

import pytest
import torch
from torch_geometric.nn.aggr import (
    AttentionalAggregation,
    LSTMAggregation,
    MedianAggregation,
    MultiAggregation,
    SetTransformerAggregation,
    SoftmaxAggregation,
)

from stgraph.checks import InputError
from stgraph.graph import presence, to_dense
from stgraph.kernels import spread
from stgraph.layers import AggregateReadout, ClipMeanTime, Readout, Remap, mean_over_time
from stgraph.nodes import BoxNodes


@pytest.mark.parametrize("nodes", ["sum", "mean", "max"])
@pytest.mark.parametrize("time", ["mean", "last"])
def test_readouts_reduce_present_nodes_then_time(graph, nodes, time):
    vector = Readout(nodes, time)(graph.x, graph)
    frames = torch.zeros(6, 8, dtype=torch.float64)
    for frame in range(6):
        x = graph.x[graph.batch == frame]
        if len(x):
            frames[frame] = x.amax(0) if nodes == "max" else getattr(x, nodes)(0)
    frames = frames.view(2, 3, 8)
    expected = frames.mean(1) if time == "mean" else frames[:, -1]
    torch.testing.assert_close(vector, expected)


@pytest.mark.parametrize("nodes", ["sum", "mean", "max"])
@pytest.mark.parametrize("time", ["mean", "last"])
def test_pyg_aggregations_reduce_alike(graph, nodes, time):
    vector, state = AggregateReadout(nodes, time).accumulate(graph.x, graph)
    expected, end = Readout(nodes, time).accumulate(graph.x, graph)
    torch.testing.assert_close(vector, expected)
    torch.testing.assert_close(state.total, end.total)


AGGREGATIONS = {
    "median": lambda: MedianAggregation(),
    "several": lambda: MultiAggregation(["mean", "std", "max"]),
    "softmax": lambda: SoftmaxAggregation(learn=True),
    "attentional": lambda: AttentionalAggregation(torch.nn.Linear(8, 1)),
    "lstm": lambda: LSTMAggregation(8, 6),
    "transformer": lambda: SetTransformerAggregation(8, heads=2),
}


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_any_pyg_aggregation_is_a_readout(graph, name):
    """Frame by frame it is the aggregation on that frame's nodes, and 0 on none."""
    part = AGGREGATIONS[name]().double().eval()
    frames = AggregateReadout(part).frames(graph.x, graph).flatten(0, 1)
    for frame in range(6):
        x = graph.x[graph.batch == frame]
        if len(x):
            more = {"max_num_elements": 14} if name in {"lstm", "transformer"} else {}
            alone = part(x, torch.zeros(len(x), dtype=torch.long), dim_size=1, **more)[0]
            torch.testing.assert_close(frames[frame], alone)
        else:
            assert frames[frame].eq(0).all()


@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize("filled", [[], [1], [4], [0, 3]])
def test_frames_without_nodes_may_stand_anywhere(name, filled):
    """Before others, behind them, or everywhere; and none of them makes a gradient NaN."""
    torch.manual_seed(3)
    present = torch.zeros(2, 3, 2, dtype=torch.bool)
    present.view(6, 2)[filled] = True
    boxes = torch.tensor([0.1, 0.1, 0.5, 0.5], dtype=torch.float64).expand(2, 3, 2, 4)
    features = torch.randn(2, 3, 8, 4, 4, dtype=torch.float64, requires_grad=True)
    graph, _ = BoxNodes(8, 2)(features, boxes=boxes, present=present)
    part = AGGREGATIONS[name]().double().eval()
    frames = AggregateReadout(part).frames(graph.x, graph).flatten(0, 1)
    empty = ~present.view(6, 2).any(1)
    assert frames[empty].eq(0).all()
    more = {"max_num_elements": 2} if name in {"lstm", "transformer"} else {}
    for frame in filled:
        x = graph.x[graph.batch == frame]
        alone = part(x, torch.zeros(2, dtype=torch.long), dim_size=1, **more)[0]
        torch.testing.assert_close(frames[frame], alone)
    needed = [features, *part.parameters()]
    for grad in torch.autograd.grad((frames + graph.x.sum()).sum(), needed, materialize_grads=True):
        assert grad.isfinite().all()


@pytest.mark.parametrize("nodes", ["sum", "mean", "max"])
def test_one_node_and_one_frame_are_read_out_as_they_are(nodes):
    """Of the second clip one frame exists, in which one of two nodes is."""
    boxes = torch.tensor([0.1, 0.1, 0.5, 0.5]).expand(2, 3, 2, 4)
    present, mask = torch.ones(2, 3, 2, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    present[1, 0, 1] = mask[1, 1:] = False
    graph, _ = BoxNodes(8, 2)(
        torch.randn(2, 3, 8, 4, 4), frame_mask=mask, boxes=boxes, present=present
    )
    torch.testing.assert_close(Readout(nodes)(graph.x, graph)[1], graph.x[-1])
    torch.testing.assert_close(ClipMeanTime()(graph.x, graph)[0][-1], graph.x[-1])


def test_remap_spreads_with_the_graphs_own_kernels(graph):
    kernel = to_dense(graph.kernel, graph)
    maps = Remap()(graph.x, graph)
    assert maps.shape == (2, 3, 8, 5, 6)
    torch.testing.assert_close(maps, spread(to_dense(graph.x, graph), kernel))
    raw = Remap(normalised=False)(graph.x, graph)
    weighed = kernel * to_dense(graph.mass, graph)[..., None, None]
    torch.testing.assert_close(raw, spread(to_dense(graph.x, graph), weighed))


def test_nodes_that_are_absent_write_nothing(graph):
    here = presence(graph)
    if here is not None:
        assert Remap()(graph.x, graph)[0, 1].eq(0).all()  # the frame without nodes


def test_bad_input_is_refused(graph):
    with pytest.raises(InputError, match="nodes: expected one of 'sum', 'mean', 'max'"):
        Readout("median")
    with pytest.raises(InputError, match="time: expected one of 'mean', 'last'"):
        Readout(time="first")
    with pytest.raises(InputError, match="nodes: expected an Aggregation of PyG or its name"):
        AggregateReadout("nonsense")
    with pytest.raises(InputError, match="nodes: expected an Aggregation of PyG or its name"):
        AggregateReadout(torch.nn.Linear(8, 8))
    with pytest.raises(InputError, match="a row a node"):
        AggregateReadout("sum")(graph.x[:3], graph)
    bare = graph.clone()
    del bare.kernel
    with pytest.raises(InputError, match="graph: expected a `kernel`"):
        Remap()(graph.x, bare)
    with pytest.raises(InputError, match="a row a node"):
        Remap()(graph.x[:3], graph)


@pytest.mark.parametrize("cuts", [(5,), (1, 4), (2, 3), (3, 1, 1)])
def test_a_mean_over_time_counts_all_frames_of_all_pieces(cuts):
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    state, count = None, 0
    for piece in x.split(cuts, dim=1):
        mean, state = mean_over_time(piece, state)
        count += piece.size(1)
        torch.testing.assert_close(mean, x[:, :count].mean(1))
        assert state.frames == count
