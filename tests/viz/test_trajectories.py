from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.viz import identity_hex, trajectories

pytest.importorskip("matplotlib")


def lines(axes, colour):
    return [line for line in axes.lines if line.get_color() == colour]


@pytest.mark.parametrize("absent", [((1, 2),), ((3, 2),)], ids=["between", "at the end"])
def test_lines_are_the_centres_over_time(clip, absent):
    view = clip(height=16, width=32, absent=absent)
    frame, across, down = trajectories(view.video, view.graph).axes
    for node in range(3):
        colour = identity_hex(node)
        (x,), (y,) = lines(across, colour), lines(down, colour)
        path = lines(frame, colour)[0]
        rows = view.graph.node_id == node
        times = view.graph.time[rows]
        expected = view.graph.pos[rows]
        drawn = torch.tensor([*zip(x.get_ydata(), y.get_ydata(), strict=True)]).float()
        torch.testing.assert_close(drawn[times], expected)
        assert drawn.isnan().any(1).sum() == (1 if node == 2 else 0)  # the line breaks
        (dot,) = lines(frame, colour)[1:]
        assert dot.get_marker() == "o"
        last = expected[times.argmax()] * torch.tensor([32.0, 16.0])
        torch.testing.assert_close(torch.tensor(dot.get_xydata()).float()[0], last)
        inside = torch.tensor(path.get_xydata()).float()[times]
        torch.testing.assert_close(inside, expected * torch.tensor([32.0, 16.0]))


def test_true_centres_are_dashed(clip):
    view = clip()
    box = torch.tensor([0.0, 0.5, 0.5, 1.0]).expand(4, 2, 4)
    _, across, down = trajectories(view.video, view.graph, box=box).axes
    dashed = [line for line in across.lines if line.is_dashed()]
    assert [list(line.get_ydata()) for line in dashed] == [[0.25] * 4] * 2
    dashed = [line for line in down.lines if line.is_dashed()]
    assert [list(line.get_ydata()) for line in dashed] == [[0.75] * 4] * 2


def test_bad_input_is_named(clip):
    view = clip()
    with pytest.raises(InputError, match="box: expected"):
        trajectories(view.video, view.graph, box=torch.zeros(5, 1, 4))
    with pytest.raises(InputError, match="graph: expected a Batch of 2"):
        trajectories(view.video[:2], view.graph)
