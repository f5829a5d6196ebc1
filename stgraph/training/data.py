"""Clips for a run: which dataset each stage reads, in batches rendered on the trainer's device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import Dataset, default_collate

from stgraph.checks import InputError, integer
from stgraph.datasets import ClipLoader, ItemLoader, collate
from stgraph.datasets.clips import LeftOut
from stgraph.datasets.pieces import Clips

__all__ = [
    "ClipData",
    "check_loader",
    "clips_of_stage",
    "dataset_of",
    "left_out_of",
    "one_loader",
    "validates",
]


class ClipData(LightningDataModule):
    """Datasets for fitting, validating, testing and predicting, any of which may be absent.

    A dataset either makes whole batches, with ``batch(indices, device)``, or is a plain one of
    dicts, with ``__getitem__`` and ``__len__``, each dict one clip.

    Args:
        train: dataset to train on, shuffled anew each epoch.
        val: dataset to validate on, in order, as the next two.
        test: dataset of ``stgraph test``.
        predict: dataset of ``stgraph predict``; that of ``test`` when absent.
        batch_size: clips a training batch, on each process.
        eval_batch_size: clips a batch elsewhere, ``batch_size`` when absent.
        seed: of the shuffling.
        drop_last: leave out what is too little for a whole training batch.
        num_workers: processes that load the clips of plain datasets ahead, for each stage.

    Raises:
        InputError: for workers where no dataset has use for them; and when a stage begins whose
            dataset is absent or of neither kind.
    """

    def __init__(
        self,
        # bare: with Dataset[...] the command line does not find the arguments of a subclass
        train: Dataset | None = None,  # type: ignore[type-arg]
        val: Dataset | None = None,  # type: ignore[type-arg]
        test: Dataset | None = None,  # type: ignore[type-arg]
        predict: Dataset | None = None,  # type: ignore[type-arg]
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        seed: int = 0,
        drop_last: bool = False,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.test = test
        self.predict = test if predict is None else predict
        self.batch_size = integer("batch_size", batch_size)
        self.eval_batch_size = self.batch_size
        if eval_batch_size is not None:
            self.eval_batch_size = integer("eval_batch_size", eval_batch_size)
        self.seed = seed
        self.drop_last = drop_last
        self.num_workers = integer("num_workers", num_workers, 0)
        given = [one for one in (train, val, test, predict) if one is not None]
        if num_workers and given and all(map(_makes_batches, given)):
            expected = "0, since the datasets make whole batches where they are needed"
            raise InputError("num_workers", expected, num_workers)
        self._train_loader: ClipLoader | None = None
        self._resumed: dict[str, Any] | None = None

    def train_dataloader(self) -> ClipLoader:
        """Return the loader of :attr:`train`, which goes on where a checkpoint's stood."""
        loader = self._loader(
            "train", self.batch_size, shuffle=True, seed=self.seed, drop_last=self.drop_last
        )
        if self._resumed is not None:
            loader.load_state_dict(self._resumed)
            self._resumed = None
        self._train_loader = loader
        trainer: Any = self.trainer
        if trainer is not None:  # each epoch is logged, however short
            trainer.log_every_n_steps = min(trainer.log_every_n_steps, len(loader))
        return loader

    def setup(self, stage: str) -> None:
        """Let a fit without :attr:`val` validate nothing."""
        if stage == "fit" and self.val is None and self.trainer is not None:
            self.trainer.limit_val_batches = 0

    def val_dataloader(self) -> ClipLoader:
        """Return the loader of :attr:`val`."""
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> ClipLoader:
        """Return the loader of :attr:`test`."""
        return self._loader("test", self.eval_batch_size)

    def predict_dataloader(self) -> ClipLoader:
        """Return the loader of :attr:`predict`."""
        return self._loader("predict", self.eval_batch_size)

    # Lightning restores the states of loaders too, but too late: a schedule that asks for the
    # number of steps makes it build them before.
    def state_dict(self) -> dict[str, Any]:
        """Return where the training clips stand: after an epoch, at the beginning of the next.

        The loader itself may stand elsewhere, where the trainer takes a part of its batches.
        """
        if self._train_loader is None:
            return {}
        state = self._train_loader.state_dict()
        trainer: Any = self.trainer
        if trainer is not None and state["position"]:
            epoch = trainer.fit_loop.epoch_progress.current
            all_of_it = state["position"] >= trainer.num_training_batches
            if all_of_it or epoch.processed >= epoch.ready:
                state |= {"epoch": state["epoch"] + 1, "position": 0}
                state.pop("left_out", None)  # it was the epoch's
        return {"train": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training loader go on from there."""
        self._resumed = state_dict.get("train")

    def _loader(self, stage: str, batch_size: int, **order: Any) -> ClipLoader:
        dataset = getattr(self, stage)
        if dataset is None:
            raise InputError(f"data.{stage}", "a dataset", "none")
        if trainer := self.trainer:
            order |= {
                "device": trainer.strategy.root_device,
                "rank": trainer.global_rank,
                "world_size": trainer.world_size,
                "once": stage != "train",  # so that what is measured is exact
            }
        if _makes_batches(dataset):
            return ClipLoader(dataset, batch_size, **order)
        if _is_plain(dataset):
            order["repeats"] = stage != "train"
            return ItemLoader(dataset, batch_size, num_workers=self.num_workers, **order)
        expected = "a dataset with __len__, and batch(indices, device) or __getitem__"
        raise InputError(f"data.{stage}", expected, type(dataset).__name__)


def _makes_batches(dataset: Any) -> bool:
    return callable(getattr(dataset, "batch", None))


def _is_plain(dataset: Any) -> bool:
    """Tell whether a dataset has clips by number; torch's base class has them in name only."""
    getter = getattr(type(dataset), "__getitem__", None)
    return hasattr(dataset, "__len__") and getter not in (None, Dataset.__getitem__)


def dataset_of(data: LightningDataModule, stage: str) -> Any:
    """Return the dataset of a stage (train, val, test or predict) of any data module.

    Raises:
        InputError: when there is none.
    """
    source = data if isinstance(data, ClipData) else _loader_of(data, stage)
    dataset = getattr(source, stage if isinstance(data, ClipData) else "dataset", None)
    if dataset is None:
        raise InputError(f"data.{stage}", "a dataset", "none")
    return dataset


def clips_of_stage(data: LightningDataModule, stage: str) -> Clips:
    """Return the clips of a stage of any data module, and how batches are made of them.

    Raises:
        InputError: when there are none, or they cannot be had by their numbers.
    """
    loader = None if isinstance(data, ClipData) else _loader_of(data, stage)
    dataset = getattr(data, stage) if loader is None else getattr(loader, "dataset", None)
    if dataset is None:
        raise InputError(f"data.{stage}", "a dataset", "none")
    if not (_makes_batches(dataset) or _is_plain(dataset)):
        expected = "a dataset with __len__, and batch(indices, device) or __getitem__"
        raise InputError(f"data.{stage}", expected, type(dataset).__name__)
    if isinstance(data, ClipData):
        return Clips(dataset, data.eval_batch_size, data.num_workers)
    batch_size = getattr(loader, "batch_size", None) or 1
    made = getattr(loader, "collate_fn", None)
    join = collate if made in (None, default_collate) else made
    return Clips(dataset, batch_size, getattr(loader, "num_workers", 0), join)


def _loader_of(data: LightningDataModule, stage: str) -> Any:
    """The loader of a stage of somebody's data module; an object without a dataset if none."""
    data.prepare_data()
    data.setup(stage if stage in ("test", "predict") else "fit")
    has = is_overridden(f"{stage}_dataloader", data, LightningDataModule)
    return getattr(data, f"{stage}_dataloader")() if has else object()


def check_loader(data: LightningDataModule, stage: str) -> None:
    """Check that a data module has the loader of a stage at all.

    Args:
        data: of anybody's class.
        stage: ``"train"``, ``"val"``, ``"test"`` or ``"predict"``.

    Raises:
        InputError: when it has none.
    """
    name = f"{stage}_dataloader"
    if not is_overridden(name, data, LightningDataModule):
        raise InputError("data", f"a data module with {name}", type(data).__name__)


def one_loader(trainer: Any, stage: str) -> None:
    """Check that a stage has one loader: answers and values of several would be one heap.

    Raises:
        InputError: when there are more.
    """
    loaders = getattr(trainer, f"{stage}_dataloaders")
    if isinstance(loaders, (list, tuple, Mapping)) and len(loaders) > 1:
        told = f"{type(loaders).__name__} of {len(loaders)}"
        raise InputError(f"{stage}_dataloader", "one loader", told)


def left_out_of(trainer: Any, stage: str) -> list[LeftOut]:
    """The clips that this process's loaders of a stage have left out of the epoch so far."""
    loaders = getattr(trainer, "train_dataloader" if stage == "train" else f"{stage}_dataloaders")
    several = loaders if isinstance(loaders, (list, tuple)) else [loaders]
    return [one for loader in several for one in getattr(loader, "left_out", ())]


def validates(data: LightningDataModule) -> bool:
    """Tell whether a data module has clips to validate on."""
    if isinstance(data, ClipData):
        return data.val is not None
    return is_overridden("val_dataloader", data, LightningDataModule)
