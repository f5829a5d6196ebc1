from __future__ import annotations

import pickle

import pytest
import torch

from stgraph import checks


def test_shape_returns_the_sizes():
    assert checks.shape("x", torch.zeros(2, 3, 4, 4), "B 3 H H") == (2, 3, 4, 4)


@pytest.mark.parametrize("sizes", [(2, 3), (2, 4, 4, 4), (2, 3, 4, 5)])
def test_shape_names_what_was_expected_and_what_came(sizes):
    with pytest.raises(checks.InputError) as error:
        checks.shape("maps", torch.zeros(sizes), "B 3 H H")
    assert str(error.value) == f"maps: expected [B, 3, H, H], got {list(sizes)}"


def test_shape_refuses_what_is_no_tensor():
    with pytest.raises(checks.InputError, match=r"x: expected a tensor \[B\], got list"):
        checks.shape("x", [1, 2], "B")


def test_unknown_options_name_the_choices():
    with pytest.raises(checks.InputError, match="one of 'a', 'b', got 'c'"):
        checks.choice("option", "c", ("a", "b"))


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checks.integer, 0),
        (checks.integer, 1.5),
        (checks.integer, True),
        (checks.positive, 0),
        (checks.positive, float("nan")),
        (checks.positive, "1"),
        (checks.fraction, 1.1),
        (checks.fraction, -0.1),
    ],
)
def test_numbers_out_of_range(check, value):
    with pytest.raises(checks.InputError, match=r"^size: expected .* got "):
        check("size", value)


def test_errors_survive_the_way_out_of_a_worker():
    error = pickle.loads(pickle.dumps(checks.InputError("x", "this", "that")))
    assert isinstance(error, checks.InputError)
    assert (str(error), error.name) == ("x: expected this, got that", "x")


@pytest.mark.parametrize(
    ("check", "values", "beyond"),
    [
        (checks.integer, (1, 2**31 - 1), (0, 2**31)),
        (checks.times, (1, 1000), (0, 1001)),
        (checks.node_count, (1, 4096), (0, 4097)),
        (checks.fraction, (0, 1), (-1e-9, 1 + 1e-9)),
        (checks.positive, (1e-30, float("inf")), (0.0, -1e-30)),
        (checks.sides, ((64,), (63, 11, 2, 1, 1)), ((64, 1), ())),
    ],
)
def test_bounds_belong_to_the_range(check, values, beyond):
    for value in values:
        assert check("size", value) == value
    for value in beyond:
        with pytest.raises(checks.InputError, match=r"^size: expected "):
            check("size", value)


def test_what_came_is_told_up_to_a_thousand_characters():
    told = [str(checks.InputError("x", "this", "a" * length)) for length in (1000, 1001)]
    whole = "x: expected this, got " + "a" * 1000
    assert told == [whole, whole + " …"]
