"""``stgraph fit | validate | test | predict``: runs from YAML, any part by its class path.

A run has a name, and a folder ``runs/NAME`` with all that it leaves: ``config.yaml`` (resolved),
``checkpoints/best.ckpt`` and ``last.ckpt``, ``csv/`` and ``tensorboard/``.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from torch import Tensor

from stgraph.checks import InputError, integer
from stgraph.reading import within_memory
from stgraph.runs.configuration import Parser, bounded_yaml, parts_by_name
from stgraph.runs.folder import locked, run_folder
from stgraph.runs.options import check_numbers, options_of_lightning
from stgraph.training.batches import readable
from stgraph.training.callbacks.keep_last import KeepLast
from stgraph.training.callbacks.leaving import Leave
from stgraph.training.callbacks.left_out import Decoded, LeftOutClips
from stgraph.training.callbacks.progress import Bar, Metrics, Size
from stgraph.training.callbacks.random_state import RandomState
from stgraph.training.callbacks.report import Report
from stgraph.training.callbacks.session_time import SessionOver, SessionTime
from stgraph.training.callbacks.so_far import SoFar
from stgraph.training.checkpoints import check_resumable, read
from stgraph.training.data import check_loader, left_out_of, validates
from stgraph.training.module import ClassificationModule
from stgraph.training.quiet import quiet
from stgraph.training.restoring import Restoring
from stgraph.training.rows import RowLogger
from stgraph.training.saving import save_whole
from stgraph.writing import whole, write_whole

__all__ = ["Command", "callbacks_of"]

_LOADERS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}


class _SaveConfig(SaveConfigCallback):
    """Writes the resolved configuration of a fit beside what it leaves, and of nothing else.

    It is written once training begins, so that a resumed run whose checkpoint does not fit leaves
    that of the run as it was; and without the checkpoint, which is no part of what is run.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing yet."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = Path(trainer.default_root_dir)
        config = self.config.clone()
        config["ckpt_path"] = None
        with whole(folder / "config.yaml") as part:
            self.parser.save(config, part, overwrite=True)


class _Best(ModelCheckpoint):
    """Keeps the weights with the best ``val/top1``, and knows them again in a folder that moved."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, filename="best", monitor="val/top1", mode="max", enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best of before; there is none where its file is not, or does not load."""
        best = str(Path(str(self.dirpath), "best.ckpt"))
        score = state_dict["best_model_score"]
        for value in (score, state_dict["current_score"]):
            if value is not None and not (isinstance(value, Tensor) and value.numel() == 1):
                raise ValueError(f"a score that is a {type(value).__name__}")
        if score is not None and Path(best).is_file() and _loads(best):
            here = {"dirpath": self.dirpath, "best_model_path": best, "last_model_path": ""}
            kept = {"kth_best_model_path": best, "kth_value": score, "best_k_models": {best: score}}
            super().load_state_dict({**state_dict, **here, **kept})
            self.current_score = state_dict["current_score"]  # which Lightning only saves


def _loads(best: str) -> bool:
    try:
        read(best)
    except InputError as error:
        rank_zero_info(f"the next validation's is the best so far: {error}")
        return False
    return True


class Command(LightningCLI):
    """One command line, parsed and (unless ``run`` is false) carried out.

    Args:
        arguments: a subcommand and its options, as on the command line.
        run: false leaves it at :attr:`model`, :attr:`datamodule` and :attr:`trainer`, built.
    """

    def __init__(self, arguments: Sequence[str], run: bool = True) -> None:
        quiet()
        self._carry_out = run
        self._name = next(iter(arguments), "")
        parts_by_name()
        super().__init__(
            ClassificationModule,
            LightningDataModule,
            args=list(arguments),
            parser_class=Parser,
            parser_kwargs={"prog": "stgraph", "description": "Train and test video graph models."},
            trainer_defaults={"devices": 1},
            save_config_callback=_SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            # The configuration alone says what a model is; a checkpoint holds its weights.
            load_from_checkpoint_support=False,
            subclass_mode_data=True,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the subcommand that is given, without the option to unpickle arbitrary objects.

        (The parsers of all of them take half of the time that reading a command line takes.)
        """
        known = LightningCLI.subcommands()
        return {
            name: {*skip, "weights_only"}
            for name, skip in known.items()
            if name == self._name or self._name not in known
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run is called and where runs lie."""
        parser.add_argument("--run", type=str, default="run", help="Name of the run.")
        parser.add_argument("--runs", type=str, default="runs", help="Folder of all runs.")
        keep = "Minutes of training between checkpoints: what an interrupt may cost."
        parser.add_argument("--keep_minutes", type=float, default=5.0, help=keep)
        parser.set_defaults({"data": {"class_path": "stgraph.training.ClipData"}})

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Return a parser that raises what is wrong, for the command line to say."""
        return super().init_parser(**{"exit_on_error": False, **kwargs})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments given, whatever ``sys.argv`` holds."""
        with bounded_yaml():
            self.config = parser.parse_args(args)
        seed = self.config[self.config["subcommand"]]["seed_everything"]
        if not isinstance(seed, bool):
            integer("seed_everything", seed, 0, 2**32 - 1)  # as numpy takes

    def instantiate_classes(self) -> None:
        """Build what the configuration describes, if it fits into memory."""
        with within_memory("config"):
            super().instantiate_classes()

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as given: no checkpoint overrides it."""

    @property
    def folder(self) -> Path:
        """Where this run leaves what it makes."""
        return run_folder(self._get(self.config, "runs"), self._get(self.config, "run"))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the run's folder, loggers, checkpoints and progress bar."""
        config = self._get(self.config_init, "trainer")
        if config["default_root_dir"] is not None:
            raise InputError("trainer.default_root_dir", "--runs and --run", "a folder")
        check_numbers(config)
        fitting = self.subcommand == "fit"
        told = [Decoded(self.folder), LeftOutClips(self.folder)]
        asked = callbacks_of(config["callbacks"])
        callbacks = config["callbacks"] = [SoFar(), Metrics(), *told, *asked]
        if self.subcommand == "test":
            callbacks.append(Report())
        wants_bar = config["enable_progress_bar"] is not False
        if wants_bar and not any(isinstance(callback, ProgressBar) for callback in callbacks):
            callbacks.append(Bar(refresh_rate=10))
        summaries = any(isinstance(callback, ModelSummary) for callback in callbacks)
        if config["enable_model_summary"] is None and not summaries:
            config["enable_model_summary"] = False  # its table counts operations that it never saw
            callbacks.append(Size())
        with options_of_lightning():
            time = None if config["max_time"] is None else SessionTime(config["max_time"])
        config["max_time"] = None
        self._leave = Leave(time)
        callbacks += [*([] if time is None else [time]), self._leave]
        if config["enable_checkpointing"] is not False:
            checkpoints = self.folder / "checkpoints"
            minutes = float(self._get(self.config, "keep_minutes"))
            if minutes < 0:
                raise InputError("keep_minutes", "minutes, 0 or more", minutes)
            callbacks.append(RandomState())
            if validates(self.datamodule):
                callbacks.append(_Best(checkpoints))
            # after the best, which it has, and after what says that the fit is left
            last = checkpoints / "last.ckpt"
            callbacks.append(KeepLast(last, minutes, ends=lambda: self._leave.wanted))
        if config["logger"] is None or config["logger"] is True:
            config["logger"] = fitting and [
                RowLogger(self.folder, name="csv"),
                TensorBoardLogger(self.folder, name="tensorboard"),
            ]
        if fitting and config["logger"]:
            callbacks.append(LearningRateMonitor())
        with options_of_lightning():
            trainer = super().instantiate_trainer(default_root_dir=str(self.folder), **kwargs)
        save_whole(trainer)
        Restoring(trainer)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        if self._carry_out:
            alone = self._alone() if subcommand == "fit" else nullcontext()
            with options_of_lightning(only_its_own=True), alone:
                super()._run_subcommand(subcommand)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep others from training this run; the first process does so for all of its own."""
        trainer: Any = self.trainer
        writes = trainer.is_global_zero and not trainer.fast_dev_run
        return locked(self.folder) if writes else nullcontext()

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        check_loader(self.datamodule, _LOADERS[subcommand])
        path = arguments["ckpt_path"]
        if path in ("best", "last"):
            path = self.folder / "checkpoints" / f"{path}.ckpt"
        if path is not None:
            checkpoint = read(path)  # a file that is none fails here, before anything is set up
            if not isinstance(checkpoint.get("pytorch-lightning_version"), str):
                expected = "a checkpoint of `stgraph fit`"
                raise InputError("ckpt_path", expected, f"{path}, which has bare weights")
            if subcommand == "fit":
                check_resumable(checkpoint, path)
        elif subcommand != "fit":
            rank_zero_info("ckpt_path: none given, so the model is run as it was built")
        if subcommand == "fit" and (path is None or not self._is_mine(Path(path))):
            self._check_new()
        return {**arguments, "ckpt_path": path and str(path), "weights_only": True}

    def _is_mine(self, path: Path) -> bool:
        return self.folder.resolve() in path.resolve().parents

    def _check_new(self) -> None:
        trainer: Any = self.trainer
        begun = (self.folder / "checkpoints" / "last.ckpt").exists()
        # A job that Lightning has put into SLURM's queue again goes on by itself.
        queued = SLURMEnvironment.detect() and any(self.folder.glob("hpc_ckpt_*.ckpt"))
        if begun and not queued and not trainer.fast_dev_run:
            expected = "a new name (or `--ckpt_path last` to go on, or the old folder removed)"
            raise InputError("run", expected, f"{self.folder}, which exists")

    def fit(self, **arguments: Any) -> None:
        """Fit, and say where that is and how good it became."""
        with suppress(SessionOver):
            self.trainer.fit(**arguments)
        trainer: Any = self.trainer
        found = [one for one in trainer.checkpoint_callbacks if isinstance(one, _Best)]
        if not trainer.fast_dev_run:
            _print_best(self.folder, found[0].best_model_score if found else None)
        self._leave.at_the_end(trainer)

    def test(self, **arguments: Any) -> None:
        """Test, and print the result as a line of its own."""
        for result in self.trainer.test(**arguments):
            _print_accuracy("test", result)

    def validate(self, **arguments: Any) -> None:
        """Validate, and print the result as a line of its own."""
        for result in self.trainer.validate(**arguments):
            _print_accuracy("val", result)

    def predict(self, **arguments: Any) -> None:
        """Write the answer to each clip into ``predictions.csv`` in the run's folder."""
        if self.trainer.world_size > 1:
            raise InputError("trainer.devices", "one device", self.trainer.world_size)
        batches: Any = self.trainer.predict(**arguments)
        if not batches:
            if left_out := left_out_of(self.trainer, "predict"):
                readable("predict", 0, left_out, len(left_out))
            raise InputError("data.predict", "clips to predict", "no batch of them")
        path = self.folder / "predictions.csv"
        text = StringIO(newline="")
        numbers = itertools.count()
        writer = csv.DictWriter(text, list(dict.fromkeys(("index", *batches[0]))))
        writer.writeheader()
        for batch in batches:
            columns = {name: column.tolist() for name, column in batch.items()}
            for row in zip(*columns.values(), strict=True):
                number = {"index": next(numbers)}  # where the data have no names for clips
                writer.writerow(number | dict(zip(columns, row, strict=True)))
        write_whole(path, text.getvalue().encode())
        rank_zero_info(f"wrote {path}")


def callbacks_of(given: Callback | Sequence[Callback] | None) -> list[Callback]:
    """A trainer's option as a list: none, one that stands there alone, or several."""
    return [given] if isinstance(given, Callback) else [*(given or ())]


@rank_zero_only
def _print_best(folder: Path, score: Tensor | None) -> None:
    print(f"{folder}" + ("" if score is None else f": best val/top1 {100 * float(score):.1f} %"))


@rank_zero_only
def _print_accuracy(stage: str, result: Mapping[str, float]) -> None:
    shares = (
        f"{name} {100 * result[f'{stage}/top{k}']:.2f} %"
        for name, k in (("top-1", 1), ("top-5", 5))
        if f"{stage}/top{k}" in result
    )
    print(f"{stage}: {', '.join(shares)}")
