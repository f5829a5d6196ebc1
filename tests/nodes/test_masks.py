from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.graph import layout_of, presence, validate
from stgraph.kernels import area_weights, enclosing_box, moment_box
from stgraph.layers import Remap, SpaceLayer, TimeLayer
from stgraph.nodes import BoxNodes, MaskNodes

FEATURES = torch.randn(2, 3, 8, 6, 9)


def rectangles(*lead: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of 12 × 18 pixels that fill rectangles, and the rectangles."""
    masks, boxes = torch.zeros(*lead, 12, 18), torch.zeros(*lead, 4)
    for mask, box in zip(masks.view(-1, 12, 18), boxes.view(-1, 4), strict=True):
        y1, x1 = int(torch.randint(10, ())), int(torch.randint(16, ()))
        y2, x2 = int(torch.randint(y1 + 1, 13, ())), int(torch.randint(x1 + 1, 19, ()))
        mask[y1:y2, x1:x2] = 1
        box[:] = torch.tensor([x1 / 18, y1 / 12, x2 / 18, y2 / 12])
    return masks, boxes


@pytest.mark.parametrize("size", [(6, 9), (12, 18), (5, 7), (20, 31)])
def test_masks_of_rectangles_are_boxes(size):
    features = torch.randn(2, 3, 8, *size)
    masks, boxes = rectangles(2, 3, 4)
    graph, _ = MaskNodes(8, edges=FullEdges())(features, masks=masks)
    expected, _ = BoxNodes(8, edges=FullEdges())(features, boxes=boxes)
    names = ["box", "pos", "edge_index", "node_id"]
    if size[0] <= 12:  # a finer map sees the pixels of a mask, which boxes do not have
        names += ["x", "kernel", "mass"]
    for name in names:
        torch.testing.assert_close(graph[name], expected[name], atol=1e-5, rtol=1e-5)


def test_kernels_are_the_mean_of_the_mask_over_each_cell():
    masks = torch.rand(2, 3, 2, 12, 18)
    graph, _ = MaskNodes(8)(FEATURES, masks=masks)
    expected = F.avg_pool2d(masks.flatten(0, 2)[:, None], 2)[:, 0]  # whole cells: 2 × 2 pixels
    torch.testing.assert_close(graph.kernel * graph.mass[:, None, None], expected)
    # Cells that cut pixels: on a grid that both fit in.
    fine = masks.repeat_interleave(5, -2).repeat_interleave(7, -1)
    odd, _ = MaskNodes(8)(torch.randn(2, 3, 8, 5, 7), masks=masks)
    expected = F.avg_pool2d(fine.flatten(0, 2)[:, None], (12, 18))[:, 0]
    torch.testing.assert_close(odd.kernel * odd.mass[:, None, None], expected)


def test_resizing_by_area_keeps_the_mean_and_goes_on():
    for source, target in [(7, 3), (3, 7), (5, 5), (1, 4)]:
        weights = area_weights(source, target)
        torch.testing.assert_close(weights.sum(1), torch.ones(target))
        torch.testing.assert_close(weights.sum(0), torch.full((source,), target / source))
    whole = area_weights(12, 8)[2:6]
    torch.testing.assert_close(area_weights(12, 4, 0.25, 0.75), whole)


def test_empty_masks_are_absent():
    masks, _ = rectangles(2, 3, 4)
    masks[0, 1, 2], masks[1, 2] = 0, 0
    graph, _ = MaskNodes(8, edges=FullEdges())(FEATURES, masks=masks)
    validate(graph)
    assert torch.equal(presence(graph), masks.flatten(3).any(-1))
    assert graph[5].num_nodes == 0
    soft, _ = MaskNodes(8)(FEATURES, masks=masks.bool())
    torch.testing.assert_close(soft.kernel, graph.kernel)
    faint, _ = MaskNodes(8)(FEATURES, masks=0.01 * masks)
    torch.testing.assert_close(faint.kernel, graph.kernel)


def test_tracks_scores_and_padding_are_as_with_boxes():
    masks, boxes = rectangles(2, 3, 4)
    order = torch.rand(2, 3, 4).argsort(-1)
    present = torch.rand(2, 3, 4) > 0.4
    masks[~present] = float("nan")  # padding may hold anything
    hints = {"present": present, "track": order, "scores": torch.rand(2, 3, 4, 2)}
    graph, _ = MaskNodes(8, 6)(FEATURES, masks=masks, **hints)
    expected, _ = BoxNodes(8, 6)(FEATURES, boxes=boxes, **hints)
    validate(graph)
    assert layout_of(graph).nodes == 6
    for name in ("x", "kernel", "box", "node_id", "time", "scores"):
        torch.testing.assert_close(graph[name], expected[name], atol=1e-5, rtol=1e-5)


def test_a_clip_without_masks_goes_through_the_layers():
    graph, _ = MaskNodes(8, edges=FullEdges())(FEATURES, masks=torch.zeros(2, 3, 4, 5, 5))
    validate(graph)
    x, _ = TimeLayer(nn.GRU(8, 8))(SpaceLayer(8)(graph.x, graph), graph)
    assert x.shape == (0, 8)
    assert Remap()(x, graph).eq(0).all()


def test_soft_masks_may_have_the_box_of_their_moments():
    masks = torch.full((1, 1, 1, 12, 18), 1e-3)
    masks[..., 3:6, 6:12] = 1
    around, _ = MaskNodes(8)(FEATURES[:1, :1], masks=masks)
    assert around.box.tolist() == [[0, 0, 1, 1]]
    inside, _ = MaskNodes(8, box=moment_box)(FEATURES[:1, :1], masks=masks)
    torch.testing.assert_close(
        inside.box, torch.tensor([[1 / 3, 0.25, 2 / 3, 0.5]]), atol=0.1, rtol=0
    )


def test_boxes_enclose_what_weighs():
    for _ in range(50):
        kernel = torch.rand(7, 5).mul(torch.rand(7, 5) > 0.9)
        cells = kernel.nonzero().tolist()
        rows, columns = zip(*cells, strict=True) if cells else ([0, -1], [0, -1])
        ends = (min(columns) / 5, min(rows) / 7, (max(columns) + 1) / 5, (max(rows) + 1) / 7)
        expected = ends if cells else (0.0, 0.0, 0.0, 0.0)
        torch.testing.assert_close(enclosing_box(kernel), torch.tensor(expected))


def test_gradients_reach_soft_masks():
    features = torch.randn(1, 2, 2, 5, 4, dtype=torch.float64)
    masks = torch.rand(1, 2, 3, 4, 6, dtype=torch.float64).clamp(0.1, 0.9)

    def graphs(masks):
        graph, _ = MaskNodes(2, 3)(features, masks=masks)
        return graph.x, graph.kernel

    assert torch.autograd.gradcheck(graphs, masks.requires_grad_())


def test_bad_hints_are_refused():
    masks, _ = rectangles(2, 3, 4)
    wrong, bad = masks.clone(), masks.clone()
    wrong[1, 2, 3] = 2
    bad[1, 2, 3, 0, 0] = float("nan")
    empty, all_of_them = masks.clone(), torch.ones(2, 3, 4, dtype=torch.bool)
    empty[1, 0, 2] = 0
    twice = torch.tensor([0, 1, 2, 1]).expand(2, 3, 4)
    for hints, message in [
        ({}, "masks: expected masks"),
        ({"masks": masks[:1]}, r"masks: expected \[2, 3, M, h, w\], got \[1, 3, 4, 12, 18\]"),
        ({"masks": masks.long()}, "masks: expected a tensor of bool or of floating-point"),
        ({"masks": masks[..., :0]}, "masks: expected at least one pixel"),
        ({"masks": masks[:, :, :0]}, "masks: expected at least one slot"),
        ({"masks": wrong}, r"masks: expected masks in 0\.\.1, got .*clip 1, frame 2, mask 3"),
        ({"masks": bad}, r"masks: expected masks in 0\.\.1, got .*clip 1, frame 2, mask 3"),
        ({"masks": empty, "present": all_of_them}, "cover something.*clip 1, frame 0, mask 2"),
        ({"masks": masks, "present": torch.ones(2, 3, 4)}, "present: expected a tensor of bool"),
        ({"masks": masks, "track": torch.ones(2, 3, 4)}, "track: expected a tensor of whole"),
        ({"masks": masks, "track": twice}, "track: expected an id once a frame, got 1"),
        ({"masks": masks, "scores": torch.ones(2, 3)}, r"scores: expected \[2, 3, 4, ...\]"),
    ]:
        with pytest.raises(InputError, match=message):
            MaskNodes(8)(FEATURES, **hints)
    with pytest.raises(InputError, match="masks: expected at most 2 a frame without track"):
        MaskNodes(8, 2)(FEATURES, masks=masks)
