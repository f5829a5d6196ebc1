"""When the newest state of a fit is kept."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from stgraph.training.callbacks.keep_last import KeepLast


@pytest.mark.parametrize("minutes", [0.5, 5.0])
def test_after_so_many_minutes_of_training_it_is_kept(
    minutes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    saved = []

    def save(path: Path, **_: object) -> None:
        Path(path).write_bytes(b"whole")
        saved.append(seconds[0])

    trainer = MagicMock(
        world_size=1, should_stop=False, global_step=3, max_steps=100, fast_dev_run=False
    )
    trainer.accumulate_grad_batches = 1
    progress = trainer.fit_loop.epoch_loop.batch_progress
    progress.is_last_batch, progress.current.ready = False, 3
    trainer.fit_loop.epoch_loop._should_check_val_fx.return_value = False
    trainer.save_checkpoint.side_effect = save
    keep = KeepLast(tmp_path / "last.ckpt", minutes)
    for passed in (1, 60 * minutes - 1, 60 * minutes, 60 * minutes + 1, 120 * minutes):
        seconds[0] = 1000 + passed
        keep.on_train_batch_end(trainer)
    assert saved == [1000 + 60 * minutes, 1000 + 120 * minutes]
    assert (tmp_path / "last.ckpt").read_bytes() == b"whole"
