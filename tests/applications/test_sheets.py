"""What a datasheet tells."""

from __future__ import annotations

import pytest

from stgraph.applications.sheets import _short


@pytest.mark.parametrize(
    ("letters", "told"), [(78, '"' + 78 * "x" + '"'), (79, '"' + 79 * "x" + "…")]
)
def test_long_values_are_cut_where_they_differ(letters: int, told: str) -> None:
    assert _short(letters * "x") == told
