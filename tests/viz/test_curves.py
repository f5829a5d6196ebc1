from __future__ import annotations

import math

import pytest

from stgraph.checks import InputError
from stgraph.viz import RunCurve, accuracy_table, learning_curve

nan = math.nan
GOOD = RunCurve(
    "good", [10, 20, 30], [1, 2, 3.5], [2, nan, 1], [nan, 0.5, 0.9], 0.91, 400, parameters=12345
)
POOR = RunCurve("poor <grid>", [10, 20], [1, 2], [2, 1], [0.1, 0.2])


def test_curves_hold_the_measured_points():
    pytest.importorskip("matplotlib")
    lines = {line.get_label(): line for line in learning_curve([GOOD, POOR]).axes[0].lines}
    assert lines["good"].get_xydata().tolist() == [[20, 50], [30, 90]]
    assert lines["poor <grid>"].get_xydata().tolist() == [[10, 10], [20, 20]]
    assert lines["good"].get_color() != lines["poor <grid>"].get_color()
    loss = learning_curve([GOOD], "loss", "seconds").axes[0].lines[0]
    assert loss.get_xydata().tolist() == [[1, 2], [3.5, 1]]


def test_references_are_drawn_and_named():
    pytest.importorskip("matplotlib")
    axes = learning_curve([GOOD], references={"chance": 0.09}).axes[0]
    assert axes.lines[-1].get_ydata()[0] == 9
    assert [text.get_text() for text in axes.texts] == ["chance"]


def test_table_is_ranked_with_references_last():
    text = accuracy_table([POOR, GOOD], {"chance": 0.09, "without motion": 0.31})
    order = [text.index(name) for name in ("good", "poor", "without motion", "chance")]
    assert order == sorted(order)
    assert "poor &lt;grid&gt;" in text
    assert "91.0 % ± 1.4" in text  # √(.91 · .09 / 400)
    assert "20.0 %" in text
    assert "12\u202f345" in text
    assert "3.5 s" in text


def test_the_final_accuracy_is_the_last_measured_and_not_the_best():
    assert RunCurve("falls", [1, 2, 3], [1, 2, 3], [1, 1, 1], [0.9, 0.5, nan]).final == 0.5


def test_a_test_counts_before_all_validations():
    """Also one in which nothing is right."""
    for accuracy in (0.0, 0.7):
        run = RunCurve("tested", [1, 2], [1, 2], [1, 1], [0.4, 0.5], accuracy, 100)
        assert run.final == accuracy


def test_run_without_a_measurement_has_no_accuracy():
    blank = RunCurve("blank", [], [], [], [])
    assert math.isnan(blank.final)
    assert math.isnan(blank.duration)
    assert accuracy_table([blank, GOOD]).index("good") < accuracy_table([blank, GOOD]).index(
        "blank"
    )


def test_bad_input_is_named():
    with pytest.raises(InputError, match="loss: expected 2 values, one a step recorded, got 1"):
        RunCurve("a", [1, 2], [1, 2], [1], [0.1, 0.2])
    with pytest.raises(InputError, match=r"accuracy: expected parts of one, 0\.\.1, got 91"):
        RunCurve("a", [1], [1], [1], [91])
    with pytest.raises(InputError, match="metric: expected one of 'accuracy', 'loss'"):
        learning_curve([GOOD], "error")
    with pytest.raises(InputError, match="against: expected one of 'steps', 'seconds'"):
        learning_curve([GOOD], "loss", "epochs")
