from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch

from stgraph.graph import Layout, frame_graphs


def _boxes(*lead: int) -> torch.Tensor:
    low, size = torch.rand(*lead, 2).double(), torch.rand(*lead, 2).double()
    return torch.cat([low, low + size * (1 - low)], dim=-1)


@pytest.fixture(scope="session")
def make() -> Callable[..., Batch]:
    """Maker of random frame graphs in double, with absent nodes and an empty frame if asked."""

    def graph(clips=2, frames=3, nodes=5, absent=False, seed=0, **fields) -> Batch:
        torch.manual_seed(seed)
        lead = (clips, frames, nodes)
        made = {"x": torch.randn(*lead, 6).double(), "box": _boxes(*lead)}
        made["pos"] = (made["box"][..., :2] + made["box"][..., 2:]) / 2
        mask = None
        if absent:
            mask = torch.rand(*lead) > 0.4
            mask[0, -1] = False
        return frame_graphs(made | fields, Layout(*lead, 4, 5), mask)

    return graph


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[tuple[int, int]]]:
    """Edges by loops: (source, target) of every frame where ``joined(i, j)``, in sorted order."""

    def edges(graph: Batch, joined: Callable[[int, int], bool]) -> list[tuple[int, int]]:
        rows = range(graph.num_nodes)
        frame = graph.batch.tolist()
        return [(j, i) for i in rows for j in rows if frame[i] == frame[j] and joined(i, j)]

    return edges


@pytest.fixture(scope="session")
def listed() -> Callable[[torch.Tensor], list[tuple[int, int]]]:
    return lambda edge_index: [(j, i) for j, i in edge_index.t().tolist()]


@pytest.fixture(scope="session")
def permuted() -> Callable[..., None]:
    """Check that a builder's edges do not depend on how identities are numbered."""

    def check(builder, make, nodes=7, **options) -> None:
        first = make(nodes=nodes, **options)
        order = torch.randperm(nodes)
        place = order.argsort()  # identity n has the new number place[n]
        lead = (2, 3, nodes)
        fields = {
            name: first[name].view(*lead, -1)[:, :, order]  # a row a slot: all are present
            for name in ("x", "pos", "box")
        }
        second = builder(make(nodes=nodes, **options, **fields))
        old = builder(first).edge_index
        renamed = old - old % nodes + place[old % nodes]
        key = renamed[1] * 1000 + renamed[0]
        torch.testing.assert_close(renamed[:, key.argsort()], second.edge_index)

    return check
