"""The time that is left."""

from __future__ import annotations

import pytest

from stgraph.studies.pace import Pace


def test_a_steady_pace_is_known_from_the_first_step_on() -> None:
    pace = Pace(6, now=100.0)
    assert pace.look({"a": 0.0, "b": 0.0}, now=100.0) == (0.0, None)
    for second in range(1, 31):  # two at a time, each a minute
        share = second / 60
        done, left = pace.look({"a": share, "b": share}, now=100.0 + second)
        assert done == pytest.approx(2 * share)
        assert left == pytest.approx(180 - second)
    pace.end("a")
    pace.end("b")
    assert pace.look({}, now=160.0) == (2, pytest.approx(120.0))


def test_what_was_done_before_or_by_others_makes_it_no_faster() -> None:
    pace = Pace(3, now=0.0)
    pace.end("of another process")
    assert pace.look({"b": 0.9}, now=0.0) == (pytest.approx(1.9), None)
    assert pace.look({"b": 1.0}, now=6.0) == (pytest.approx(2.0), pytest.approx(60.0))
    pace.end("b")
    assert pace.look({"c": 0.0}, now=6.0) == (pytest.approx(2.0), pytest.approx(60.0))


def test_a_run_that_is_taken_over_counts_once() -> None:
    pace = Pace(2, now=0.0)
    pace.end("a")
    pace.end("b")  # another process does it
    assert pace.look({}, now=10.0)[0] == 2
    pace.take_over("b")
    assert pace.look({}, now=10.0)[0] == 1
    assert pace.look({"b": 0.25}, now=10.0) == (pytest.approx(1.25), None)
    assert pace.look({"b": 0.5}, now=20.0) == (pytest.approx(1.5), pytest.approx(40.0))
    pace.end("b")
    assert pace.look({}, now=40.0)[0] == 2
