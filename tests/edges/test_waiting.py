"""Which builders wait for the device: those whose number of edges depends on values."""

from __future__ import annotations

import warnings

import networkx as nx
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stgraph.edges import (
    FullEdges,
    NearestEdges,
    OverlapEdges,
    RadiusEdges,
    SimilarityEdges,
    TemplateEdges,
    sort_edges,
    space_time_graph,
    space_time_hetero,
    temporal_edges,
    to_csr,
)

AT_ONCE = {
    "nearest": NearestEdges(2),
    "nearest, loops": NearestEdges(2, loops=True),
    "similar": SimilarityEdges(2),
    "template": TemplateEdges.from_networkx(nx.path_graph(5)),
    "in time": temporal_edges,
    "clips": lambda graph: space_time_graph(FullEdges()(graph)),
    "two relations": lambda graph: space_time_hetero(FullEdges()(graph)),
    "sorted": lambda graph: sort_edges(FullEdges()(graph)),
    "csr": lambda graph: to_csr(FullEdges()(graph)),
}
WAITING = {"radius": RadiusEdges(), "overlap": OverlapEdges()}


class Waits(TorchDispatchMode):
    """Counts operators whose result has a size, or is a number, that only the device knows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.count = rows, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        # The template's own pairs lie on the host.
        here = name == "nonzero" and args[0].size(0) >= self.rows
        self.count += masks or here or name in {"_local_scalar_dense", "masked_select", "equal"}
        return func(*args, **(kwargs or {}))


def waits(build, graph) -> int:
    with Waits(graph.num_graphs) as mode:
        build(graph)
    return mode.count


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Without what is checked on the CPU alone."""
    monkeypatch.setattr("stgraph.graph.build.check_edges", lambda *_: None)
    monkeypatch.setattr("stgraph.graph.views.are_in_order", lambda *_: True)


def test_values_are_read_on_the_cpu_alone(make):
    graph = make().to("meta")  # which has none
    assert FullEdges()(graph).edge_index.shape == (2, 6 * 25)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", AT_ONCE)
def test_with_all_nodes_present_nothing_waits(make, name):
    assert waits(AT_ONCE[name], make()) == 0


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", WAITING)
def test_where_values_say_how_many_edges_there_are_it_waits_once(make, name):
    assert waits(WAITING[name], make()) == 1
    assert waits(WAITING[name], make(absent=True)) == 1


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", ["nearest", "similar", "template", "in time"])
def test_where_nodes_are_absent_it_waits_once(make, name):
    assert waits(AT_ONCE[name], make(absent=True)) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", AT_ONCE)
def test_nothing_waits_for_a_cuda_device(make, name):
    graph = make().to("cuda")
    AT_ONCE[name](graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says of itself that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        AT_ONCE[name](graph)
    finally:
        torch.cuda.set_sync_debug_mode("default")
