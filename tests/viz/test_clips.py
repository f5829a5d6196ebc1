from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.nodes import GridNodes
from stgraph.viz import ClipView, clip_edges


def test_cut_takes_the_frames_the_edges_and_the_weights_of_one_clip(clip):
    one, two = clip(), clip(absent=((1, 0), (3, 2)))
    graph = Batch.from_data_list(one.graph.to_data_list() + two.graph.to_data_list())
    video = torch.stack([one.video, two.video + 7])
    alpha = torch.cat([one.alpha, two.alpha + 1000])
    box = torch.rand(2, 4, 5, 4)
    marked = torch.tensor([[True] * 5, [False] * 5])
    cut = ClipView.cut(1, video, graph, alpha=alpha, box=box, marked=marked, label="a")
    assert torch.equal(cut.video, two.video + 7)
    assert torch.equal(cut.graph.box, two.graph.box)
    assert torch.equal(cut.graph.edge_index, two.graph.edge_index)
    assert torch.equal(cut.alpha, two.alpha + 1000)
    assert torch.equal(cut.box, box[1])
    assert not cut.marked.any()
    assert cut.label == "a"


def test_cut_takes_the_frames_that_exist_of_a_clip_that_is_padded():
    torch.manual_seed(0)
    nodes = GridNodes(4, (2,), edges=FullEdges())
    mask = torch.tensor([[True, True, True, False], [False, True, False, True], [True] * 4])
    graph, _ = nodes(torch.randn(3, 4, 4, 6, 6), frame_mask=mask)
    assert graph.num_graphs == 9
    video = torch.arange(12, dtype=torch.uint8).view(3, 4, 1, 1, 1).expand(-1, -1, 3, 8, 8)
    box = torch.rand(3, 4, 2, 4)
    alpha = torch.arange(graph.num_edges) * 1.0
    firsts, edges = [0, 3, 5, 9], graph.num_edges // 9
    for clip in range(3):
        view = ClipView.cut(clip, video, graph, alpha=alpha, box=box)
        there = mask[clip]
        assert torch.equal(view.video, video[clip][there])
        assert torch.equal(view.box, box[clip][there])
        numbers = slice(firsts[clip], firsts[clip + 1])
        assert torch.equal(view.alpha, alpha.view(9, edges)[numbers].flatten())
        for frame, number in enumerate(range(9)[numbers]):
            assert torch.equal(view.graph[frame].x, graph[number].x)
    with pytest.raises(InputError, match=r"video: expected \[3, 4, \.\.\.\] as the clips"):
        ClipView.cut(0, video[:, :3], graph)


def test_edges_of_a_frame_are_those_of_its_graph(clip):
    view = clip(absent=((1, 0),))
    parts = [clip_edges(view.graph, view.alpha, time) for time in range(4)]
    assert [len(part) for part in parts] == [9, 4, 9, 9]
    assert torch.equal(torch.cat(parts), view.alpha)


def test_bad_clips_are_named(clip):
    view = clip()
    with pytest.raises(InputError, match=r"alpha: expected \[36\], got \[5\]"):
        ClipView(view.video, view.graph, alpha=torch.ones(5))
    with pytest.raises(InputError, match="box: expected"):
        ClipView(view.video, view.graph, box=torch.ones(4, 4))
    with pytest.raises(InputError, match="clip: expected a number below 1, got 1"):
        ClipView.cut(1, view.video[None], view.graph)
    with pytest.raises(InputError, match="graph: expected a Batch of 8 frame graphs"):
        ClipView.cut(0, view.video.expand(2, -1, -1, -1, -1), view.graph)
    with pytest.raises(InputError, match="graph: expected a Batch"):
        ClipView(view.video, [view.graph])
