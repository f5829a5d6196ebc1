from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph.checks import InputError
from stgraph.edges import OverlapEdges
from stgraph.graph import Layout, frame_graphs, validate


def overlap(one, other):
    """Intersection and union of two boxes."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    size = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height, size - width * height


@settings(deadline=None)
@given(
    nodes=st.integers(1, 7),
    iou=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    loops=st.booleans(),
    absent=st.booleans(),
    seed=st.integers(0, 99),
)
def test_edges_are_those_of_loops_over_nodes(make, pairs, listed, nodes, iou, loops, absent, seed):
    graph = validate(OverlapEdges(iou, loops)(make(2, 2, nodes, absent, seed)))
    box = graph.box.tolist()

    def joined(i, j):
        common, union = overlap(box[i], box[j])
        return (i != j and common > 0 and common >= iou * union) or (loops and i == j)

    assert listed(graph.edge_index) == pairs(graph, joined)


def boxes(*box, dtype=torch.float32):
    box = torch.tensor(box, dtype=dtype)[None, None]
    return frame_graphs({"x": box, "box": box}, Layout(1, 1, box.size(2), 2, 2))


def test_boxes_that_touch_or_are_empty_do_not_overlap(listed):
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    line, whole = (0.2, 0.0, 0.2, 1.0), (0.0, 0.0, 1.0, 1.0)
    graph = boxes(left, right, line, whole)
    assert listed(OverlapEdges()(graph).edge_index) == [(3, 0), (3, 1), (0, 3), (1, 3)]
    assert listed(OverlapEdges(iou=0.6)(graph).edge_index) == []
    loops = OverlapEdges(iou=0.6, loops=True)(graph).edge_index
    assert listed(loops) == [(n, n) for n in range(4)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_equal_boxes_overlap_wholly_in_any_type(listed, dtype):
    box = (0.1, 0.3, 0.7, 0.9)
    assert listed(OverlapEdges(iou=1)(boxes(box, box, dtype=dtype)).edge_index) == [(1, 0), (0, 1)]


def test_renaming_the_nodes_renames_the_edges(make, permuted):
    permuted(OverlapEdges(0.1), make)


def test_bad_input_is_refused():
    for iou in (-0.1, 1.1, float("nan"), True):
        with pytest.raises(InputError, match="iou: expected a number from 0 to 1"):
            OverlapEdges(iou)
    x = torch.zeros(1, 1, 3, 2)
    with pytest.raises(InputError, match=r"graph: expected a field `box` \[V, 4\]"):
        OverlapEdges()(frame_graphs({"x": x}, Layout(1, 1, 3, 2, 2)))
