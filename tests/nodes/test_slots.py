from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.graph import to_dense
from stgraph.nodes import SlotNodes


def by_loops(nodes: SlotNodes, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slot attention of one clip ``[T, C, H, W]``, an equation a line: slots and attention."""
    frames, _, height, width = features.shape
    y, x = torch.meshgrid(
        (torch.arange(height).double() + 0.5) / height,
        (torch.arange(width).double() + 0.5) / width,
        indexing="ij",
    )
    place = torch.stack([y, x, 1 - y, 1 - x], dim=-1).flatten(0, 1)
    slots, found, maps = nodes.start, [], []
    for t in range(frames):
        cells = nodes.norm_cells(features[t].flatten(1).T + nodes.position(place))
        for _ in range(nodes.iterations):
            query = nodes.query(nodes.norm_query(slots))
            attention = torch.empty(len(slots), len(cells), dtype=torch.float64)
            for p, cell in enumerate(cells):
                logits = torch.stack([q @ nodes.key(cell) for q in query])
                attention[:, p] = F.softmax(logits / nodes.width**0.5, dim=0)
            values = nodes.value(cells)
            mean = [a @ values / a.sum() for a in attention]
            slots = nodes.rnn(torch.stack(mean), slots)
            slots = slots + nodes.mlp(nodes.norm_mlp(slots))
        found.append(slots)
        maps.append(attention.unflatten(1, (height, width)))
    return torch.stack(found), torch.stack(maps)


def test_it_is_slot_attention_carried_over_time():
    nodes = SlotNodes(4, 3, width=6, iterations=2).double()
    features = torch.randn(2, 3, 4, 3, 5, dtype=torch.float64)
    graph, state = nodes(features)
    x, raw = to_dense(graph.x, graph), to_dense(graph.kernel * graph.mass[:, None, None], graph)
    for clip in range(2):
        slots, attention = by_loops(nodes, features[clip])
        torch.testing.assert_close(x[clip], slots)
        torch.testing.assert_close(raw[clip], attention)
    torch.testing.assert_close(state.regions, x[:, -1])
    assert nodes.out_channels == 6


def test_slots_compete_for_every_cell():
    graph, _ = SlotNodes(8, 5)(torch.randn(2, 3, 8, 6, 7))
    raw = (graph.kernel * graph.mass[:, None, None]).view(6, 5, 6, 7)
    torch.testing.assert_close(raw.sum(1), torch.ones(6, 6, 7))


def test_permuting_the_start_permutes_the_nodes():
    nodes = SlotNodes(8, 5).double()
    features = torch.randn(2, 3, 8, 6, 7, dtype=torch.float64)
    before, _ = nodes(features)
    order = torch.randperm(5)
    with torch.no_grad():
        nodes.start.copy_(nodes.start[order])
    after, _ = nodes(features)
    for name in ("x", "kernel", "box"):
        torch.testing.assert_close(
            to_dense(after[name], after), to_dense(before[name], before)[:, :, order]
        )


def test_the_hidden_layer_is_twice_as_wide_as_the_slots_unless_told_otherwise():
    for options, hidden in (({}, 16), ({"width": 5}, 10), ({"width": 5, "hidden": 3}, 3)):
        assert SlotNodes(8, 4, **options).mlp[0].out_features == hidden


def test_it_is_deterministic():
    nodes, features = SlotNodes(8), torch.randn(1, 2, 8, 6, 7)
    assert torch.equal(nodes(features)[0].x, nodes(features)[0].x)


def test_bad_options_and_states_are_refused():
    for option in ("num_nodes", "width", "iterations", "hidden"):
        with pytest.raises(InputError, match=f"{option}: expected a whole number"):
            SlotNodes(8, **{option: 0})
    nodes = SlotNodes(8, 5)
    _, state = nodes(torch.randn(2, 1, 8, 6, 7))
    with pytest.raises(InputError, match=r"state: expected \[3, 5, 8\], got \[2, 5, 8\]"):
        nodes(torch.randn(3, 1, 8, 6, 7), state)
