"""Rows are built and asked for an answer before any of them is trained."""

from __future__ import annotations

import logging
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule

from stgraph.checks import InputError
from stgraph.datasets.pieces import Pieces
from stgraph.reading import reason
from stgraph.runs.command import Command
from stgraph.studies.file import ANSWERS, Row, Study
from stgraph.studies.merging import value_at
from stgraph.studies.plan import Run, configuration, digest, trains
from stgraph.training.batches import check_labels
from stgraph.training.data import clips_of_stage, validates
from stgraph.training.module import ClassificationModule

__all__ = ["all_runs", "resolved"]


def all_runs(study: Study, runs: str, build: bool = True) -> list[Run]:
    """Return the runs of a study, row by row, once all of them are known to be possible.

    Each row's model and data are built and two clips are answered, on the CPU.

    Args:
        study: the study.
        runs: the folder of all runs.
        build: whether to build; otherwise configurations are read alone.

    Raises:
        InputError: when a row's configuration is none, its parts do not fit each other, or the
            clips of its test are those of its validation; it names the row.
    """
    made = []
    for row in study.rows:
        with _of(row), _quietly():
            told = configuration(study, row, study.seeds[0], runs)
            whole = resolved(told)
            _check_held_out(whole)
            _check_trainer(whole["trainer"])
            if build:
                _check_answer(told, study)
        for seed in study.seeds:
            mine = configuration(study, row, seed, runs)
            made.append(Run(study.name, row, seed, runs, mine, digest(study, whole, seed)))
    for run in made:
        _ = run.folder  # which checks its name
    return made


def resolved(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with every default that it leaves to be said."""
    with _as_file(told) as path:
        command = _Parsed(["fit", "--config", path])
    dumped = command.parser.dump(command.config, skip_default=False)
    whole: dict[str, Any] = yaml.safe_load(dumped)["fit"]
    return whole


class _Parsed(Command):
    """A command line that is read, and no more."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""


def _check_held_out(whole: Mapping[str, Any]) -> None:
    """Check that no choice is made by the clips of the test."""
    test = value_at(whole, "data.test")
    for stage in ("train", "val"):
        if test is not None and test == value_at(whole, f"data.{stage}"):
            raise InputError("held_out", "clips of the test alone", f"those of data.{stage}")


def _check_trainer(options: Mapping[str, Any]) -> None:
    """Check that a run can leave a result: checkpoints, and a test of them."""
    if options.get("enable_checkpointing") is False:
        raise InputError("trainer.enable_checkpointing", "a run that leaves checkpoints", False)
    if tries := options.get("fast_dev_run"):  # which may be how many batches, too
        raise InputError("trainer.fast_dev_run", "a run that leaves checkpoints", tries)
    tested = options.get("limit_test_batches")
    if tested is not None and not tested:
        raise InputError("trainer.limit_test_batches", "a run that is tested", tested)


def _check_answer(told: Mapping[str, Any], study: Study) -> None:
    """Build a configuration and let it answer two clips."""
    with _as_file(told) as path:
        command = Command(["fit", "--config", path], run=False)
    if command.trainer.world_size > 1:
        raise InputError("trainer.devices", "one device a run", command.trainer.world_size)
    data, module = command.datamodule, command.model.eval()
    trained = trains(told)
    if trained and study.weights == "best" and not validates(data):
        raise InputError("weights", "`last`, where nothing is validated", "`best`")
    clips_of_stage(data, "test")
    stages = ["train"] if trained else []
    if not trained or study.metric not in ANSWERS:
        stages.append("test")
    with torch.no_grad():
        for stage in stages:
            _check_stage(module, data, stage, study.metric)


def _check_stage(
    module: ClassificationModule, data: LightningDataModule, stage: str, metric: str
) -> None:
    """Answer two clips of a stage, and compute what the stage does of the answer."""
    clips = replace(clips_of_stage(data, stage), num_workers=0)
    batch = next(iter(Pieces(clips, [(0, range(min(2, len(clips))))], skip=True))).batch
    if batch is None:  # none of them can be read, which the run itself may leave out
        return
    asked = module.asked(batch)
    logits = asked.logits
    classes = logits.size(1)
    if metric == "top5" and classes <= 5:
        raise InputError("metric", "`top1`, with five classes or fewer", f"top5 of {classes}")
    check_labels(batch["label"], logits)
    if stage == "test":
        measured: dict[str, Any] = {}
        measures: Any = module.measures["test"]
        for measure in measures:
            label = batch["label"].long()
            measure.update(logits, asked.answer, {**asked.batch, "label": label})
            measured |= measure.compute()
        if metric not in (*ANSWERS, *measured):
            known = "`top1`, where the model has no regions or the clips no `box`"
            raise InputError("metric", known, metric)
    elif module.auxiliary is not None:
        module.auxiliary(asked.answer, asked.seen)


@contextmanager
def _of(row: Row) -> Iterator[None]:
    """Say which row it is that something is wrong with."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"row {row.name!r}", "a configuration that can train", _told(error)
        ) from error


def _told(error: BaseException) -> str:
    """What is wrong: in the words of our own error, where one of ours is behind another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    return " ".join(str(error).split()) if isinstance(error, ArgumentError) else reason(error)


@contextmanager
def _as_file(told: Mapping[str, Any]) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.yaml")
        path.write_text(yaml.safe_dump(dict(told)), encoding="utf-8")
        yield str(path)


@contextmanager
def _quietly() -> Iterator[None]:
    """Let Lightning say nothing but warnings."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
