"""Shares of a list."""

from __future__ import annotations

import pytest

from stgraph.checks import InputError
from stgraph.studies.share import Share


@pytest.mark.parametrize("parts", range(1, 12))
@pytest.mark.parametrize("count", [0, 1, 7, 24])
def test_shares_together_are_all_runs_once(parts: int, count: int) -> None:
    runs = list(range(count))
    shares = [Share.of(f"{number}/{parts}").select(runs) for number in range(1, parts + 1)]
    assert sorted(one for share in shares for one in share) == runs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/8", "9/8", "8", "a/b", "1/0", "-1/8", "1/8/2", "", "1.5/2"])
def test_what_is_no_share_is_told(text: str) -> None:
    with pytest.raises(InputError, match="share: expected a share as 2/8, from 1/8 to 8/8"):
        Share.of(text)
