from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.training import Milestones, Schedule
from stgraph.training.regime import check_same, describe

NET = nn.Linear(2, 2)
NAMES = dict(NET.named_parameters())


class Own(Schedule):
    def __init__(self) -> None:
        self.thing = nn.Linear(1, 1)
        self.function = lambda: None

    def __call__(self, optimizer, steps):
        return {}


def sgd(**options) -> torch.optim.Optimizer:
    return torch.optim.SGD(NET.parameters(), **{"lr": 0.1, **options})


def test_the_same_training_is_the_same() -> None:
    check_same(describe(sgd(), Own(), NAMES), describe(sgd(fused=True), Own(), NAMES))
    check_same({}, describe(sgd(), Milestones(), NAMES))
    rate = torch.tensor(0.5)
    one = torch.optim.Adam([NET.weight], lr=rate, foreach=False)
    check_same(describe(one, None, NAMES), describe(one, None, NAMES))


def test_it_is_made_of_plain_values() -> None:
    assert {type(value) for value in describe(sgd(), Own(), NAMES).values()} == {str}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "names", "message"),
    [
        (sgd(lr=0.2), Milestones(), NAMES, r"groups\[0\].lr 0.2 for 0.1"),
        (sgd(momentum=0.9), Milestones(), NAMES, r"groups\[0\].momentum 0.9 for 0"),
        (
            torch.optim.Adam(NET.parameters(), 0.1),
            Milestones(),
            NAMES,
            "Adam for torch.optim.sgd.SGD",
        ),
        (sgd(), Own(), NAMES, r"schedule .*Own for .*Milestones"),
        (sgd(), Milestones(gamma=0.5), NAMES, r"schedule.gamma 0.5 for 0.1"),
        (torch.optim.SGD([NET.bias], 0.1), Milestones(), NAMES, "parameters bias for weight, bias"),
        (
            torch.optim.SGD([{"params": [p]} for p in NET.parameters()], 0.1),
            Milestones(),
            NAMES,
            "groups 2 for 1",
        ),
    ],
)
def test_each_difference_is_named(optimizer, schedule, names, message: str) -> None:
    with pytest.raises(InputError, match=f"ckpt_path: .*{message}"):
        check_same(describe(sgd(), Milestones(), NAMES), describe(optimizer, schedule, names))


def test_rates_that_are_tensors_are_compared_to_the_last_digit() -> None:
    one, other = (torch.optim.Adam([NET.weight], torch.tensor(lr)) for lr in (0.00101, 0.00102))
    with pytest.raises(InputError, match=r"groups\[0\].lr 0.0010\d+ for 0.0010\d+"):
        check_same(describe(one, None, NAMES), describe(other, None, NAMES))


def test_what_is_new_is_named_too() -> None:
    before, now = describe(sgd(), Milestones(), NAMES), describe(sgd(), Milestones(), NAMES)
    with pytest.raises(InputError, match=r"schedule.warmup 5 for nothing"):
        check_same(before, now | {"schedule.warmup": "5"})


@pytest.mark.parametrize(("differ", "more"), [(3, ""), (4, " and 1 more"), (5, " and 2 more")])
def test_three_differences_are_told_with_no_more_than_eighty_letters_each(
    differ: int, more: str
) -> None:
    before = {str(number): "x" * 80 for number in range(differ)}
    now = {str(number): "y" * 81 for number in range(differ)}
    with pytest.raises(InputError) as caught:
        check_same(before, now)
    told = "; ".join(f"{number} {'y' * 80}… for {'x' * 80}" for number in range(3))
    assert str(caught.value).endswith(f", got {told}{more}")
