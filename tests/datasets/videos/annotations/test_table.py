"""Columns that do not belong together make no table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos.annotations.table import KINDS, Columns, Table, TableWriter


def columns(**changed: Any) -> Columns:
    """Two videos, of which the first has two rows; with frames that were looked at, and masks."""
    made: dict[str, Any] = {
        "names": [*b"a\nb\n"],
        "start": [0, 2, 3],
        "frame": [0, 4, 1],
        "box": [[0.0, 0, 1, 1]] * 3,
        "track": [0, 0, 5],
        "category": [1, 1, 1],
        "score": [1.0, 0.5, 1],
        "seen_start": [0, 3, 4],
        "seen": [0, 2, 4, 1],
        "mask_size": [[2, 2]] * 3,
        "run_start": [0, 1, 3],
        "run_count": [1, 2, 2],
        "runs": [4, 0, 4, 3, 1],
    }
    known = {name: np.array(values, KINDS[name][0]) for name, values in (made | changed).items()}
    return {name: column for name, column in known.items() if column.size}


def test_a_table_knows_its_videos() -> None:
    table = Table(columns(), pixels=False, source="a.csv")
    assert table.names == {"a": 0, "b": 1}
    assert len(table) == 3
    whole = columns()
    assert table.nbytes == sum(column.nbytes for column in whole.values())


STARTS = ([1, 2, 3], [-1, 2, 3], [0, 2, 2], [0, 2, 4], [0, 4, 3], [0, -1, 3], [0, 3], [0, 1, 2, 3])


@pytest.mark.parametrize("start", STARTS)
def test_rows_of_videos_begin_in_order(start: list[int]) -> None:
    with pytest.raises(InputError, match=r"a\.csv: expected start that rises from 0 to 3"):
        Table(columns(start=start), pixels=False, source="a.csv")


@pytest.mark.parametrize("start", [[1, 3, 4], [0, 3, 3], [0, 5, 4], [0, 4]])
def test_frames_that_were_looked_at_begin_in_order(start: list[int]) -> None:
    with pytest.raises(InputError, match=r"a\.csv: expected seen_start that rises from 0 to 4"):
        Table(columns(seen_start=start), pixels=False, source="a.csv")


@pytest.mark.parametrize("name", ["names", "start", "frame", "box", "track", "category", "score"])
def test_columns_that_are_missing(name: str) -> None:
    with pytest.raises(InputError, match=f"expected columns of annotations, got .*'{name}'"):
        Table(columns(**{name: []}), pixels=False, source="a.csv")


@pytest.mark.parametrize(
    "name", ["seen_start", "seen", "mask_size", "run_start", "run_count", "runs"]
)
def test_columns_that_belong_together(name: str) -> None:
    with pytest.raises(InputError, match=rf"a\.csv: expected all or none of .*'{name}'"):
        Table(columns(**{name: []}), pixels=False, source="a.csv")


def test_columns_that_nobody_knows() -> None:
    with pytest.raises(InputError, match=r"expected columns among .*, got \['speed'\]"):
        Table(columns() | {"speed": np.zeros(3)}, pixels=False, source="a.csv")


ROWS = ["frame", "box", "track", "category", "score", "mask_size", "run_start", "run_count"]


@pytest.mark.parametrize("name", ROWS)
def test_columns_are_of_one_length(name: str) -> None:
    whole = columns()
    with pytest.raises(InputError, match="expected columns of one length"):
        Table(whole | {name: whole[name][:2]}, pixels=False, source="a.csv")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("frame", np.zeros(3, "i8")),
        ("frame", np.zeros((3, 1), "i4")),
        ("box", np.zeros((3, 5), "f4")),
        ("box", np.zeros(3, "f4")),
        ("box", np.zeros((3, 4), "f8")),
        ("score", np.zeros((), "f4")),
        ("seen", np.zeros(4, "i8")),
        ("start", np.zeros(3, "i4")),
    ],
)
def test_columns_have_their_kinds(name: str, column: np.ndarray) -> None:
    with pytest.raises(InputError, match=f"expected {name} of type {KINDS[name][0]}"):
        Table(columns() | {name: column}, pixels=False, source="a.csv")


def test_names_are_text() -> None:
    with pytest.raises(InputError, match="expected names in UTF-8"):
        Table(columns(names=[255, 10, 98, 10]), pixels=False, source="a.csv")


def test_masks_have_at_most_as_many_runs_as_they_may() -> None:
    writer = TableWriter("a.json", most_runs=5)
    for identity in range(2):
        writer.add(writer.video("a"), 0, (0, 0, 1, 1), identity)
        if identity == 0:
            writer.mask(2, 2, [1, 2, 1])
    with pytest.raises(ValueError, match="masks of at most 5 runs expected"):
        writer.mask(2, 2, [1, 2, 1])
    writer.mask(2, 2, [2, 2])
    assert len(writer.table()) == 2
