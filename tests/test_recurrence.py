from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.recurrence import CellParts, check_cell, scan

CELLS = {
    "gru": nn.GRU(5, 7),
    "lstm": nn.LSTM(5, 7),
    "gru2": nn.GRU(5, 7, num_layers=2, bias=False),
    "lstm2": nn.LSTM(5, 7, num_layers=2, batch_first=True),
}


@pytest.fixture(params=CELLS.values(), ids=CELLS)
def cell(request):
    return request.param.double()


def features(frames: int = 6):
    return torch.randn(2, frames, 3, 5, dtype=torch.float64)


def test_steps_equal_the_fused_kernel(cell):
    x = features()
    fused, memory = scan(cell, x)
    stepped, other = scan(cell, x, mask=torch.ones(2, 6, 3, dtype=torch.bool))
    torch.testing.assert_close(stepped, fused)
    torch.testing.assert_close(other, memory)


def test_pieces_equal_the_whole(cell):
    x = features()
    whole, end = scan(cell, x)
    memory, pieces = None, []
    for t in range(6):
        piece, memory = scan(cell, x[:, t : t + 1], memory)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(memory, end, atol=1e-12, rtol=0)


def test_an_absent_node_keeps_its_state(cell):
    x, mask = features(), torch.ones(2, 6, 3, dtype=torch.bool)
    mask[1, 2:5, 0] = False  # away in frames 2..4
    out, _ = scan(cell, x, mask=mask)
    kept = torch.cat([x[1:, :2, :1], x[1:, 5:, :1]], dim=1)  # its own frames only
    alone, _ = scan(cell, kept)
    torch.testing.assert_close(out[1, [0, 1, 5], 0], alone[0, :, 0])
    torch.testing.assert_close(out[1, 4, 0], out[1, 1, 0])


def test_layers_drop_between_them_in_training_alone():
    cell = nn.GRU(5, 7, num_layers=2, dropout=0.9).double()
    x, mask = features(), torch.ones(2, 6, 3, dtype=torch.bool)
    mask[1, 2:5, 0] = False
    assert not torch.equal(scan(cell, x, mask=mask)[0], scan(cell, x, mask=mask)[0])
    given = scan(cell.eval(), x, mask=mask)[0]
    cell.dropout = 0.0
    torch.testing.assert_close(given, scan(cell, x, mask=mask)[0])


def test_wrong_cells_and_states_are_refused(cell):
    with pytest.raises(InputError, match=r"cell: expected a torch\.nn\.GRU or torch\.nn\.LSTM"):
        check_cell("cell", nn.RNN(3, 3))
    with pytest.raises(InputError, match="one direction"):
        check_cell("cell", nn.GRU(3, 3, bidirectional=True))
    with pytest.raises(InputError, match="without projection"):
        check_cell("cell", nn.LSTM(3, 3, proj_size=2))
    _, memory = scan(cell, features())
    with pytest.raises(InputError, match="state: expected"):
        scan(cell, features()[:1], memory)
    with pytest.raises(InputError, match="state: expected"):
        scan(cell, features(), (*memory, memory[0]))
    with pytest.raises(InputError, match=r"x: expected \[B, T, N, 5\]"):
        scan(cell, torch.zeros(2, 3, 4, 6))


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id=name, marks=[pytest.mark.slow] if name != "gru" else [])
        for name, cell in CELLS.items()
    ],
    indirect=True,
)
def test_it_compiles_into_one_graph(cell):
    x = features(3)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(lambda x: scan(cell, x), backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x)[0], scan(cell, x)[0])


def test_a_cells_parts_run_as_it_does(cell):
    """A compiler is shown the parts alone; tests of compilers are slow."""
    if cell.batch_first:
        cell = nn.LSTM(5, 7, num_layers=2).double()
    memory = torch.randn(cell.num_layers, 3, 7, dtype=torch.float64)
    memory = memory if cell.mode == "GRU" else (memory, memory.tanh())
    steps, parts = torch.randn(6, 3, 5, dtype=torch.float64), CellParts(cell)
    assert parts.is_whole
    (out, after), (right, expected) = parts(steps, memory), cell(steps, memory)
    for one, other in zip([out, *after], [right, *expected], strict=True):
        assert torch.equal(one, other)
