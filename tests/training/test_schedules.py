from __future__ import annotations

import math

import pytest
import torch
from torch.optim import SGD, Optimizer

from stgraph.checks import InputError
from stgraph.training import (
    Constant,
    EpochMilestones,
    Milestones,
    Plateau,
    Schedule,
    WarmupCosine,
)


def rates(schedule: Schedule, steps: int = 100) -> list[float]:
    optimizer: Optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, steps)["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warm_up_rises_to_the_peak_and_the_cosine_falls_to_the_end() -> None:
    found = rates(WarmupCosine(warmup=0.2, final=0.25))
    assert found[:20] == sorted(found[:20])
    assert found[20:] == sorted(found[20:], reverse=True)
    assert max(found) == pytest.approx(2.0, rel=0.03)
    assert found[-1] == pytest.approx(0.5, rel=0.01)
    assert found[59] + found[60] == pytest.approx(2 * (2.0 + 0.5) / 2, rel=0.01)  # half way


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_a_schedule_may_be_all_cosine_or_all_warm_up(warmup: float) -> None:
    found = rates(WarmupCosine(warmup))
    assert found == sorted(found, reverse=warmup == 0)
    assert all(0 < rate <= 2 for rate in found)


def test_a_run_of_one_step_or_none_has_the_rate_of_its_middle() -> None:
    for steps in (0, 1):
        optimizer: Optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
        WarmupCosine(warmup=0.0)(optimizer, steps)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)


@pytest.mark.parametrize(("warmup", "final", "rate"), [(0.5, 0.25, 0.5), (1.0, 0.25, 2.0)])
def test_a_run_that_goes_on_beyond_its_end_keeps_the_last_rate(
    warmup: float, final: float, rate: float
) -> None:
    optimizer: Optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = WarmupCosine(warmup, final)(optimizer, 4)["scheduler"]
    for step in range(9):
        if step > 4:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
        optimizer.step()
        scheduler.step()


def test_milestones_divide_by_ten() -> None:
    found = rates(Milestones((0.5, 0.75)))
    assert found == pytest.approx([2.0] * 50 + [0.2] * 25 + [0.02] * 25)
    assert Milestones((0.5,)).factor(0.5) == 0.1  # from the milestone on
    found = rates(Milestones((0.5, 0.75), gamma=0.5))
    assert found == pytest.approx([2.0] * 50 + [1.0] * 25 + [0.5] * 25)


@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_milestones_may_be_epochs_of_a_run_of_any_length(gamma: float) -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    entry = EpochMilestones((2, 3), gamma)(optimizer, math.inf)
    assert entry["interval"] == "epoch"
    found = []
    for _ in range(4):
        found += entry["scheduler"].get_last_lr()
        entry["scheduler"].optimizer.step()
        entry["scheduler"].step()
    assert found == pytest.approx([2.0, 2.0, 2.0 * gamma, 2.0 * gamma**2])
    with pytest.raises(InputError, match="at: expected a whole number"):
        EpochMilestones((0.5,))  # type: ignore[arg-type]


def test_constant_changes_nothing() -> None:
    assert rates(Constant()) == [2.0] * 100


@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_plateau_divides_when_the_loss_has_stopped_falling(gamma: float) -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    entry = Plateau("val/loss", gamma, patience=1)(optimizer, math.inf)
    assert entry["monitor"] == "val/loss"
    for loss in (1.0, 0.5, 0.5):
        entry["scheduler"].step(loss)
    assert optimizer.param_groups[0]["lr"] == 2.0
    entry["scheduler"].step(0.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * gamma)


def test_a_run_without_an_end_has_no_progress() -> None:
    with pytest.raises(InputError, match="max_steps"):
        WarmupCosine()(SGD([torch.nn.Parameter(torch.zeros(1))]), math.inf)


def test_shares_are_shares() -> None:
    with pytest.raises(InputError, match="warmup: expected a number from 0 to 1"):
        WarmupCosine(warmup=500)
    with pytest.raises(InputError, match="at: expected a number from 0 to 1"):
        Milestones((20, 40))
    with pytest.raises(InputError, match="patience: expected a whole number of at least 0"):
        Plateau(patience=-1)
