"""What a checkpoint is blamed for, and what not."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from stgraph.checks import InputError
from stgraph.training.restoring import _check_alike, _check_counts, first_step


def test_what_the_model_says_is_not_the_checkpoints_fault() -> None:
    def wrong() -> None:
        raise OSError("of the model")

    with pytest.raises(OSError, match="of the model"):
        first_step("last.ckpt", lambda closure: closure(), wrong)
    with pytest.raises(InputError, match=r"ckpt_path: expected .*last.ckpt"):
        first_step("last.ckpt", lambda closure: wrong(), lambda: None)


COUNTS = {"ready": 0, "started": 0, "processed": 0, "completed": 0}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({**COUNTS, "ready": 2**53 - 1}, None),
        ({**COUNTS, "ready": 2**53}, "ready: 9007199254740992"),
        ({**COUNTS, "completed": -1}, "completed: -1"),
        ({**COUNTS, "completed": True}, "completed: bool"),
        ({**COUNTS, "started": 1}, r"\[0, 1, 0, 0\]"),
        ({**COUNTS, "more": 0}, r"\['more'\]"),
        ({"ready": 2, "completed": 1}, r"\['processed', 'started'\]"),
        ([], "list"),
    ],
)
def test_counters_are_those_of_the_loop(state: object, told: str | None) -> None:
    with nullcontext() if told is None else pytest.raises(ValueError, match=told):
        _check_counts("epoch_progress", state, COUNTS, all_of_it=True)


def test_another_version_of_lightning_may_have_other_counters() -> None:
    state = {"ready": 2, "completed": 1, "more": 5}
    _check_counts("epoch_progress", state, COUNTS, all_of_it=False)
    assert state == {"ready": 2, "completed": 1}
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        _check_counts("epoch_progress", {"ready": 1, "completed": 2}, COUNTS, all_of_it=False)


@pytest.mark.parametrize(
    ("state", "own", "told"),
    [
        ({"lr": torch.tensor(0.5)}, {"lr": 0.1}, None),
        ({"lr": torch.zeros(2)}, {"lr": 0.1}, "state.lr: Tensor, which is no number"),
        ({"lr": 1, "more": "x"}, {"lr": 0.1}, None),
        ({}, {"lr": 0.1}, None),
        ({"at": (0.5, 1)}, {"at": [0.1, 2]}, None),
        ({"at": [0.5, "x"]}, {"at": [0.1, 2]}, "state.at: str, which is no number"),
        ({"at": 0.5}, {"at": [0.1]}, "state.at: float"),
        ({"score": "x"}, {"score": None}, None),
        ({"name": 3}, {"name": "x"}, "state.name: int"),
    ],
)
def test_values_of_a_state_are_of_the_kinds_of_this_one(
    state: object, own: object, told: str | None
) -> None:
    with nullcontext() if told is None else pytest.raises(ValueError, match=told):
        _check_alike("state", state, own)
