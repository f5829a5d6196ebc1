from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph import SpaceTimeGraph, schedules
from stgraph.checks import InputError
from stgraph.edges import GridEdges
from stgraph.graph import to_dense
from stgraph.layers import (
    ClipMeanTime,
    HomogeneousLayer,
    MeanTime,
    NodeNorm,
    Readout,
    SpaceLayer,
    TimeLayer,
)
from stgraph.nodes import GridNodes

LAYERS = {
    "norm": lambda: NodeNorm(8),
    "time": lambda: TimeLayer(nn.LSTM(8, 8)),
    "space": lambda: SpaceLayer(8),
    "last": lambda: TimeLayer(nn.GRU(8, 8)),
    "mean": MeanTime,
    "both": lambda: HomogeneousLayer(SpaceLayer(8)),
}
ABLATIONS = {
    "all-temp": (schedules.all_temp, 2 * 2 + 1),
    "1-temp": (schedules.one_temp, 2 + 1),
    "space-only": (schedules.space_only, 2 + 1),
    "time-only": (schedules.time_only, 2 + 1),
    "homogeneous": (schedules.homogeneous, 2),
}


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 6])
def test_the_official_cell_stops_after_round_3(rounds):
    schedule = schedules.all_temp_official(rounds, before=("norm",))
    assert schedule.count("time") == min(rounds, 3)
    assert schedule.count("space") == rounds
    assert schedule[-1] == "last"
    if rounds <= 3:
        assert schedule == schedules.all_temp(rounds, before=("norm",))
    else:
        assert schedule[:7] == schedules.all_temp(3, before=("norm",))[:7]
        assert set(schedule[7:-1]) == {"space"}


def net(schedule: tuple[str, ...]) -> SpaceTimeGraph:
    layers = {name: LAYERS[name]() for name in dict.fromkeys(schedule)}
    return SpaceTimeGraph(GridNodes(8, edges=GridEdges()), layers, schedule).double()


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_runs_and_streams(name):
    make, places = ABLATIONS[name]
    schedule = make(2, before=("norm",))
    assert schedule[0] == "norm"
    assert schedule[1:] == make(2)
    assert len(make(2)) == places
    model = net(schedule)
    features = torch.randn(2, 4, 8, 6, 5, dtype=torch.float64)
    whole = model(features)
    state, pieces = None, []
    for t in range(4):
        out = model(features[:, t : t + 1], state)
        state = out.state
        pieces.append(to_dense(out.x, out.graph))
    expected = to_dense(whole.x, whole.graph)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, atol=1e-10, rtol=0)


def test_the_mean_of_space_only_commutes_with_the_readout():
    layers = {"space": SpaceLayer(8), "mean": ClipMeanTime()}
    nodes = GridNodes(8, edges=GridEdges())
    whole = SpaceTimeGraph(nodes, layers, schedules.space_only(2)).double()
    bare = SpaceTimeGraph(nodes, {"space": layers["space"]}, ("space",) * 2)
    features = torch.randn(2, 4, 8, 6, 5, dtype=torch.float64)
    x, graph, _ = whole(features)
    expected = Readout("sum", "mean")(bare(features).x, graph)
    torch.testing.assert_close(Readout("sum", "mean")(x, graph), expected)
    torch.testing.assert_close(Readout("sum", "last")(x, graph), expected)
    assert not whole.causal


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="rounds: expected a whole number of at least 1, got 0"):
        schedules.all_temp(0)
    with pytest.raises(InputError, match="before: expected a tuple of layer names, got 'norm'"):
        schedules.one_temp(2, before="norm")
