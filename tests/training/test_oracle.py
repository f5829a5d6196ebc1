"""What is known without motion, as a model."""

from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets import MultiSyncMNIST, SyncMNIST, sklearn_digits
from stgraph.datasets.digits.oracle import oracle_accuracy
from stgraph.training import Oracle2D


@pytest.mark.parametrize(
    ("kind", "options", "labels"),
    [
        (MultiSyncMNIST, {"num_digits": 5}, 56),
        (SyncMNIST, {"num_digits": 3, "num_classes": 5, "p_none": 1 / 11}, 11),
    ],
)
def test_it_is_right_as_often_as_it_can_be(kind: type, options: dict, labels: int) -> None:  # type: ignore[type-arg]
    clips = kind(sklearn_digits("test"), frames=2, canvas=48, size=48, length=4000, **options)
    batch = clips.batch(range(4000))
    answer = Oracle2D(clips, labels)(batch["video"], digit_class=batch["digit_class"])
    right = (answer.logits.argmax(1) == batch["label"]).float().mean().item()
    assert right == pytest.approx(oracle_accuracy(clips), abs=0.025)


def test_it_must_be_told_the_classes() -> None:
    oracle = Oracle2D(SyncMNIST(sklearn_digits(), num_classes=5, num_digits=3), 11)
    with pytest.raises(InputError, match=r"model\.hints: expected `digit_class: digit_class`"):
        oracle(torch.zeros(1, 2, 1, 8, 8))
    logits = oracle(torch.zeros(1, 2, 1, 8, 8), digit_class=torch.tensor([[0, 1, 2]])).logits
    assert logits.sum() == 1
    assert not list(oracle.parameters())  # it is tested alone
