from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import layout_of, presence, to_dense, validate
from stgraph.kernels import Gaussian, area, boxcar
from stgraph.layers import Remap, SpaceLayer, TimeLayer
from stgraph.nodes import BoxNodes, GridNodes, WindowKernel
from stgraph.nodes.grid import grid_boxes, grid_cells

FEATURES = torch.randn(2, 3, 8, 6, 9)


def some_boxes(*lead: int) -> torch.Tensor:
    ends = torch.rand(*lead, 2, 2, dtype=torch.float64).sort(dim=-2).values
    return ends.flatten(-2)


def test_the_boxes_of_a_grid_are_the_grid():
    boxes = grid_boxes(grid_cells((3,)), torch.float32).expand(2, 3, -1, -1)
    graph, _ = BoxNodes(8, edges=FullEdges())(FEATURES, boxes=boxes)
    grid, _ = GridNodes(8, (3,), edges=FullEdges())(FEATURES)
    for name in ("x", "kernel", "mass", "box", "pos", "edge_index", "node_id"):
        torch.testing.assert_close(graph[name], grid[name])
    assert presence(graph) is None


def test_missing_boxes_are_missing_nodes_and_frames_may_be_empty():
    boxes = some_boxes(2, 3, 4)
    present = torch.rand(2, 3, 4) > 0.4
    present[1, 1] = False
    boxes[~present] = float("nan")  # padding may hold anything
    graph, _ = BoxNodes(8, edges=FullEdges())(FEATURES, boxes=boxes, present=present)
    validate(graph)
    assert torch.equal(presence(graph), present)
    assert graph[4].num_nodes == 0
    raw = area(boxes.float().nan_to_num(), 6, 9)
    torch.testing.assert_close(
        graph.kernel * graph.mass[:, None, None], raw[present], atol=1e-6, rtol=1e-5
    )


def test_a_clip_without_boxes_goes_through_the_layers():
    present = torch.zeros(2, 3, 4, dtype=torch.bool)
    graph, _ = BoxNodes(8, edges=FullEdges())(FEATURES, boxes=some_boxes(2, 3, 4), present=present)
    validate(graph)
    x = SpaceLayer(8)(graph.x, graph)
    x, _ = TimeLayer(nn.GRU(8, 8))(x, graph)
    assert x.shape == (0, 8)
    assert Remap()(x, graph).eq(0).all()
    graph, _ = BoxNodes(8, 2)(FEATURES, boxes=torch.zeros(2, 3, 0, 4))
    assert graph.num_nodes == 0


def test_track_ids_are_identities():
    boxes, order = some_boxes(2, 3, 4), torch.rand(2, 3, 4).argsort(-1)
    plain, _ = BoxNodes(8)(FEATURES, boxes=boxes)
    shuffled = boxes.gather(2, order[..., None].expand_as(boxes))
    tracked, _ = BoxNodes(8)(FEATURES, boxes=shuffled, track=order)
    for name in ("x", "kernel", "box", "node_id", "time"):
        torch.testing.assert_close(tracked[name], plain[name])


def test_identities_may_be_more_or_fewer_than_boxes_a_frame():
    boxes = some_boxes(2, 3, 4)
    track = torch.tensor([5, -1, 0, 99]).expand(2, 3, 4)
    present = torch.tensor([True, False, True, False]).expand(2, 3, 4)
    for nodes in (6, 20):
        graph, _ = BoxNodes(8, nodes)(FEATURES, boxes=boxes, present=present, track=track)
        validate(graph)
        assert layout_of(graph).nodes == nodes
        assert graph.node_id.tolist() == [0, 5] * 6
        torch.testing.assert_close(to_dense(graph.box, graph)[:, :, 5], boxes[:, :, 0].float())
    few, _ = BoxNodes(8, 2)(
        FEATURES, boxes=boxes, present=present, track=track.clamp(0, 1).flip(-1).contiguous()
    )
    assert few.node_id.tolist() == [0, 1] * 6
    more, _ = BoxNodes(8, 7)(FEATURES, boxes=boxes)
    assert more.node_id.tolist() == [0, 1, 2, 3] * 6


def test_an_identity_that_comes_back_remembers():
    boxes = some_boxes(1, 3, 1)
    present = torch.tensor([True, False, True])[None, :, None]
    track = torch.full((1, 3, 1), 2)
    graph, _ = BoxNodes(8, 4)(FEATURES[:1], boxes=boxes, present=present, track=track)
    layer = TimeLayer(nn.GRU(8, 8))
    out, _ = layer(graph.x, graph)
    expected, _ = layer.cell(graph.x[:, None])
    torch.testing.assert_close(out, expected[:, 0])


def test_gradients_reach_the_boxes():
    features, boxes = torch.randn(1, 2, 2, 5, 4, dtype=torch.float64), some_boxes(1, 2, 3)
    track = torch.tensor([[[2, 0, 1], [0, 1, 2]]])
    present = torch.tensor([[[True, True, False], [True, True, True]]])
    for kernel in (area, WindowKernel(Gaussian(), 1.5)):
        nodes = BoxNodes(2, 3, kernel=kernel)

        def graphs(boxes, nodes=nodes):
            graph, _ = nodes(features, boxes=boxes, present=present, track=track)
            return graph.x, graph.kernel, graph.box

        assert torch.autograd.gradcheck(graphs, boxes.clone().requires_grad_())


def test_a_window_kernel_has_the_centre_and_sides_of_its_box():
    boxes = some_boxes(2, 3, 4)
    torch.testing.assert_close(WindowKernel(boxcar)(boxes, 6, 9), area(boxes, 6, 9))
    box = torch.tensor([0.25, 0.25, 0.75, 0.75])
    kernel = WindowKernel()(box, 4, 8)  # centre (1.5, 3.5), half-sizes (1, 2)
    expected = torch.tensor([0, 0.5, 0.5, 0])[:, None] * torch.tensor([0, 0, 0.5, 1.5])
    torch.testing.assert_close(kernel[:, :4], expected)
    torch.testing.assert_close(kernel[:, 4:], expected.flip(1))
    assert WindowKernel(scale=2.0)(box, 4, 8).gt(0).sum() > kernel.gt(0).sum()
    graph, _ = BoxNodes(8, kernel=WindowKernel())(FEATURES, boxes=boxes)
    validate(graph)


def one(values) -> torch.Tensor:
    boxes = some_boxes(2, 3, 4)
    boxes[1, 2, 3] = torch.tensor(values)
    return boxes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-0.1, 0.1, 0.5, 0.5), "in 0..1 of the frame"),
        ((0.1, 0.1, 1.5, 0.5), "in 0..1 of the frame"),
        ((0.1, float("nan"), 0.5, 0.5), "in 0..1 of the frame"),
        ((0.5, 0.1, 0.1, 0.5), "x1 < x2 and y1 < y2"),
        ((0.1, 0.5, 0.5, 0.5), "x1 < x2 and y1 < y2"),
    ],
)
def test_bad_boxes_are_refused_where_they_are_present(values, message):
    boxes = one(values)
    with pytest.raises(InputError, match=rf"boxes: expected .*{message}.*clip 1, frame 2, box 3"):
        BoxNodes(8)(FEATURES, boxes=boxes)
    with pytest.raises(InputError, match=rf"boxes: expected .*{message}.*clip 1, frame 2, box 3"):
        BoxNodes(8)(FEATURES, boxes=boxes, track=torch.arange(4).expand(2, 3, 4))  # ids are right
    present = torch.ones(2, 3, 4, dtype=torch.bool)
    present[1, 2, 3] = False
    graph, _ = BoxNodes(8)(FEATURES, boxes=boxes, present=present)
    validate(graph)
    unchecked, _ = BoxNodes(8, check=False)(FEATURES, boxes=boxes.nan_to_num())
    assert unchecked.num_nodes == 24


def test_bad_track_ids_are_refused():
    boxes = some_boxes(2, 3, 4)
    for ids, message in [
        ([0, 1, 2, 4], r"ids in 0\.\.3, got 4 \(clip 0, frame 0, box 3\)"),
        ([-1, 1, 2, 3], r"ids in 0\.\.3, got -1 \(clip 0, frame 0, box 0\)"),
        ([0, 1, 2, 1], r"an id once a frame, got 1 \(clip 0, frame 0, box 1\)"),
    ]:
        track = torch.tensor(ids).expand(2, 3, 4)
        with pytest.raises(InputError, match=f"track: expected {message}"):
            BoxNodes(8)(FEATURES, boxes=boxes, track=track)


def test_bad_hints_are_refused():
    boxes, nodes = some_boxes(2, 3, 4), BoxNodes(8)
    for hints, message in [
        ({}, "boxes: expected boxes"),
        ({"boxes": boxes[:1]}, r"boxes: expected \[2, 3, M, 4\], got \[1, 3, 4, 4\]"),
        ({"boxes": boxes[..., :3]}, r"boxes: expected \[2, 3, M, 4\]"),
        ({"boxes": boxes.long()}, "boxes: expected a floating-point tensor"),
        ({"boxes": boxes[:, :, :0]}, "boxes: expected at least one slot"),
        ({"boxes": boxes, "present": torch.ones(2, 3, 5)}, r"present: expected \[2, 3, 4\]"),
        ({"boxes": boxes, "present": torch.ones(2, 3, 4)}, "present: expected a tensor of bool"),
        ({"boxes": boxes, "track": torch.ones(2, 3, 4)}, "track: expected a tensor of whole"),
    ]:
        with pytest.raises(InputError, match=message):
            nodes(FEATURES, **hints)
    with pytest.raises(InputError, match="boxes: expected at most 2 a frame without track"):
        BoxNodes(8, 2)(FEATURES, boxes=boxes)
    with pytest.raises(InputError, match="num_nodes: expected a whole number"):
        BoxNodes(8, 0)
    with pytest.raises(InputError, match="scale: expected a number above 0"):
        WindowKernel(scale=0)
