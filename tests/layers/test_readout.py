from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.graph import presence, to_dense
from stgraph.kernels import spread
from stgraph.layers import Readout, Remap


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
    bare = graph.clone()
    del bare.kernel
    with pytest.raises(InputError, match="graph: expected a `kernel`"):
        Remap()(graph.x, bare)
    with pytest.raises(InputError, match="a row a node"):
        Remap()(graph.x[:3], graph)
