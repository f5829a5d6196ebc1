"""Checkpoints are the old one or the new one, and a ruin is no best."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer

from stgraph.cli import main
from stgraph.training.saving import WholeCheckpoints, save_whole

Config = Callable[..., str]


def test_a_checkpoint_that_is_torn_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1}, path)

    def tear(checkpoint: object, file: BinaryIO) -> None:
        file.write(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr("stgraph.training.saving.torch.save", tear)
    with pytest.raises(KeyboardInterrupt):
        WholeCheckpoints().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


def test_a_fit_needs_no_folder_of_temporary_files(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that lies on another disk, a renaming from there would be a copy."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert main(["fit", "--config", config()]) == 0
    names = {file.name for file in Path("runs/small/checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt"}


def test_a_ruin_is_no_best(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch")  # the demo leaves it at warnings
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.3}}
    constant = {"class_path": "stgraph.training.Constant"}
    changes = {"model.optimizer": sgd, "model.schedule": constant, "seed_everything": 2}
    path = config(changes)  # whose second epoch is worse than its first
    assert main(["fit", "--config", path, "--trainer.max_epochs", "1"]) == 0
    best = Path("runs/small/checkpoints/best.ckpt")
    best.write_bytes(best.read_bytes()[:1000])
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    assert "the next validation's is the best so far: ckpt_path: expected" in caplog.text
    assert torch.load(best, weights_only=True)["epoch"] == 1


def test_who_was_told_how_to_write_checkpoints_writes_them_so() -> None:
    class Mine(TorchCheckpointIO):
        """Somebody's own, of the trainer's."""

    mine, usual = Mine(), Trainer(accelerator="cpu", logger=False)
    told = Trainer(accelerator="cpu", logger=False, plugins=[mine])
    for trainer in (told, usual):
        save_whole(trainer)
    assert told.strategy.checkpoint_io is mine
    assert type(usual.strategy.checkpoint_io) is WholeCheckpoints


@pytest.mark.parametrize(
    ("path", "options", "elsewhere"),
    [("s3://bucket/a.ckpt", None, True), ("a.ckpt", {"key": "x"}, True), ("a.ckpt", None, False)],
)
def test_what_lies_at_another_machine_is_left_to_lightning(
    path: str,
    options: object,
    elsewhere: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", lambda self, *told: seen.append(told))
    WholeCheckpoints().save_checkpoint({"step": 1}, path, options)
    assert seen == ([({"step": 1}, path, options)] if elsewhere else [])
    assert Path("a.ckpt").exists() is not elsewhere
    assert [file.name for file in tmp_path.iterdir()] == ([] if elsewhere else ["a.ckpt"])
