"""``stgraph extract``: graph data sets from what a trained model makes of clips.

Clips are worked off in shards, in each in batches of its own. So what is computed for a clip, to
its last bit, does not depend on how many processes there are, nor on where one was killed: a shard
is there whole or not at all, and belongs to one process.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from stgraph.applications import sheets
from stgraph.applications.graphing import Wanted, graphs_of
from stgraph.checks import InputError, choice, integer
from stgraph.datasets.graphs.packing import Packer
from stgraph.datasets.pieces import Clips, Piece, Pieces
from stgraph.reading import digest
from stgraph.runs.command import Command
from stgraph.runs.folder import locked
from stgraph.training.checkpoints import check_keys, read
from stgraph.training.data import clips_of_stage
from stgraph.training.module import ClassificationModule
from stgraph.training.quiet import quiet

__all__ = ["extract", "run"]

SHARD = 256
"""Clips of a shard, if nothing else is said."""


def run(
    ckpt: str,
    out: str,
    config: str | None = None,
    split: Literal["train", "val", "test", "predict"] = "test",
    graphs: Literal["frames", "clips"] = "frames",
    features: str = "nodes",
    place: str | None = None,
    attention: str | None = None,
    kernel: bool = False,
    half: bool = False,
    shard_clips: int = SHARD,
    on_error: Literal["raise", "skip"] = "raise",
    options: Sequence[str] = (),
) -> Path:
    """Run a trained model over clips and write a data set of its graphs.

    Args:
        ckpt: checkpoint of the model.
        out: folder of the data set: a new one, or one to go on with.
        config: configuration of the model and its data; that of the checkpoint's run when absent.
        split: which of the configuration's clips.
        graphs: frames, a graph a frame; or clips, a space-time graph a clip.
        features: nodes, those of the extractor; processed, those after the whole schedule; or those
            after a place of it, by its number or the name of its layer.
        place: of a CNN with several graphs, the name of the place; the last one when absent.
        attention: number of the stage whose weights of edges are kept, all or none; that of the
            last stage that has any when absent.
        kernel: keep each node's kernel too.
        half: keep features, weights and kernels in half precision.
        shard_clips: clips of a shard.
        on_error: what happens to a clip that cannot be read: raise, or skip and list it.
        options: further options of a run, for example ``--data.root clips`` or
            ``--trainer.devices 2``.

    Returns:
        The datasheet.

    Raises:
        InputError: when a file is missing or does not fit, somebody writes to the folder, it has
            something else in it, or the model has not what is asked for.
    """
    if not Path(ckpt).is_file():
        raise InputError("ckpt", "a checkpoint", f"{ckpt}, which does not exist")
    found = _config(Path(ckpt)) if config is None else Path(config)
    if not found.is_file():
        expected = "the configuration of the model (--config configs/NAME.yaml)"
        raise InputError("config", expected, f"{found}, which does not exist")
    command = Command(["predict", "--config", str(found), *options], run=False)
    prefix = "model."  # without what joined the loss in training
    state = {
        k.removeprefix(prefix): v
        for k, v in read(ckpt)["state_dict"].items()
        if k.startswith(prefix)
    }
    check_keys(command.model.model, state)
    command.model.model.load_state_dict(state)
    wanted = Wanted(graphs, features, place, attention, kernel, half)
    told = {
        "command": _typed(ckpt, out, config, split, wanted, shard_clips, on_error, options),
        "checkpoint": {"file": str(ckpt), "sha256": digest(ckpt)},
    }
    return extract(
        command.model,
        command.datamodule,
        out,
        split,
        wanted,
        shard_clips=shard_clips,
        on_error=on_error,
        trainer=command.trainer,
        configuration=_configuration(command),
        told=told,
    )


def extract(
    module: ClassificationModule,
    data: LightningDataModule,
    out: str | Path,
    split: Literal["train", "val", "test", "predict"] = "test",
    wanted: Wanted = Wanted(),  # noqa: B008 (it is frozen)
    *,
    shard_clips: int = SHARD,
    on_error: Literal["raise", "skip"] = "raise",
    trainer: Trainer | None = None,
    configuration: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Path:
    """Run a model over clips and write a data set of its graphs, or go on with one.

    All clips of the stage's data set are taken, in its order, whatever order and selection a loader
    has. A folder that is complete is left as it is.

    Args:
        module: the model, its scaling and hints.
        data: clips; of any data module the data set, batch size, workers and ``collate_fn`` of the
            stage's loader, and its hooks around the transfer of batches.
        out: folder of the data set.
        split: whose clips.
        wanted: what is kept.
        shard_clips: clips of a shard.
        on_error: ``"raise"``, or ``"skip"``: clips that cannot be read are left out and listed.
        trainer: whose devices and processes are used; one on this machine's CPU or GPU when absent.
        configuration: what describes model and data, for the datasheet.
        told: further facts for it.

    Returns:
        The datasheet.

    Raises:
        InputError: as :func:`run`; also when the folder was begun with another model, other clips
            or other options.
    """
    integer("shard_clips", shard_clips)
    choice("on_error", on_error, ("raise", "skip"))
    folder = Path(out)
    trainer = _trainer() if trainer is None else trainer
    clips = clips_of_stage(data, split)
    plan = sheets.plan(module, clips, trainer) | {
        "split": split,
        "wanted": asdict(wanted),
        "shard_clips": shard_clips,
        "on_error": on_error,
        "configuration": configuration,
    }
    plan = json.loads(json.dumps(plan))  # as a file has it
    alone = locked(folder, "out", "extracts", ("", "raw/")) if trainer.is_global_zero else None
    with alone or nullcontext():
        sheets.check_folder(folder, plan)
        if not (folder / sheets.SHEET).is_file():
            if trainer.is_global_zero:
                sheets.begin(folder, plan)
            work = _Work(module, data, clips, folder, plan, wanted, told or {})
            trainer.predict(work, work.pieces(trainer), return_predictions=False)
        if trainer.is_global_zero:
            sheets.tidy(folder)
            print(f"wrote {sheets.summary(folder)}")
    return folder / sheets.SHEET


class _Work(LightningModule):
    """Makes graphs of the pieces that it is given, and shards of these.

    Batches are brought to the device here, by the hooks of their data module, since a trainer that
    is given a loader would not ask it.
    """

    def __init__(
        self,
        module: ClassificationModule,
        data: LightningDataModule,
        clips: Clips,
        folder: Path,
        plan: Mapping[str, Any],
        wanted: Wanted,
        told: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.module = module
        self._data, self._clips, self._folder, self._plan = data, clips, folder, plan
        self._wanted, self._told = wanted, told
        self._shard = sheets.OpenShard(-1, Packer())

    def pieces(self, trainer: Trainer) -> _Pieces:
        """Return the pieces of the shards that this process has to make."""
        return _Pieces(self, trainer)

    def on_predict_start(self) -> None:
        """Wait until the first process has begun the folder."""
        self.trainer.strategy.barrier("begun")

    def predict_step(self, piece: Piece, batch_idx: int) -> int:
        """Make the graphs of a piece, and write the shard that ends with it."""
        if piece.number != self._shard.number:
            self._shard = sheets.OpenShard(piece.number, Packer())
        shard, done = self._shard, len(piece.clips) + len(piece.left_out)
        shard.seen += done
        shard.skipped += piece.left_out
        if piece.batch is not None:
            names = [self._clips.name(number) for number in piece.clips]
            batch = self._moved(piece.batch)
            kept = graphs_of(self.module, batch, self._wanted, piece.clips, names)
            shard.packer.add(kept.graph, kept.rows)
            shard.columns, shard.clips = kept.columns, shard.clips + len(piece.clips)
        if shard.seen == len(_numbers(shard.number, self._plan)):
            shard.write(self._folder)
            self._shard = sheets.OpenShard(-1, Packer())
        return done

    def _moved(self, batch: Any) -> Any:
        batch = self.trainer.precision_plugin.convert_input(batch)
        batch = self._data.on_before_batch_transfer(batch, 0)
        batch = self._data.transfer_batch_to_device(batch, self.device, 0)
        return self._data.on_after_batch_transfer(batch, 0)

    def on_predict_end(self) -> None:
        """Complete the data set, once all processes have made their shards."""
        self.trainer.strategy.barrier("shards")
        if self.trainer.is_global_zero:
            names = getattr(self._clips.dataset, "label_names", None)
            sheets.finish(self._folder, self._plan, names, self._told)
        self.trainer.strategy.barrier("finished")


class _Pieces:
    """What a process has to do: of the shards that are its own, those that are not there.

    It has no length: a process with nothing left to do would be an error to Lightning.
    """

    def __init__(self, work: _Work, trainer: Trainer) -> None:
        self.work, self.trainer = work, trainer

    def __iter__(self) -> Iterator[Piece]:
        work, trainer = self.work, self.trainer
        plan, pieces = work._plan, []
        shards = range(trainer.global_rank, sheets.shard_count(plan), trainer.world_size)
        for number in shards:
            if not sheets.is_done(work._folder, number):
                clips = _numbers(number, plan)
                step = work._clips.batch_size
                pieces += [(number, clips[at : at + step]) for at in range(0, len(clips), step)]
        device = trainer.strategy.root_device
        yield from Pieces(work._clips, pieces, device, skip=plan["on_error"] == "skip")


def _numbers(shard: int, plan: Mapping[str, Any]) -> range:
    """Clips of a shard."""
    size, clips = plan["shard_clips"], plan["clips"]["number"]
    return range(shard * size, min(clips, (shard + 1) * size))


def _trainer() -> Trainer:
    quiet()
    return Trainer(
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _config(ckpt: Path) -> Path:
    """The configuration of a checkpoint: that of its run, or beside it under its own name."""
    beside = ckpt.with_suffix(".yaml")
    return beside if beside.is_file() else ckpt.parent.parent / "config.yaml"


def _configuration(command: Command) -> dict[str, Any]:
    """What a command line describes, as far as graphs depend on it."""
    dumped = command.parser.dump(command.config, skip_default=False)
    all_of_it = yaml.safe_load(dumped)
    all_of_it = all_of_it.get(command.subcommand, all_of_it)
    model = {name: all_of_it["model"].get(name) for name in ("model", "scale", "hints")}
    data = all_of_it.get("data")
    if isinstance(data, dict):
        arguments = data.get("init_args", data)
        if isinstance(arguments, dict):
            arguments.pop("num_workers", None)  # which changes nothing
    return {"model": model, "data": data}


def _typed(
    ckpt: str,
    out: str,
    config: str | None,
    split: str,
    wanted: Wanted,
    shard_clips: int,
    on_error: str,
    options: Sequence[str],
) -> str:
    """The command that makes the data set again."""
    words = ["stgraph", "extract", "--ckpt", ckpt, "--out", out]
    given: dict[str, Any] = {"config": config, "split": split}
    default = asdict(Wanted()) | {"shard_clips": SHARD, "on_error": "raise"}
    chosen = asdict(wanted) | {"shard_clips": shard_clips, "on_error": on_error}
    given |= {name: value for name, value in chosen.items() if value != default[name]}
    for name, value in given.items():
        if value is not None:
            words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return shlex.join([*words, *options])
