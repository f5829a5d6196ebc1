"""``stgraph demo``: regions that follow against a fixed grid on a task that needs motion.

Three handwritten digits of five classes move over a 48×48 frame for six frames; two of them, or
none, take the same steps, of at most 3 pixels for digits of 8: in the original task 10 for 28.
Which two? 11 labels; the digits are scikit-learn's, so nothing is fetched. The best guess that
knows the digits but not their motion, any pair of them, is right in (1 − 1/11)/3 = 30 % of the
clips.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor

from stgraph import recipes, viz
from stgraph.applications.show import view
from stgraph.checks import integer
from stgraph.classifiers import GraphClassifier
from stgraph.datasets import ClipLoader, SyncMNIST, sklearn_digits
from stgraph.training.module import ClassificationModule
from stgraph.training.node_classes import NodeClasses
from stgraph.training.quiet import quiet
from stgraph.training.saving import save_whole
from stgraph.training.schedules import WarmupCosine
from stgraph.writing import write_whole

__all__ = ["Curve", "Warmup", "clips", "dynamic", "fixed", "module", "run"]

DIGITS, CLASSES, LABELS = 3, 5, 11
NONE = 1 / LABELS
"""How often no digits move alike: as often as each of the ten pairs of classes."""


def clips(split: str, length: int, frames: int = 6, seed: int = 0) -> SyncMNIST:
    """Return the demonstration's clips of unseen (``"test"``) or training digits."""
    return SyncMNIST(
        sklearn_digits(split),
        num_digits=DIGITS,
        num_classes=CLASSES,
        frames=frames,
        canvas=48,
        size=48,
        step=3,
        p_none=NONE,
        draw_order="random",  # so that what covers what does not tell who moves alike
        seed=seed,
        length=length,
    )


def dynamic() -> GraphClassifier:
    """Return the model whose regions follow what they find."""
    return recipes.motion_small(LABELS)


def fixed() -> GraphClassifier:
    """Return its twin on a fixed grid.

    Cells of a grid have no displacements; the embedding of their kernels says where they are.
    """
    return recipes.dyreg_small(LABELS, recipes.small_grid())


def module(model: GraphClassifier) -> ClassificationModule:
    """Return a model of the demonstration, ready to train."""
    made = ClassificationModule(
        model,
        optimizer=partial(
            torch.optim.AdamW, lr=5e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        ),
        schedule=WarmupCosine(0.1),
        auxiliary=NodeClasses(model.net.nodes.out_channels, CLASSES, over="softmax"),
    )
    return made.to(memory_format=torch.channels_last)


class Warmup(LightningModule):
    """Trains what finds the nodes by the auxiliary loss alone, with the module's own optimiser.

    What the nodes are is seen in a single frame, and single frames are cheap.

    Args:
        module: what is trained afterwards; its ``auxiliary`` must be set.
    """

    def __init__(self, module: ClassificationModule) -> None:
        super().__init__()
        self.module = module

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the auxiliary loss of a clip batch."""
        asked = self.module.asked(batch)
        loss: Tensor = self.module.auxiliary(asked.answer, asked.seen)  # type: ignore[misc]
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["label"]))
        return loss

    def configure_optimizers(self) -> Any:
        """Build the module's optimiser and schedule over this, shorter, training."""
        optimizer = self.module.optimizer(self.parameters())
        steps = float(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.module.schedule(optimizer, steps)}


class Curve(Callback):
    """Records training loss and validation accuracy against steps and seconds of training."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.seconds: list[float] = []
        self.loss: list[float] = []
        self.accuracy: list[float] = []
        self.objects: dict[str, list[float]] = {name: [] for name in viz.OBJECTS}
        self._trained, self._since = 0.0, 0.0
        self._losses: list[Tensor] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, one: LightningModule, *_: Any) -> None:
        """Stop the clock, and keep the loss; of the warm-up only the time counts."""
        self._trained += time.perf_counter() - self._since
        if not isinstance(one, Warmup):
            self._losses.append(trainer.callback_metrics["train/loss"])

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        """Write down where the training stands."""
        self.steps.append(trainer.global_step)
        self.seconds.append(self._trained)
        self.loss.append(float(torch.stack(self._losses).mean()))
        self.accuracy.append(float(trainer.callback_metrics["val/top1"]))
        for name, values in self.objects.items():
            values.append(float(trainer.callback_metrics.get(f"val/{name}", math.nan)))
        self._losses.clear()

    def last(self, clips: int) -> str:
        """The last measurement in words."""
        right = f"{100 * self.accuracy[-1]:.1f} % of {clips} unseen clips"
        return f"{right}, {self.seconds[-1]:.0f} s of training"


def run(
    out: str = "runs/demo",
    seed: int = 0,
    steps: int = 1000,
    warmup: int = 100,
    batch_size: int = 64,
    test_clips: int = 2000,
    shown: int = 6,
) -> Path:
    """Train dynamic regions and their fixed-grid twin, and write ``report.html`` about it.

    Both see the same clips in the same order, after a warm-up on single frames. Beside the page
    lie ``results.json`` and a checkpoint of each model, ``dynamic.ckpt`` and ``fixed.ckpt``, with a
    configuration that says what the model is; :func:`stgraph.training.model_of_run` reads them.

    Args:
        out: folder of what it writes; a page from before is replaced.
        seed: of every random number.
        steps: training steps of each model.
        warmup: steps on single frames before them, three times as many as clips a step.
        batch_size: clips a step.
        test_clips: clips of unseen digits that the models are tested on.
        shown: how many of these the page shows.

    Returns:
        The page.

    Raises:
        InputError: on a number of steps or clips below 1.
    """
    for name, value in (("steps", steps), ("batch_size", batch_size), ("test_clips", test_clips)):
        integer(name, value)
    integer("warmup", warmup, 0)
    integer("shown", shown)
    quiet()
    with _warnings_only():
        return _run(out, seed, steps, warmup, batch_size, test_clips, shown)


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Let Lightning say nothing but warnings within the block: the page says the rest."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _run(
    out: str, seed: int, steps: int, warmup: int, batch_size: int, test_clips: int, shown: int
) -> Path:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    unseen = clips("test", test_clips, seed=seed + 1)
    curves, modules = [], []
    for name, model in (("dynamic regions", dynamic), ("fixed 3×3 grid", fixed)):
        seed_everything(seed, verbose=False)
        one = module(model())
        print(f"== {name}: {warmup} steps on single frames, {steps} on clips of 6", flush=True)
        curve, trainer = _train(one, seed, steps, warmup, batch_size, unseen)
        modules.append(one)
        curves.append(
            viz.RunCurve(
                name,
                curve.steps,
                curve.seconds,
                curve.loss,
                curve.accuracy,
                test_accuracy=curve.accuracy[-1],
                test_clips=test_clips,
                parameters=sum(p.numel() for p in one.model.parameters()),
                objects=curve.objects,
            )
        )
        short = name.split()[0]
        trainer.save_checkpoint(folder / f"{short}.ckpt", weights_only=True)
        write_whole(folder / f"{short}.yaml", yaml.safe_dump(_described(short)).encode())
        print(f"   {curve.last(test_clips)}", flush=True)
    about = viz.about_here(
        f"stgraph demo --seed {seed} --steps {steps} --warmup {warmup} "
        f"--batch_size {batch_size} --test_clips {test_clips} --shown {shown}",
        seed=seed,
        seconds=time.perf_counter() - begun,
    )
    page = viz.demo_report(
        folder / "report.html",
        runs=curves,
        clips=_telling(modules[0], unseen, shown),
        chance=1 / LABELS,
        best_without_motion=(1 - NONE) / math.comb(DIGITS, 2),  # the digits seen, any pair of them
        about=about,
    )
    _write_json(folder / "results.json", curves, about)
    print(f"wrote {page}")
    return page


def _described(name: str) -> dict[str, Any]:
    """What a model is, as the configuration of a run has it."""
    options: dict[str, Any] = {"num_classes": LABELS}
    if name == "dynamic":
        return {"model": {"model": _part("motion_small", options)}}
    options["nodes"] = _part("small_grid")
    return {"model": {"model": _part("dyreg_small", options)}}


def _part(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"class_path": f"stgraph.recipes.{name}"}
    return made if options is None else {**made, "init_args": dict(options)}


def _train(
    one: ClassificationModule,
    seed: int,
    steps: int,
    warmup: int,
    batch_size: int,
    unseen: SyncMNIST,
) -> tuple[Curve, Trainer]:
    """Warm up on single frames, then train; the curve counts both times."""
    curve = Curve()
    if warmup:
        trainer = _trainer(curve)
        trainer.fit(Warmup(one), _loader(3 * batch_size, warmup, 1, seed + 2, trainer))
    trainer = _trainer(curve, val_check_interval=_interval(steps))
    device = trainer.strategy.root_device
    train = _loader(batch_size, steps, 6, seed, trainer)
    trainer.fit(one, train, ClipLoader(unseen, 200, device=device))
    return curve, trainer


def _interval(steps: int) -> int:
    """Steps between measurements: about a tenth of all, and such that the last one is measured."""
    return next(k for k in range(max(1, steps // 10), steps + 1) if steps % k == 0)


def _trainer(curve: Curve, **options: Any) -> Trainer:
    trainer = Trainer(
        max_epochs=1,  # the clips are as many as the steps take
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        callbacks=[curve, RichProgressBar(refresh_rate=10, leave=False)],
        **options,
    )
    save_whole(trainer)
    return trainer


def _loader(batch_size: int, steps: int, frames: int, seed: int, trainer: Trainer) -> ClipLoader:
    data = clips("train", steps * batch_size, frames, seed)
    return ClipLoader(data, batch_size, device=trainer.strategy.root_device)


def _telling(one: ClassificationModule, unseen: SyncMNIST, shown: int) -> list[viz.ClipView]:
    """Clips to look at: with a pair, mostly right answers and some wrong ones, first ones first."""
    right: list[viz.ClipView] = []
    wrong: list[viz.ClipView] = []
    for number in range(min(len(unseen), 20 * shown)):
        seen = view(one, unseen, number)
        (right if seen.correct else wrong).append(seen)
        if len(right) >= shown and len(wrong) >= 2:
            break
    failures = min(len(wrong), 2, shown - 1)
    return right[: shown - failures] + wrong[:failures]


def _write_json(path: Path, curves: list[viz.RunCurve], about: viz.About) -> None:
    facts = {
        **dataclasses.asdict(about),
        "runs": [
            {
                "name": curve.name,
                "accuracy": curve.final,
                "test_clips": curve.test_clips,
                "parameters": curve.parameters,
                "steps": list(curve.steps),
                "loss": list(curve.loss),
                "curve": list(curve.accuracy),
                "seconds": list(curve.seconds),
                # JSON has no nan: regions that never move have no common movement.
                "objects": {
                    name: [None if math.isnan(value) else value for value in values]
                    for name, values in curve.objects.items()
                },
            }
            for curve in curves
        ],
    }
    write_whole(path, json.dumps(facts, indent=1).encode())
