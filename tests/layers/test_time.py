from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.graph import presence, to_dense
from stgraph.layers import TimeLayer


@pytest.mark.parametrize("cell", [nn.GRU(8, 5), nn.LSTM(8, 5, num_layers=2)])
def test_every_identity_runs_by_itself(graph, cell):
    layer = TimeLayer(cell).double()
    out, _ = layer(graph.x, graph)
    dense, here = to_dense(out, graph), presence(graph)
    x = to_dense(graph.x, graph)
    for clip in range(2):
        for node in (0, 5, 9):
            frames = torch.arange(3) if here is None else here[clip, :, node].nonzero()[:, 0]
            if len(frames):
                alone, _ = cell(x[clip, frames, node][:, None])
                torch.testing.assert_close(dense[clip, frames, node], alone[:, 0])


def test_bad_input_is_refused(graph):
    with pytest.raises(InputError, match=r"cell: expected a torch\.nn\.GRU or torch\.nn\.LSTM"):
        TimeLayer(nn.Linear(8, 8))
    with pytest.raises(InputError, match=r"x: expected \[V, 9\]"):
        TimeLayer(nn.GRU(9, 9))(graph.x, graph)
