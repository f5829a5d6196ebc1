"""What a checkpoint is blamed for, and what not."""

from __future__ import annotations

import pytest

from stgraph.checks import InputError
from stgraph.training.restoring import first_step


def test_what_the_model_says_is_not_the_checkpoints_fault() -> None:
    def wrong() -> None:
        raise OSError("of the model")

    with pytest.raises(OSError, match="of the model"):
        first_step("last.ckpt", lambda closure: closure(), wrong)
    with pytest.raises(InputError, match=r"ckpt_path: expected .*last.ckpt"):
        first_step("last.ckpt", lambda closure: wrong(), lambda: None)
