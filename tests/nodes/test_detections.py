"""What detectors and trackers return becomes hints that ``BoxNodes`` takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph import SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.graph import to_dense, validate
from stgraph.layers import TimeLayer
from stgraph.nodes import (
    BoxNodes,
    PointNodes,
    Tracks,
    pad_detections,
    relative_boxes,
    track_slots,
)

SIZE = (48, 64)


def frame(*lefts: float, **fields) -> dict[str, torch.Tensor]:
    left = torch.tensor(lefts)
    boxes = torch.stack([left, 0 * left + 12, left + 16, 0 * left + 36], dim=1)
    return {"boxes": boxes.reshape(-1, 4), **{k: torch.tensor(v) for k, v in fields.items()}}


def test_pixels_become_shares_of_the_frame():
    boxes = torch.tensor([[16, 12, 32, 36], [-5, -5, 70, 50], [70, 12, 80, 36]])
    expected = torch.tensor([[0.25, 0.25, 0.5, 0.75], [0, 0, 1, 1], [1, 0.25, 1, 0.75]])
    torch.testing.assert_close(relative_boxes(boxes, *SIZE), expected)
    wide = relative_boxes(torch.tensor([40.0, 12.0, 100.0, 15.0]), height=30, width=200)
    torch.testing.assert_close(wide, torch.tensor([0.2, 0.4, 0.5, 0.5]))
    assert relative_boxes(boxes.half(), *SIZE).dtype == torch.float32
    assert relative_boxes(boxes.double(), *SIZE).dtype == torch.float64
    for wrong in (torch.zeros(3, 5), torch.zeros(()), [1, 2, 3, 4]):
        with pytest.raises(InputError, match=r"boxes: expected \[..., 4\]"):
            relative_boxes(wrong, *SIZE)
    with pytest.raises(InputError, match="height: expected a whole number of at least 1"):
        relative_boxes(torch.zeros(1, 4), 0, 64)


def test_ragged_detections_become_tensors_with_a_mask():
    clips = [
        [frame(0, 16, scores=[0.5, 0.25]), frame(scores=torch.zeros(0).tolist())],
        [frame(32, scores=[0.75]), frame(48, 60, 100, scores=[0.1, 0.2, 0.9])],
    ]
    padded = pad_detections(clips, pixels=SIZE)
    assert list(padded) == ["boxes", "scores", "present"]
    assert padded["present"].tolist() == [
        [[True, True], [False, False]],
        [[True, False], [True, True]],  # the third lies outside
    ]
    assert padded["boxes"][0, 0, 1].tolist() == [0.25, 0.25, 0.5, 0.75]
    assert padded["boxes"][1, 1, 1].tolist() == [60 / 64, 0.25, 1.0, 0.75]  # cut off
    torch.testing.assert_close(padded["scores"][1, 1], torch.tensor([0.1, 0.2]))
    assert not padded["boxes"][~padded["present"]].any()
    graph, _ = BoxNodes(4)(torch.randn(2, 2, 4, 6, 8), **padded)
    validate(graph)
    assert graph.num_nodes == 5
    torch.testing.assert_close(graph.scores, torch.tensor([0.5, 0.25, 0.75, 0.1, 0.2]))


def test_the_best_stay_where_there_are_too_many():
    one = frame(0, 8, 16, 24, scores=[0.2, 0.5, 0.1, 0.9])
    padded = pad_detections([[one]], slots=2, pixels=SIZE)
    torch.testing.assert_close(padded["scores"], torch.tensor([[[0.5, 0.9]]]))  # as they came
    assert pad_detections([[one]], slots=9, pixels=SIZE)["present"].sum() == 4
    del one["scores"]
    with pytest.raises(InputError, match="at most 2 boxes a frame without `scores`, got 4"):
        pad_detections([[one]], slots=2, pixels=SIZE)


def test_bad_detections_are_refused():
    good = frame(0, scores=[0.5])
    for clips, message in [
        ([], "clips: expected at least one clip"),
        ([[]], "clips: expected at least one clip"),
        ([[good], [good, good]], r"clips of one length, got \[1, 2\]"),
        ([[good, frame(0)]], r"the fields \['boxes', 'scores'\] in every frame"),
        ([[{"scores": torch.ones(1)}]], "`boxes` of every frame"),
        ([[None]], "clips: expected a dict with `boxes` of every frame, got NoneType"),
        ([[frame(0, 8, scores=[0.5])]], r"scores: expected \[2, ...\] \(a row a box\), got \[1\]"),
        ([[{"boxes": torch.zeros(2, 5)}]], r"boxes: expected \[m, 4\]"),
    ]:
        with pytest.raises(InputError, match=message):
            pad_detections(clips, pixels=SIZE)


def test_a_field_is_of_one_type_and_shape():
    """Assigned into the room of the first frame it would be rounded, or repeated, silently."""
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    large = torch.tensor([2**24 + 1, 3])
    for first, second in [
        (torch.ones(2), large),
        (large, torch.full((2,), 0.5)),
        (torch.ones(2, 3), torch.ones(2, 1)),
        (torch.ones(2, 3), torch.ones(2)),
    ]:
        frames = [{"boxes": boxes, "ids": ids} for ids in (first, second)]
        with pytest.raises(InputError, match="ids: expected one type and shape in every frame"):
            pad_detections([frames])


def test_the_type_of_nothing_counts_for_nothing():
    boxes, large = torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([2**24 + 1])
    nothing = {"boxes": torch.zeros(0, 4), "ids": torch.tensor([])}
    padded = pad_detections([[nothing, {"boxes": boxes, "ids": large}, nothing]])
    assert padded["ids"].tolist() == [[[0], [2**24 + 1], [0]]]


def slots_of(ids, slots, forget_after=None, state=None):
    """Slots by frame, ``None`` where a box got none; one clip."""
    most = max(len(now) for now in ids)
    padded = torch.tensor([[*now, *[-7] * (most - len(now))] for now in ids])[None]
    present = torch.tensor([[True] * len(now) + [False] * (most - len(now)) for now in ids])[None]
    track, there, state = track_slots(padded, present, slots, forget_after, state)
    found = [
        [int(s) if t else None for s, t in zip(*now, strict=True)][: len(boxes)]
        for now, boxes in zip(zip(track[0], there[0], strict=True), ids, strict=True)
    ]
    return found, state


def test_an_id_keeps_its_slot_wherever_its_box_stands():
    found, _ = slots_of([[70, 12], [12, 31, 70], [], [31], [70, 31, 12]], 4)
    assert found == [[0, 1], [1, 2, 0], [], [2], [0, 2, 1]]


def test_slots_are_given_anew_only_after_long_absence():
    ids = [[1, 2], [1], [1, 3], [1], [3, 1], [1, 2]]
    assert slots_of(ids, 2)[0] == [[0, 1], [0], [0, None], [0], [None, 0], [0, 1]]
    assert slots_of(ids, 2, 1)[0] == [[0, 1], [0], [0, None], [0], [1, 0], [0, None]]
    assert slots_of(ids, 2, 0)[0] == [[0, 1], [0], [0, 1], [0], [1, 0], [0, None]]


def test_pieces_are_the_whole():
    torch.manual_seed(0)
    ids = torch.rand(3, 40, 12).argsort(-1)[..., :5] + torch.arange(40)[:, None] // 8 * 6
    present = torch.rand(3, 40, 5) > 0.3
    whole = track_slots(ids, present, 6, 2)
    assert (whole[1] < present).any()  # some got no slot
    assert not (whole[1] & ~present).any()
    state, pieces = None, []
    for cut in torch.arange(40).split([1, 1, 13, 25]):
        *piece, state = track_slots(ids[:, cut], present[:, cut], 6, 2, state)
        pieces.append(piece)
    for number in (0, 1):
        assert torch.equal(torch.cat([piece[number] for piece in pieces], dim=1), whole[number])
    assert all(torch.equal(one, other) for one, other in zip(state, whole[2], strict=True))
    alone = track_slots(ids[1:2], present[1:2], 6, 2)
    assert torch.equal(alone[0][alone[1]], whole[0][1:2][whole[1][1:2]])
    for clip in range(3):  # an id a slot at a time, a slot an id at a time
        for t in range(40):
            taken = whole[0][clip, t][whole[1][clip, t]]
            assert len(set(taken.tolist())) == len(taken)


def test_a_slot_with_a_new_holder_has_a_fresh_memory():
    torch.manual_seed(0)
    ids = torch.tensor([8, 8, 0, 0, 0, 9, 9])[None, :, None]
    present = ids > 0
    track, there, _ = track_slots(ids, present, 1, forget_after=2)
    assert torch.equal(there, present)
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 7, 1, 4)
    nodes, cell = BoxNodes(4, 1), nn.GRU(4, 4)
    graph, _ = nodes(torch.randn(1, 7, 4, 3, 3), boxes=boxes, track=track, present=there)
    out, _ = TimeLayer(cell, forget_after=2)(graph.x, graph)
    torch.testing.assert_close(out[2:], cell(graph.x[2:])[0])


def test_bad_tracks_are_refused():
    ids, present = torch.zeros(1, 2, 3, dtype=torch.long), torch.zeros(1, 2, 3, dtype=torch.bool)
    state = track_slots(ids, present, 4)[2]
    for arguments, message in [
        ((ids, ~present, 4), "ids: expected an id once a frame"),
        ((ids.float(), present, 4), "ids: expected a tensor of whole numbers"),
        ((ids, present[:, :1], 4), r"present: expected \[1, 2, 3\]"),
        ((ids, present.long(), 4), "present: expected a tensor of bool"),
        ((ids, present, 0), "slots: expected a whole number"),
        ((ids, present, 5, None, state), r"state: expected \[1, 5\], got \[1, 4\]"),
        ((ids, present, 4, None, tuple(state)), "state: expected the Tracks of an earlier call"),
    ]:
        with pytest.raises(InputError, match=message):
            track_slots(*arguments)
    assert isinstance(state, Tracks)


def test_scores_are_a_field_by_identity():
    features, boxes = torch.randn(1, 2, 4, 6, 8), torch.tensor([0.1, 0.1, 0.5, 0.5])
    boxes = boxes.expand(1, 2, 3, 4)
    track = torch.tensor([[[2, 0, 1], [1, 2, 0]]])
    scores = torch.rand(1, 2, 3)
    present = torch.tensor([[[True, True, False], [True, True, True]]])
    broken = scores.masked_fill(~present, float("nan"))
    nodes = BoxNodes(4, 5)
    graph, _ = nodes(features, boxes=boxes, track=track, present=present, scores=broken)
    validate(graph)
    for t in range(2):
        for m in range(3):
            if present[0, t, m]:
                assert to_dense(graph.scores, graph)[0, t, track[0, t, m]] == scores[0, t, m]
    several, _ = BoxNodes(4)(features, boxes=boxes, scores=torch.rand(1, 2, 3, 7))
    assert several.scores.shape == (6, 7)
    assert "scores" not in BoxNodes(4)(features, boxes=boxes)[0]
    with pytest.raises(InputError, match=r"scores: expected \[1, 2, 3, ...\]"):
        nodes(features, boxes=boxes, scores=scores[:, :1])


def test_a_stream_with_another_number_of_boxes_says_what_to_do():
    net = SpaceTimeGraph(BoxNodes(4), {"time": TimeLayer(nn.GRU(4, 4))}, ("time",))
    features, boxes = torch.randn(1, 1, 4, 6, 8), torch.tensor([0.1, 0.1, 0.5, 0.5])
    _, _, state = net(features, boxes=boxes.expand(1, 1, 2, 4))
    message = r"state: expected pieces of 2 identities, as before; BoxNodes\(num_nodes=...\)"
    with pytest.raises(InputError, match=rf"{message}.*`present`.*got 3"):
        net(features, state, boxes=boxes.expand(1, 1, 3, 4))
    net = SpaceTimeGraph(BoxNodes(4, 5), {"time": TimeLayer(nn.GRU(4, 4))}, ("time",))
    state = None
    for count in (2, 3, 0, 5):
        _, graph, state = net(features, state, boxes=boxes.expand(1, 1, count, 4))
        assert graph.num_nodes == count


def test_a_stream_with_maps_of_another_size_is_refused_where_they_make_the_nodes():
    nodes = PointNodes(4)
    _, state = nodes(torch.randn(1, 1, 4, 3, 3))
    with pytest.raises(InputError, match="state: expected pieces of 9 identities, as before"):
        nodes(torch.randn(1, 1, 4, 4, 3), state)
