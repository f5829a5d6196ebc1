from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.metrics import (
    boxes_of_batch,
    boxes_of_graph,
    centre_baseline,
    detector_baseline,
    grid_baseline,
    object_metrics,
)
from stgraph.nodes import BoxNodes, FixedRegions, GridNodes, Windows
from stgraph.nodes.windows import centre_anchors

TRUE = boxes_of_batch({"box": torch.rand(2, 3, 4, 4).sort(-1).values})


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_the_grid_is_that_of_grid_nodes(scale: int) -> None:
    graph, _ = GridNodes(2, (scale,))(torch.ones(2, 3, 2, 7, 7))
    for one, other in zip(grid_baseline(TRUE, scale), boxes_of_graph(graph), strict=True):
        torch.testing.assert_close(one, other)


def test_the_centre_is_the_untrained_window_of_the_paper() -> None:
    regions = FixedRegions(2, 9, windows=Windows.paper(), anchors=centre_anchors)
    graph, _ = regions(torch.ones(2, 3, 2, 60, 60))
    nine = boxes_of_graph(graph).box
    half_a_cell = 0.5 / 60
    torch.testing.assert_close(
        centre_baseline(TRUE).box.expand_as(nine), nine, rtol=0, atol=half_a_cell + 1e-6
    )
    assert centre_baseline(TRUE, side=0.5).box[0, 0, 0].tolist() == [0.25, 0.25, 0.75, 0.75]


def test_the_detector_keeps_what_it_is_surest_of() -> None:
    boxes = torch.rand(2, 3, 6, 2).mul(0.5)
    boxes = torch.cat([boxes, boxes + 0.2], -1)
    scores, present = torch.rand(2, 3, 6), torch.rand(2, 3, 6) < 0.6
    present[0, 0] = False
    track = torch.arange(6).flip(0).expand(2, 3, 6)
    kept = detector_baseline(boxes, scores, present, track, count=4)
    for b in range(2):
        for t in range(3):
            here = [m for m in range(6) if present[b, t, m]]
            best = sorted(here, key=lambda m: -float(scores[b, t, m]))[:4]
            mine = kept.present[b, t].nonzero().flatten().tolist()
            assert kept.track[b, t, mine].tolist() == [5 - m for m in best]
            torch.testing.assert_close(kept.box[b, t, mine], boxes[b, t, best])


def test_a_perfect_detector_is_perfect_as_hints_too() -> None:
    boxes = torch.rand(2, 3, 5, 2).mul(0.5)
    boxes = torch.cat([boxes, boxes + 0.2], -1)
    true = boxes_of_batch({"box": boxes})
    detected = detector_baseline(boxes, torch.rand(2, 3, 5))
    assert object_metrics(detected, true)["iou_r"].value == 1
    graph, _ = BoxNodes(2)(torch.ones(2, 3, 2, 8, 8), boxes=boxes)
    measured = object_metrics(boxes_of_graph(graph), true)
    assert (measured["iou_p"].value, measured["switches"].value) == (1, 0)


def test_regions_of_padding_are_not_there() -> None:
    mask = torch.tensor([[True, True, False]])
    true = boxes_of_batch({"box": torch.zeros(1, 3, 1, 4), "frame_mask": mask})
    assert torch.equal(grid_baseline(true).present[..., 0], mask)


def test_bad_baselines() -> None:
    with pytest.raises(InputError, match="side"):
        centre_baseline(TRUE, 1.5)
    with pytest.raises(InputError, match="scale"):
        grid_baseline(TRUE, 0)
    boxes = torch.rand(1, 1, 2, 4).sort(-1).values
    with pytest.raises(InputError, match=r"scores: expected \[1, 1, 2\]"):
        detector_baseline(boxes, torch.rand(1, 2))
    with pytest.raises(InputError, match="count"):
        detector_baseline(boxes, torch.rand(1, 1, 2), count=0)
