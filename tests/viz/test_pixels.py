"""Small numbers on pictures."""

from __future__ import annotations

import torch

from stgraph.viz.pixels import GLYPH, number

WHITE = (255, 255, 255)


def written(value: int, scale: int) -> torch.Tensor:
    """Where a number has ink, in a picture that has room for three figures."""
    image = torch.zeros(scale * GLYPH[1], 3 * scale * (GLYPH[0] + 1), 3, dtype=torch.uint8)
    number(image, 0, 0, value, WHITE, scale)
    return image[..., 0] > 0


def test_figures_stand_side_by_side() -> None:
    width = GLYPH[0] + 1
    both = written(47, 1)
    assert torch.equal(both[:, :width], written(4, 1)[:, :width])
    assert torch.equal(both[:, width : 2 * width], written(7, 1)[:, :width])
    assert not both[:, 2 * width :].any()
    assert len({tuple(written(k, 1).flatten().tolist()) for k in range(10)}) == 10


def test_enlarged_numbers_are_the_same_numbers() -> None:
    for scale in (2, 3):
        larger = written(1, 1).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        assert torch.equal(written(1, scale), larger)
        larger = written(208, 1).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        assert torch.equal(written(208, scale), larger)
