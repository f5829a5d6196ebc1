"""Random numbers of a clip leave those of the process alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from stgraph.datasets.workers import random_numbers


def drawn() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()


@pytest.mark.parametrize("fails", [False, True])
def test_a_seed_holds_inside_alone(fails: bool) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = [drawn(), drawn()]
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    found, inside = [drawn()], []
    for seed in (7, 7, 2**40 + 7):
        try:
            with random_numbers(seed):
                inside.append(drawn())
                if fails:
                    raise RuntimeError("in the middle")
        except RuntimeError:
            pass
    found.append(drawn())
    assert found == expected
    assert inside[0] == inside[1]
    assert inside[0][2] != inside[2][2]  # torch and NumPy know 32 bits of a seed here
