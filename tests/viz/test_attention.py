from __future__ import annotations

import sys

import pytest
import torch
from torch_geometric.data import Data

from stgraph.checks import InputError
from stgraph.viz import (
    attention_graph,
    attention_matrix,
    attention_networkx,
    clip_edges,
    identity_hex,
    weight_matrix,
)
from stgraph.viz.attention import _apart


def small() -> Data:
    """Three nodes with identities 2, 5, 7; edges 0→1, 1→0, 2→2, 0→2."""
    pos = torch.tensor([[0.2, 0.2], [0.8, 0.2], [0.5, 0.8]])
    return Data(
        pos=pos,
        box=torch.cat([pos - 0.1, pos + 0.1], 1),
        kernel=torch.ones(3, 4, 4) / 16,
        node_id=torch.tensor([2, 5, 7]),
        edge_index=torch.tensor([[0, 1, 2, 0], [1, 0, 2, 2]]),
        num_nodes=3,
    )


ALPHA = torch.tensor([0.9, 0.3, 0.6, 0.0])
FRAME = torch.zeros(1, 20, 30, dtype=torch.uint8)


def test_matrix_is_senders_by_receivers():
    matrix = weight_matrix(small(), ALPHA)
    assert matrix[0, 1] == ALPHA[0]
    assert matrix[1, 0] == ALPHA[1]
    assert matrix[2, 2] == ALPHA[2]
    assert matrix[0, 2] == 0  # an edge of weight 0 is an edge
    assert matrix.isnan().sum() == 5


def test_networkx_export_round_trip():
    graph = attention_networkx(small(), ALPHA)
    assert graph.is_directed()
    assert {(j, i): round(w, 5) for j, i, w in graph.edges(data="weight")} == {
        (0, 1): 0.9,
        (1, 0): 0.3,
        (2, 2): 0.6,
        (0, 2): 0.0,
    }
    assert [graph.nodes[node]["node_id"] for node in graph] == [2, 5, 7]
    assert graph.nodes[2]["pos"] == pytest.approx([0.5, 0.8])
    assert graph.nodes[0]["box"] == pytest.approx([0.1, 0.1, 0.3, 0.3])


def test_networkx_adds_parallel_edges():
    data = small()
    data.edge_index = torch.tensor([[0, 0, 1], [1, 1, 2]])
    alpha = torch.tensor([0.25, 0.5, 1.0])
    assert attention_networkx(data, alpha)[0][1]["weight"] == 0.75
    assert weight_matrix(data, alpha)[0, 1] == 0.75


def test_arrows_go_from_sender_to_receiver_and_grow_with_the_weight():
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex
    from matplotlib.patches import Arc, FancyArrowPatch

    axes = attention_graph(FRAME, small(), ALPHA).axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 2  # weight 0 is left out, the self-loop is a ring
    weak, strong = sorted(arrows, key=lambda arrow: arrow.get_linewidth())
    assert to_hex(strong.get_edgecolor()) == identity_hex(2)
    assert to_hex(weak.get_edgecolor()) == identity_hex(5)
    assert strong.get_alpha() > weak.get_alpha()
    begin, end = strong._posA_posB  # the two ends, in pixels of the frame
    assert begin == pytest.approx((6, 4), abs=0.1)
    assert end == pytest.approx((24, 4), abs=0.1)
    (ring,) = [patch for patch in axes.patches if isinstance(patch, Arc)]
    assert to_hex(ring.get_edgecolor()) == identity_hex(7)
    assert weak.get_linewidth() < ring.get_linewidth() < strong.get_linewidth()


def test_of_very_many_edges_the_strongest_are_drawn():
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex

    data = small()
    data.edge_index = torch.tensor([[0, 1], [1, 0]]).repeat_interleave(400, 1)
    alpha = torch.tensor([1.0, 0.5]).repeat_interleave(400)
    arrows = attention_graph(FRAME, data, alpha).axes[0].patches[1:]  # the first is the ground
    assert [to_hex(arrow.get_edgecolor()) for arrow in arrows] == [identity_hex(2)] * 400


def test_heat_map_names_rows_and_columns_by_identity():
    pytest.importorskip("matplotlib")
    axes = attention_matrix(small(), ALPHA).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "5", "7"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("receiver", "sender")
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(1, 0): ".90", (0, 1): ".30", (2, 2): ".60", (2, 0): ".00"}


def test_nodes_at_one_place_are_moved_apart():
    home = torch.tensor([[5.0, 5.0]] * 4 + [[50.0, 50.0]])
    place = _apart(home, 3.0)
    assert (torch.cdist(place, place) + 9 * torch.eye(5)).min() > 2.5
    torch.testing.assert_close(place[4], home[4], atol=0.01, rtol=0)


@pytest.mark.parametrize("nodes", [1, 14])
def test_graph_of_a_batch(clip, nodes):
    pytest.importorskip("matplotlib")
    view = clip(nodes=nodes, channels=3)
    alpha = clip_edges(view.graph, view.alpha, 2)
    figure = attention_graph(view.video[2], view.graph[2], alpha)
    assert len(figure.axes[0].texts) == nodes
    assert attention_matrix(view.graph[2], alpha).axes


def test_graph_without_edges_or_without_weight_is_drawn():
    pytest.importorskip("matplotlib")
    data = small()
    assert attention_graph(FRAME, data, torch.zeros(4)).axes
    data.edge_index = torch.zeros(2, 0, dtype=torch.long)
    assert attention_graph(FRAME, data, torch.zeros(0)).axes
    assert weight_matrix(data, torch.zeros(0)).isnan().all()


def test_bad_input_is_named():
    data = small()
    with pytest.raises(InputError, match=r"alpha: expected \[4\], got \[3\]"):
        weight_matrix(data, ALPHA[:3])
    with pytest.raises(InputError, match=r"alpha: expected \[4\], got \[4, 8\]"):
        attention_networkx(data, ALPHA[:, None].expand(4, 8))
    with pytest.raises(InputError, match="alpha: expected finite weights of at least 0"):
        attention_matrix(data, -ALPHA)
    with pytest.raises(InputError, match=r"frame: expected \[C, H, W\]"):
        attention_graph(FRAME[0], data, ALPHA)
    del data.edge_index
    with pytest.raises(InputError, match="data: expected a graph with edge_index"):
        weight_matrix(data, ALPHA)


def test_absent_matplotlib_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'matplotlib is needed here: pip install "stgraph-video'):
        attention_matrix(small(), ALPHA)


@pytest.mark.slow
def test_pyplot_and_the_backend_are_left_alone():
    pytest.importorskip("matplotlib")
    import subprocess

    code = (
        "import sys, torch, stgraph.viz, stgraph.viz.curves as c\n"
        "assert not {'matplotlib', 'PIL', 'av'} & set(sys.modules)\n"
        "c.learning_curve([])\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
