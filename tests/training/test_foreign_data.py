"""Data modules of other people in place of ours, in each command."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stgraph.cli import main
from stgraph.training import ClassificationModule

MODULES = """
import torch
from lightning.pytorch import LightningDataModule
from parts_of_a_user import PlainNoise
from torch.utils.data import DataLoader


class Bare(torch.utils.data.Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"video": PlainNoise()[index]["video"]}  # neither label nor number


class Own(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(PlainNoise(), batch_size=8)

    def test_dataloader(self):
        return [DataLoader(PlainNoise(), batch_size=8)]


class Answering(Own):
    def predict_dataloader(self):
        return DataLoader(Bare(), batch_size=3)


class Several(Own):
    def loaders(self):
        return [DataLoader(PlainNoise(), batch_size=8)] * 2

    val_dataloader = test_dataloader = predict_dataloader = loaders


class Named(Own):
    def predict_dataloader(self):
        return {name: DataLoader(Bare(), batch_size=8) for name in ("one", "other")}
"""


@pytest.fixture
def command(config: Callable[..., str], tmp_path: Path) -> Callable[..., int]:
    """Run a command on a data module; a checkpoint is there."""
    (tmp_path / "modules_of_a_user.py").write_text(MODULES, encoding="utf-8")
    options = ["--config", config({"data": {"class_path": "modules_of_a_user.Own"}})]
    assert main(["fit", *options, "--trainer.max_epochs=1"]) == 0

    def run(name: str, module: str) -> int:
        ckpt = [] if name == "fit" else ["--ckpt_path", "runs/small/checkpoints/last.ckpt"]
        own = ["--data", f"modules_of_a_user.{module}", "--run", "other"]
        return main([name, *options, *own, *ckpt])

    return run


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_each_stage_reads_its_own_loader(command: Callable[..., int]) -> None:
    assert command("test", "Own") == 0
    assert command("predict", "Answering") == 0
    with Path("runs/other/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "answer", "probability"]
    assert [int(row["index"]) for row in rows] == list(range(7))
    from parts_of_a_user import PlainNoise, Tiny

    module = ClassificationModule(Tiny()).eval()
    kept = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    module.load_state_dict(kept, strict=False)
    video = torch.stack([PlainNoise()[number]["video"] for number in range(7)])
    with torch.no_grad():
        answers = module(video).logits.argmax(1)
    assert [int(row["answer"]) for row in rows] == answers.tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_what_a_stage_lacks_is_told(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, module, told in (
        ("predict", "Own", "data: expected a data module with predict_dataloader, got Own"),
        ("validate", "Own", "data: expected a data module with val_dataloader, got Own"),
        ("predict", "Several", "predict_dataloader: expected one loader, got list of 2"),
        ("test", "Several", "test_dataloader: expected one loader, got list of 2"),
        ("predict", "Named", "predict_dataloader: expected one loader, got dict of 2"),
        ("fit", "Several", "val_dataloader: expected one loader, got list of 2"),
    ):
        capsys.readouterr()
        assert command(name, module) == 2
        assert told in capsys.readouterr().err.splitlines()[-1]
