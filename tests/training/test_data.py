"""Plain datasets and other data modules, on the command line and under a bare trainer."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset, IterableDataset

from stgraph.applications.show import view
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets import SyncMNIST, collate, sklearn_digits
from stgraph.recipes import dyreg_small
from stgraph.training import ClassificationModule, ClipData
from stgraph.training.data import clips_of_stage, dataset_of, validates

PARTS = """
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset


class Plain(Dataset):
    '''Clips with labels to memorise, and noise on top of each.'''

    def __init__(self, clips: int = 40, ragged: bool = False, labelled: bool = True):
        random = torch.Generator().manual_seed(0)
        self.video = torch.randint(0, 200, (clips, 3, 1, 8, 8), generator=random).byte()
        self.ragged = ragged
        self.labelled = labelled

    def __len__(self):
        return len(self.video)

    def __getitem__(self, index):
        video = self.video[index]
        video = video + torch.randint_like(video, 50)
        if self.ragged and index == 5:
            video = video[:2]
        return {"video": video, **({"label": index % 7} if self.labelled else {})}


class Data(LightningDataModule):
    def __init__(self, batch: int = 8):
        super().__init__()
        self.batch = batch

    def train_dataloader(self):
        return DataLoader(Plain(), batch_size=self.batch)

    def val_dataloader(self):
        return DataLoader(Plain(), batch_size=self.batch)

    def predict_dataloader(self):
        return DataLoader(Plain(labelled=False), batch_size=self.batch)


class Staged(LightningDataModule):
    CLIPS = {"fit": 40, "test": 24, "predict": 16}

    def setup(self, stage):
        self.staged = {stage: DataLoader(Plain(self.CLIPS[stage]), batch_size=8)}

    def train_dataloader(self):
        return self.staged["fit"]

    def val_dataloader(self):
        return self.staged["fit"]

    def test_dataloader(self):
        return self.staged["test"]

    def predict_dataloader(self):
        return self.staged["predict"]
"""


class Plain(Dataset):
    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip = {"video": torch.zeros(2, 1, 32, 32, dtype=torch.uint8), "label": index % 2}
        return clip | self.fields


@pytest.fixture
def plain(config: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Write a configuration of a plain dataset, with changes."""
    (tmp_path / "plain_parts.py").write_text(PARTS, encoding="utf-8")

    def write(changes: dict[str, Any] | None = None, **options: Any) -> str:
        dataset = {"class_path": "plain_parts.Plain", "init_args": options}
        data = dict.fromkeys(("train", "val", "test"), dataset)
        return config({"data": {**data, "batch_size": 8}, **(changes or {})})

    return write


def weights(run: str) -> dict[str, torch.Tensor]:
    path = Path("runs") / run / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def validated(run: str) -> list[str]:
    """The losses of validations, of all sessions of a run."""
    tables = sorted((Path("runs") / run / "csv").glob("version_*/metrics.csv"))
    found = [row for table in tables for row in csv.DictReader(table.read_text().splitlines())]
    return [row["val/loss"] for row in found if row.get("val/loss")]


def rows() -> list[dict[str, str]]:
    with Path("runs/small/predictions.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_fit_on_plain_clips_is_resumed_within_an_epoch(plain: Callable[..., str]) -> None:
    """By as many workers or others: what a dataset draws is a function of the clip."""
    path = plain()
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    crashing = ["--trainer.callbacks+=parts_of_a_user.Crash", "--trainer.callbacks.step=3"]
    with pytest.raises(OSError, match="went down"):
        main(["fit", "--config", path, "--keep_minutes", "0", *crashing])
    last = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 3  # of 5 an epoch
    resume = ["--ckpt_path", "last", "--data.num_workers", "2"]
    assert main(["fit", "--config", path, *resume]) == 0
    whole, resumed = weights("whole"), weights("small")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert len(validated("whole")) == 2
    assert validated("small") == validated("whole")


def test_predictions_of_plain_clips_are_numbered(plain: Callable[..., str]) -> None:
    assert main(["predict", "--config", plain()]) == 0
    assert [int(row["index"]) for row in rows()] == list(range(40))
    assert [int(row["label"]) for row in rows()] == [k % 7 for k in range(40)]


def test_clips_without_labels_are_predicted(plain: Callable[..., str]) -> None:
    assert main(["predict", "--config", plain(labelled=False)]) == 0
    assert list(rows()[0]) == ["index", "answer", "probability"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ragged_clips_are_told(
    plain: Callable[..., str], capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    path = plain(ragged=True)
    assert main(["fit", "--config", path, "--data.num_workers", workers]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(
        r"video: expected \[3, 1, 8, 8\] as of clip .*, got \[2, .*\] of clip 5$", said
    )


def test_labels_that_are_needed_are_told(
    plain: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", plain(labelled=False)]) == 2
    assert "batch: expected a dict with video, label" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("form", ["option", "file"])
def test_another_data_module_takes_the_place_of_ours(plain: Callable[..., str], form: str) -> None:
    options = ["--data", "plain_parts.Data", "--data.batch", "10"]
    own = {"class_path": "plain_parts.Data", "init_args": {"batch": 10}}
    path = plain({"data": own}) if form == "file" else plain()
    fit = ["fit", "--config", path, *(options if form == "option" else [])]
    assert main(fit) == 0
    last = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 8
    assert Path("runs/small/checkpoints/best.ckpt").is_file()
    assert main([*fit, "--ckpt_path", "last", "--trainer.max_epochs", "3"]) == 0
    saved = ["--config", "runs/small/config.yaml", "--ckpt_path", "best"]
    assert main(["validate", *saved]) == 0
    assert main(["predict", *saved]) == 0
    assert [int(row["index"]) for row in rows()] == list(range(40))


def test_a_class_that_is_no_data_module_is_told(
    plain: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", plain(), "--data", "plain_parts.Plain"])
    assert stop.value.code == 2
    assert "Plain" in capsys.readouterr().err


def test_the_datasets_of_any_data_module_are_found(
    plain: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    plain()
    import plain_parts  # type: ignore[import-not-found]

    data = plain_parts.Data()
    assert isinstance(dataset_of(data, "train"), plain_parts.Plain)
    assert validates(data)
    with pytest.raises(InputError, match=r"data.test: expected a dataset"):
        dataset_of(data, "test")
    assert not validates(ClipData(train=Plain()))
    staged = {"train": 40, "val": 40, "test": 24, "predict": 16}
    for stage, clips in staged.items():
        assert len(dataset_of(plain_parts.Staged(), stage)) == clips


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        yield {}


class Counted(Dataset):
    """With a length, and clips in name only."""

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("dataset", [Endless(), Dataset(), Counted(), object(), {1, 2}])
def test_what_is_no_dataset_is_told(dataset: Any) -> None:
    with pytest.raises(InputError, match=r"data.train: expected a dataset with __len__, and batch"):
        ClipData(train=dataset).train_dataloader()


def test_workers_that_would_have_nothing_to_do_are_told() -> None:
    digits = SyncMNIST(sklearn_digits(), num_digits=2, canvas=12, size=12, frames=1, length=4)
    with pytest.raises(InputError, match="num_workers: expected 0, since"):
        ClipData(train=digits, num_workers=2)
    ClipData(train=Plain(), val=digits, num_workers=2)
    ClipData(num_workers=2)  # whose data sets are set later
    with pytest.raises(InputError, match="num_workers: expected a whole number of at least 0"):
        ClipData(train=Plain(), num_workers=-1)


def test_an_empty_evaluation_batch_is_told() -> None:
    with pytest.raises(InputError, match="eval_batch_size: expected a whole number"):
        ClipData(train=Plain(), eval_batch_size=0)


def bare(dataset: Any, **options: Any) -> None:
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    module = ClassificationModule(dyreg_small(2))
    trainer.fit(module, DataLoader(dataset, batch_size=2, **options))
    answers: Any = trainer.predict(module, DataLoader(dataset, batch_size=2, **options))
    assert [set(answer) for answer in answers] == [{"label", "answer", "probability"}] * 2


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("join", [None, collate])
def test_a_bare_trainer_fits_and_predicts(workers: int, join: Any) -> None:
    bare(Plain(), num_workers=workers, collate_fn=join)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": 2}, "label: expected 0 to 1, the model's classes, got 2"),
        ({"label": 0.5}, "label: expected whole numbers, got torch.float64"),
        ({"label": torch.zeros(2)}, r"label: expected \[2\], got \[2, 2\]"),
        ({"video": torch.zeros(1, 32, 32)}, r"video: expected \[B, T, C, H, W\]"),
    ],
)
def test_clips_that_train_nothing_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bare(Plain(**fields))


def test_a_plain_clip_is_shown_with_the_names_of_its_dataset() -> None:
    module, dataset = ClassificationModule(dyreg_small(2)), Plain()
    assert view(module, dataset, 3).label == "1"
    dataset.label_names = ["left", "right"]  # type: ignore[attr-defined]
    assert view(module, dataset, 3).label == "right"
    with pytest.raises(InputError, match="indices: expected clip numbers from 0 to 3, got 100"):
        view(module, dataset, 100)


def test_all_but_training_has_batches_of_its_own_size() -> None:
    digits = SyncMNIST(sklearn_digits(), num_digits=3, canvas=32, size=32, frames=2, length=20)
    data = ClipData(train=digits, val=digits, test=digits, predict=digits, eval_batch_size=10)
    loaders = (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader())
    assert [len(next(iter(loader))["label"]) for loader in loaders] == [10, 10, 10]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_what_is_too_little_for_a_batch_may_be_left_out_of_training_alone(
    drop_last: bool, sizes: list[int]
) -> None:
    clips = SyncMNIST(sklearn_digits(), canvas=32, size=32, frames=2, length=10)
    data = ClipData(train=clips, val=clips, test=clips, batch_size=4, drop_last=drop_last)
    assert [len(batch["video"]) for batch in data.train_dataloader()] == sizes
    assert sum(len(batch["video"]) for batch in data.val_dataloader()) == 10
    assert sum(len(batch["video"]) for batch in data.test_dataloader()) == 10


class Drawn(Plain):
    """Draws anew whenever a clip is asked for."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"video": torch.randint(0, 256, (2, 1, 4, 4)).byte(), "label": 0}


def test_what_is_drawn_differs_from_epoch_to_epoch_in_training_alone() -> None:
    data = ClipData(train=Drawn(), val=Drawn(), batch_size=4)
    for loader, again in ((data.train_dataloader(), False), (data.val_dataloader(), True)):
        one, other = (torch.cat([batch["video"] for batch in loader]) for _ in range(2))
        assert torch.equal(one.sort(0)[0], other.sort(0)[0]) is again


class Bare(LightningDataModule):
    """Of a user, with loaders that are no more than they have to be."""

    def test_dataloader(self) -> Any:
        return SimpleNamespace(dataset=Plain())

    def predict_dataloader(self) -> Any:
        return DataLoader(Plain(), batch_size=3, num_workers=2)


def test_clips_of_somebodys_loader_come_as_it_says() -> None:
    found = clips_of_stage(Bare(), "test")
    assert (found.batch_size, found.num_workers, found.collate) == (1, 0, collate)
    found = clips_of_stage(Bare(), "predict")
    assert (found.batch_size, found.num_workers, found.collate) == (3, 2, collate)
