from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import Entry, View
from stgraph.datasets.videos.annotations import Boxes, Table, TableWriter
from stgraph.datasets.videos.annotations.slots import clip_slots
from stgraph.datasets.videos.cutting import seen

WHOLE = View((8, 16), 0, 0, (8, 16), (8, 16))


def entry(name: str) -> Entry:
    return Entry(Path(name), name=name)


def table(rows: list[tuple[str, int, tuple[float, ...], object]], look: bool = False) -> Table:
    writer = TableWriter("some.json")
    for video, frame, box, who in rows:
        writer.add(writer.video(video), frame, box, who)
        if look:
            writer.look(writer.video(video), frame)
    return writer.table()


def test_a_box_is_where_its_pixels_are():
    """A box is drawn, the pixels are cut, and the box is looked for in what is seen."""
    chance, shown = random.Random(3), 0
    for _ in range(300):
        height, width = chance.randint(30, 60), chance.randint(30, 60)
        y1, x1 = chance.randrange(height - 8), chance.randrange(width - 8)
        y2, x2 = chance.randint(y1 + 8, height), chance.randint(x1 + 8, width)
        frame = torch.zeros(1, height, width, dtype=torch.uint8)
        frame[:, y1:y2, x1:x2] = 255
        top, left = chance.randrange(height - 16), chance.randrange(width - 16)
        cut = (chance.randint(16, height - top), chance.randint(16, width - left))
        # Nothing is resized, then made four times as large: edges stay where they can be seen.
        size = (4 * cut[0], 4 * cut[1])
        view = View((height, width), top, left, cut, size, chance.random() < 0.5)
        fields = Boxes(table([("a", 0, (x1, y1, x2, y2), 0)]), slots=1)(
            entry("a"), torch.tensor([0]), (height, width), view
        )
        pixels = seen(frame, view)[0] > 127
        assert bool(fields["present"]) == bool(pixels.any())
        if not pixels.any():
            continue
        shown += 1
        rows, columns = (pixels.any(axis).nonzero()[:, 0] for axis in (1, 0))
        found = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        expected = found / torch.tensor([size[1], size[0], size[1], size[0]])
        torch.testing.assert_close(fields["box"][0, 0], expected, atol=1e-5, rtol=0)
    assert shown > 150


def by_plain_code(box, height, width, view):
    """One box through one view, side by side, in exact fractions."""
    low, high = [], []
    whole, cut, start = (view.scaled, view.cut, (view.top, view.left))
    for axis, side in ((1, width), (0, height)):
        a, b = (Fraction(value) for value in (box[1 - axis], box[3 - axis]))
        a, b = (min(max(value, Fraction(0)), Fraction(side)) for value in (a, b))
        a, b = ((value * whole[axis] / side - start[axis]) / cut[axis] for value in (a, b))
        a, b = (min(max(value, Fraction(0)), Fraction(1)) for value in (a, b))
        if axis == 1 and view.flip:
            a, b = 1 - b, 1 - a
        low.append(a)
        high.append(b)
    return [*low, *high]


def test_boxes_go_through_any_view_as_plain_code_says(some_view):
    chance = random.Random(5)
    for _ in range(500):
        height, width = chance.randint(8, 300), chance.randint(8, 300)
        view = some_view(chance, height, width)
        x = sorted(chance.uniform(-20, width + 20) for _ in range(2))
        y = sorted(chance.uniform(-20, height + 20) for _ in range(2))
        box = [float(np.float32(value)) for value in (x[0], y[0], x[1], y[1])]
        fields = Boxes(table([("a", 4, tuple(box), 0)]), slots=2)(
            entry("a"), torch.tensor([4]), (height, width), view
        )
        expected = by_plain_code(box, height, width, view)
        inside = expected[0] < expected[2] and expected[1] < expected[3]
        if min(abs(expected[2] - expected[0]), abs(expected[3] - expected[1])) > 1e-6 or not inside:
            assert bool(fields["present"][0, 0]) == inside
        if fields["present"][0, 0]:
            came = fields["box"][0, 0]
            torch.testing.assert_close(came, came.clamp(0, 1), atol=0, rtol=0)
            assert (came[:2] < came[2:]).all()
            torch.testing.assert_close(
                came, torch.tensor([*map(float, expected)]), atol=1e-5, rtol=0
            )
        assert not fields["present"][0, 1]
        assert not fields["box"][~fields["present"]].any()


def test_a_thing_keeps_its_slot_from_birth_to_death():
    rows = [("a", t, (0, 0, 8, 4), "early") for t in range(3)]
    rows += [("a", t, (8, 4, 16, 8), "late") for t in range(2, 6) if t != 4]
    fields = Boxes(table(rows), slots=3)(entry("a"), torch.arange(7), (8, 16), WHOLE)
    assert fields["present"].tolist() == [
        [True, False, False],
        [True, False, False],
        [True, True, False],
        [False, True, False],
        [False, False, False],
        [False, True, False],
        [False, False, False],
    ]
    assert fields["track"].tolist() == [[0, 1, 2]] * 7
    assert fields["box"][2].tolist() == [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]
    assert fields["category"].sum(1).tolist() == [1, 1, 2, 1, 0, 1, 0]
    assert fields["left_out"] == 0
    assert {name: value.dtype for name, value in fields.items()} == {
        "box": torch.float32,
        "present": torch.bool,
        "track": torch.int64,
        "category": torch.int64,
        "score": torch.float32,
        "annotated": torch.bool,
        "left_out": torch.int64,
    }


def test_frames_come_as_they_are_asked_for():
    rows = [("a", t, (t, 0, t + 1, 8), "one") for t in range(9)]
    boxes, frames = Boxes(table(rows), slots=1), torch.tensor([7, 2, 2, 0])
    fields = boxes(entry("a"), frames, (8, 16), WHOLE)
    assert (16 * fields["box"][:, 0, 0]).tolist() == frames.tolist()


def test_slots_by_brute_force():
    chance = random.Random(2)
    for _ in range(200):
        frames = [
            sorted(chance.sample(range(8), chance.randrange(5)), key=lambda _: chance.random())
            for _ in range(chance.randrange(1, 7))
        ]
        slots = chance.randrange(1, 6)
        things: list[int] = []
        for frame in frames:
            things += [thing for thing in frame if thing not in things]
        often = sorted(things, key=lambda thing: -sum(thing in frame for frame in frames))
        kept = [thing for thing in things if thing in often[:slots]]
        expected = [kept.index(t) if t in kept else -1 for frame in frames for t in frame]
        track = np.array([thing for frame in frames for thing in frame], dtype=np.int32)
        assert clip_slots(track, slots).tolist() == expected


def test_what_is_left_out_is_counted():
    rows = [("a", t, (i, 0, i + 1, 8), i) for t in range(4) for i in range(5) if i != 2 or t == 0]
    fields = Boxes(table(rows), slots=3)(entry("a"), torch.arange(4), (8, 16), WHOLE)
    assert fields["left_out"] == 1 + 4  # thing 2 once, and one of those that are always there
    assert (16 * fields["box"][3, :, 0]).tolist() == [0, 1, 3]


def test_frames_that_nobody_looked_at_are_told():
    known = table([("a", t, (0, 0, 8, 4), 0) for t in (1, 2)], look=True)
    fields = Boxes(known)(entry("a"), torch.arange(4), (8, 16), WHOLE)
    assert fields["annotated"].tolist() == [False, True, True, False]
    assert fields["present"].any(1).tolist() == fields["annotated"].tolist()
    nothing = Boxes(known)(entry("b"), torch.arange(4), (8, 16), WHOLE)
    assert not (nothing["annotated"][:, None] | nothing["present"]).any()
    strict = Boxes(known, missing="raise")
    assert strict(entry("a"), torch.tensor([1, 2]), (8, 16), WHOLE)["present"].any()
    with pytest.raises(InputError, match=r"some\.json: expected annotations of frame 3 of 'a'"):
        strict(entry("a"), torch.tensor([1, 3]), (8, 16), WHOLE)
    with pytest.raises(InputError, match=r"annotations of frame 0 of 'b\.mp4'"):
        strict(entry("b.mp4"), torch.tensor([0]), (8, 16), WHOLE)
    assert strict.lacking(["a", "b", "a.mp4"]) == ["b"]


def test_a_name_may_have_the_ending_of_a_file():
    known = Boxes(table([("cats/a.b", 0, (0, 0, 8, 4), 0), ("c", 0, (0, 0, 8, 8), 0)]))
    for name, there in [("cats/a.b", 1), ("cats/a.b.mp4", 1), ("c.webm", 1), ("cats/c.webm", 0)]:
        fields = known(entry(name), torch.tensor([0]), (8, 16), WHOLE)
        assert fields["present"].sum() == there, name


def test_boxes_have_to_be_visible():
    known = table([("a", 0, (6.0, 0, 10, 8), 0)])
    right = View((8, 16), 0, 8, (8, 8), (4, 4))
    for visible, there in [(0.0, True), (0.5, True), (0.51, False)]:
        fields = Boxes(known, visible=visible)(entry("a"), torch.tensor([0]), (8, 16), right)
        assert bool(fields["present"].any()) == there
    outside = table([("a", 0, (-4.0, 0, 4, 8), 0)])  # half of it, of what is in the frame all
    fields = Boxes(outside, visible=1.0)(entry("a"), torch.tensor([0]), (8, 16), WHOLE)
    assert fields["box"][0, 0].tolist() == [0, 0, 0.25, 1]


def test_boxes_without_area_are_none():
    fields = Boxes(table([("a", 0, (4, 4, 4, 8), 0), ("a", 0, (1, 1, 2, 2), 1)]))(
        entry("a"), torch.tensor([0]), (8, 16), WHOLE
    )
    assert fields["present"].sum() == 1


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((4, 0, 2, 8), "x1 ≤ x2 and y1 ≤ y2"),
        ((0, 0, float("nan"), 8), "finite numbers"),
        ((0, 0, float("inf"), 8), "finite numbers"),
    ],
)
def test_what_is_no_box_is_refused(box, message):
    with pytest.raises(InputError, match=rf"some.json: video 'a', frame 7: expected .*{message}"):
        table([("a", 3, (0, 0, 1, 1), 0), ("a", 7, box, 0)])


def test_a_thing_stands_once_in_a_frame():
    rows = [("a", t, (0, 0, 1, 1), who) for t in range(3) for who in range(6)]
    table(rows)
    with pytest.raises(InputError, match=r"'a', frame 1: expected a track once a frame, got 4"):
        table([*rows, ("a", 1, (0, 0, 2, 2), 4)])
    crowd = [("a", 0, (0, 0, 1, 1), who) for who in range(4097)]
    with pytest.raises(InputError, match="at most 4096 boxes a frame"):
        table(crowd)


def test_rows_may_come_in_any_order():
    rows = [(v, t, (t, 0, t + 1, 8), who) for v in "abc" for t in range(5) for who in range(2)]
    random.Random(1).shuffle(rows)
    boxes = Boxes(table(rows), slots=2)
    for video in "abc":
        fields = boxes(entry(video), torch.arange(5), (8, 16), WHOLE)
        assert fields["present"].all()
        assert (16 * fields["box"][..., 0]).tolist() == [[t, t] for t in range(5)]


def test_bad_options_are_refused():
    known = table([("a", 0, (0, 0, 1, 1), 0)])
    for options, message in [
        ({"slots": 0}, "slots: expected a whole number"),
        ({"missing": "skip"}, "missing: expected one of 'empty', 'raise'"),
        ({"visible": 2}, "visible: expected a number from 0 to 1"),
    ]:
        with pytest.raises(InputError, match=message):
            Boxes(known, **options)
    with pytest.raises(InputError, match=r"frames: expected \[T\]"):
        Boxes(known)(entry("a"), torch.zeros(2, 2, dtype=torch.long), (8, 16), WHOLE)
