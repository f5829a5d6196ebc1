"""A small study of parts that a user may have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CRASHES = '''
"""What may happen to a run."""

import os
import time
from pathlib import Path

from lightning.pytorch import Callback


class CrashOnce(Callback):
    """Fails at a step, the first time."""

    def __init__(self, step: int, place: str):
        self.step, self.place = step, place

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step and not Path(self.place).exists():
            Path(self.place).touch()
            raise OSError("the machine went down")


class PauseOnce(Callback):
    """Says that a step is reached, and stays there until there is a signal, the first time."""

    def __init__(self, step: int):
        self.step = step

    def on_before_optimizer_step(self, trainer, *_):
        if trainer.global_step == self.step and not Path("reached").exists():
            Path("reached").write_text(str(os.getpid()))
            end = time.monotonic() + 120
            while time.monotonic() < end and not Path("go_on").exists():
                time.sleep(0.02)


class CrashAlways(Callback):
    def on_train_start(self, trainer, *_):
        raise OSError("this one never trains")
'''


@pytest.fixture
def study(
    config: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Write the file of a study of two rows, with changes, and return its path."""
    (tmp_path / "crashes.py").write_text(CRASHES, encoding="utf-8")
    base = config({"model.model": {"class_path": "parts_of_a_user.Tiny", "init_args": {}}})

    def write(name: str = "small", **changes: Any) -> str:
        content: dict[str, Any] = {
            "base": Path(base).name,
            "seeds": [3],
            "set": {"data.test.seed": 2, "trainer.max_epochs": 2, "keep_minutes": 0},
            "rows": [
                {"name": "Narrow", "paper": 12.5, "source": "a paper, table 1"},
                {"name": "Wide", "set": {"model.model.width": 32}, "note": "twice as wide"},
            ],
        }
        content |= changes
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return str(file)

    return write
