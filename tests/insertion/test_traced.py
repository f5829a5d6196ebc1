"""Blocks around parts of a CNN for as long as a compiler follows it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stgraph.insertion.copies import Around
from stgraph.insertion.traced import followed


class Shifted(nn.Module):
    def forward(self, images: Tensor, by: float = 1.0) -> Tensor:
        return images + by


def doubled(images: Tensor) -> Tensor:
    return 2 * images


def negative(images: Tensor) -> Tensor:
    return -images


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(None, None, 8.0), (doubled, None, 11.0), (None, negative, -8.0), (doubled, negative, -11.0)],
)
def test_blocks_run_before_and_after(before, after, expected) -> None:
    part = Shifted()
    with followed([Around(part, before, after)]):
        assert part(torch.tensor(3.0), by=5.0) == expected
    assert part(torch.tensor(3.0), by=5.0) == 8.0


def test_modules_get_back_what_they_had() -> None:
    """Their class's forward, or one of their own, after errors too."""
    plain, own = Shifted(), Shifted()
    own.forward = mine = lambda images: 10 * images
    part = torch.tensor(3.0)

    def run(fails: bool) -> None:
        # One of them stands twice, as modules that a CNN shares do.
        with followed([Around(plain, doubled, None), Around(own, doubled, None)] * 2):
            assert (plain(part), own(part)) == (13.0, 120.0)
            if fails:
                raise RuntimeError("in the CNN")

    run(fails=False)
    with pytest.raises(RuntimeError, match="in the CNN"):
        run(fails=True)
    assert "forward" not in vars(plain)
    assert vars(own)["forward"] is mine
    assert (plain(part), own(part)) == (4.0, 30.0)
