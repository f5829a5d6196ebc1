"""Values of annotation files: what is taken, and how short an error stays."""

from __future__ import annotations

import pytest

from stgraph.datasets.videos.annotations.values import field, identity, number, whole_number


def test_what_is_wrong_is_told_and_cut_short() -> None:
    with pytest.raises(ValueError, match=r"^area: a number expected, got 'x{79}…$"):
        number("x" * 1000, "area")
    with pytest.raises(ValueError, match=r"^area: a number expected, got 'x{78}'$"):
        number("x" * 78, "area")  # 80 characters are all told


@pytest.mark.parametrize("value", [None, True, "1", 1e30, float("nan"), float("inf"), [1]])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(ValueError, match="area: a number expected"):
        number(value, "area")


def test_bounds_belong_to_whole_numbers() -> None:
    assert [whole_number(value, "frame", 2, 4) for value in (2, 3.0, 4)] == [2, 3, 4]
    for value in (1, 5, 2.5, True, "3", float("inf")):
        with pytest.raises(ValueError, match="frame: a whole number from 2 to 4 expected, got"):
            whole_number(value, "frame", 2, 4)


def test_names_of_things_are_numbers_or_short_texts() -> None:
    assert identity("x" * 200, "id") == "x" * 200
    assert identity(-3.0, "id") == -3
    for value in ("x" * 201, None, 0.5):
        with pytest.raises(ValueError, match="id: a whole number"):
            identity(value, "id")


def test_a_field_that_is_not_there() -> None:
    assert field({"box": None}, "box") is None
    with pytest.raises(ValueError, match=r"box expected, got \['area'\]"):
        field({"area": 1}, "box")
    with pytest.raises(ValueError, match=r"a record with box expected, got 3"):
        field(3, "box")
