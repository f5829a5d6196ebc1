"""Clips that are shown before a run, to the auxiliary loss alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stgraph import recipes
from stgraph.applications.demo import Warmup
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.datasets import SyncMNIST, sklearn_digits
from stgraph.runs.command import Command
from stgraph.studies.checking import _check_stage
from stgraph.training import (
    Auxiliary,
    ChannelsLast,
    ClipData,
    NodeClasses,
    ShowFirst,
    TeachFirst,
)
from stgraph.training.callbacks import shown_first
from stgraph.training.groups import build

CONFIG = Path(__file__).parents[3] / "configs" / "demo.yaml"
SHOWN = {"class_path": "stgraph.datasets.SyncMNIST", "init_args": {}}
SMALL = [
    *("--config", str(CONFIG), "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--data.batch_size=8", "--data.train.length=16", "--data.val.length=8"),
    *("--trainer.num_sanity_val_steps=0", "--trainer.log_every_n_steps=1"),
]


def clips(length: int, frames: int = 1) -> SyncMNIST:
    return SyncMNIST(
        sklearn_digits("train"),
        num_digits=3,
        num_classes=5,
        frames=frames,
        canvas=48,
        size=48,
        step=3,
        seed=2,
        length=length,
    )


def command(*options: str) -> Command:
    return Command(["fit", *SMALL, *options], run=False)


@pytest.fixture(scope="module")
def of_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("demo"))
        return command("--trainer.max_steps=0").model


@pytest.fixture
def module(of_the_demo: Any) -> Any:
    """The module of the demonstration, as it is built."""
    return deepcopy(of_the_demo)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_only_what_the_auxiliary_sees_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = command("--trainer.max_steps=0")
    shown = ShowFirst(clips(20), batch_size=8)
    built.trainer.callbacks.insert(0, shown)
    before = weights(built.model)
    built.trainer.fit(built.model, built.datamodule)
    moved = changed(before, weights(built.model))
    assert shown.shown == 20
    assert {name.split(".")[1] for name in moved if "num_batches" not in name} <= {
        "backbone",
        "head",
    }
    assert any(name.startswith("model.backbone") for name in moved)
    assert any(name.startswith("auxiliary.head") for name in moved)


@pytest.mark.parametrize(
    ("clip", "how", "expected"),
    [
        ("0.5", "null", (0.5, "norm")),
        pytest.param("0.25", "value", (0.25, "value"), marks=pytest.mark.slow),
        pytest.param("null", "null", None, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_clipped_as_those_of_the_run(
    clip: str, how: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [f"--trainer.gradient_clip_val={clip}", f"--trainer.gradient_clip_algorithm={how}"]
    built, seen = command("--trainer.max_steps=0", *options), []
    plugin = built.trainer.precision_plugin
    whole = plugin.clip_gradients

    def clipped(optimizer: Any, most: float, kind: Any) -> None:
        seen.append((most, kind.value))
        whole(optimizer, most, kind)

    monkeypatch.setattr(plugin, "clip_gradients", clipped)
    built.trainer.callbacks.insert(0, ShowFirst(clips(16), batch_size=8))
    built.trainer.fit(built.model, built.datamodule)
    assert seen == ([] if expected is None else [expected] * 2)


@pytest.mark.slow
def test_the_seed_says_in_which_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Watched(ShowFirst):
        def _loss(self, module: Any, batch: Any) -> torch.Tensor:
            seen[self.seed].append(batch["index"].tolist())
            return super()._loss(module, batch)

    seen: dict[int, list[list[int]]] = {0: [], 1: []}
    for seed, orders in seen.items():
        built = command("--trainer.max_steps=0")
        built.trainer.callbacks.insert(0, Watched(clips(16), batch_size=8, seed=seed))
        built.trainer.fit(built.model, built.datamodule)
        assert sorted(clip for order in orders for clip in order) == list(range(16))
    assert seen[0] != seen[1]


def test_each_step_has_its_own_gradients_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = command("--trainer.max_steps=0", "--trainer.gradient_clip_val=null")
    seen: list[torch.Tensor] = []

    class Watched(ShowFirst):
        def _loss(self, module: Any, batch: Any) -> torch.Tensor:
            seen.extend(p.grad for p in module.parameters() if p.grad is not None)
            return super()._loss(module, batch)

    built.trainer.callbacks.insert(0, Watched(clips(16), batch_size=8))
    built.trainer.fit(built.model, built.datamodule)
    seen.extend(p.grad for p in built.model.parameters() if p.grad is not None)
    assert not any(bool(gradient.any()) for gradient in seen)


@pytest.mark.parametrize("kind", ["EpochMilestones", "Milestones"])
def test_only_schedules_by_the_step_go_on_with_what_is_shown(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = "[1]" if kind == "EpochMilestones" else "[0.5]"
    options = [f"--model.schedule=stgraph.training.{kind}", f"--model.schedule.at={at}"]
    built = command("--trainer.max_steps=0", *options)
    made: list[Any] = []

    def kept(*told: Any) -> Any:
        made.append(build(*told))
        return made[-1]

    monkeypatch.setattr(shown_first, "build", kept)
    built.trainer.callbacks.insert(0, ShowFirst(clips(24), batch_size=8))
    built.trainer.fit(built.model, built.datamodule)
    (group, *_) = made[0].param_groups
    assert (group["lr"] < group["initial_lr"]) == (kind == "Milestones")


@pytest.mark.parametrize("auxiliary", [True, False])
def test_everything_learns_from_what_is_taught_first(
    auxiliary: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = command("--trainer.max_steps=0", *([] if auxiliary else ["--model.auxiliary=null"]))
    taught = TeachFirst(clips(20, frames=3), batch_size=8)
    built.trainer.callbacks.insert(0, taught)
    before = weights(built.model)
    built.trainer.fit(built.model, built.datamodule)
    moved = changed(before, weights(built.model))
    assert taught.shown == 20
    parameters = {name for name, _ in built.model.named_parameters()}
    assert moved >= parameters
    assert any(name.startswith("auxiliary") for name in moved) == auxiliary


class Looking(Auxiliary):
    """Keeps what it is given of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, dict[str, Any]]] = []

    def forward(self, answer: Any, batch: Mapping[str, Any]) -> torch.Tensor:
        self.seen.append((answer, dict(batch)))
        return (0 * answer.logits).sum()


class TwoViews:
    """Clips of two views each, the second one turned over."""

    def __init__(self, of: SyncMNIST) -> None:
        self.of = of

    def __len__(self) -> int:
        return len(self.of)

    def batch(self, indices: Any, device: Any = None) -> dict[str, torch.Tensor]:
        batch = {name: self.of.batch(indices, device)[name] for name in ("video", "label", "index")}
        return {**batch, "video": torch.stack((batch["video"], batch["video"].flip(-1)), 1)}


@pytest.mark.parametrize("kind", [ShowFirst, TeachFirst, Warmup, "a study's check"])
@pytest.mark.parametrize("views", [1, 2])
def test_the_auxiliary_sees_what_the_model_saw(
    kind: Any, views: int, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scaled frames, and a clip for each view, as in the run itself."""
    module.auxiliary = looking = Looking()
    shown = clips(8, frames=2) if views == 1 else TwoViews(clips(8, frames=2))
    batch = shown.batch(range(8))
    if isinstance(kind, str):  # which looks at two clips
        batch = shown.batch(range(2))
        _check_stage(module, ClipData(train=shown), "train", "top1")
    elif kind is Warmup:
        step = Warmup(module)
        monkeypatch.setattr(step, "log", lambda *_, **__: None)
        step.training_step(batch, 0)
    else:
        loss = kind(shown)._loss(module, batch)
        own = module.loss(module.asked(batch).logits, batch["label"])
        torch.testing.assert_close(loss, own if kind is TeachFirst else 0 * own)
    ((answer, seen),) = looking.seen
    frames = module.scale(batch["video"]).flatten(0, batch["video"].dim() - 5)
    assert frames.is_floating_point()
    assert torch.equal(seen["video"], frames)
    assert len(answer.logits) == len(seen["label"]) == len(batch["label"]) * views


def test_labels_of_any_whole_numbers_are_taught(module: Any) -> None:
    batch = clips(8).batch(range(8))
    first = TeachFirst(clips(8))
    loss = first._loss(module, {**batch, "label": batch["label"].int()})
    torch.testing.assert_close(loss, first._loss(module, batch))
    with pytest.raises(InputError, match="label"):
        first._loss(module, {name: batch[name] for name in batch if name != "label"})


def test_labels_that_are_not_the_models_are_not_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = command("--trainer.max_steps=0")
    of_ten = SyncMNIST(sklearn_digits("train"), num_digits=3, canvas=48, size=48, length=64)
    built.trainer.callbacks.insert(0, TeachFirst(of_ten, batch_size=64))
    with pytest.raises(InputError, match="label: expected 0 to 10, the model's classes"):
        built.trainer.fit(built.model, built.datamodule)


@pytest.mark.slow
def test_what_is_shown_teaches_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    built = command("--trainer.max_steps=0")
    module: Any = built.model
    unseen = SyncMNIST(
        *(sklearn_digits("test"),),
        num_digits=3,
        num_classes=5,
        frames=1,
        canvas=48,
        size=48,
        step=3,
        length=200,
    ).batch(range(200))

    def loss() -> float:
        module.eval()
        with torch.no_grad():
            asked = module.asked(unseen)
            value = float(module.auxiliary(asked.answer, asked.seen))
        module.train()
        return value

    before = loss()
    built.trainer.callbacks.insert(0, ShowFirst(clips(7680), batch_size=96))
    built.trainer.fit(module, built.datamodule)
    assert loss() < before - 0.1


@pytest.mark.slow
def test_a_run_that_goes_on_is_not_shown_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "first.yaml"
    path.write_text(
        "trainer:\n  callbacks:\n    - class_path: stgraph.training.ShowFirst\n"
        "      init_args:\n        batch_size: 8\n        clips:\n"
        "          class_path: stgraph.datasets.SyncMNIST\n          init_args:\n"
        "            digits: {class_path: stgraph.datasets.sklearn_digits, "
        "init_args: {split: train}}\n"
        "            num_digits: 3\n            num_classes: 5\n            frames: 1\n"
        "            canvas: 48\n            size: 48\n            length: 16\n"
        "    - stgraph.training.ChannelsLast\n"
    )
    fit = ["fit", *SMALL, "--config", str(path)]
    assert main([*fit, "--run=whole", "--trainer.max_epochs=2"]) == 0
    assert main([*fit, "--run=halves", "--trainer.max_epochs=2", "--trainer.max_steps=2"]) == 0
    read: Callable[[str], Any] = lambda run: torch.load(  # noqa: E731
        f"runs/{run}/checkpoints/last.ckpt", weights_only=True
    )
    assert read("halves")["callbacks"]["ShowFirst"] == {"shown": 16}
    more = [f"--trainer.max_epochs={n}" for n in (2,)]
    assert main([*fit, "--run=halves", "--ckpt_path=last", "--trainer.max_steps=2", *more]) == 0
    assert read("halves")["callbacks"]["ShowFirst"] == {"shown": 16}


@pytest.mark.slow
def test_what_cannot_be_shown_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"clips: expected a dataset with batch\(indices, device"):
        ShowFirst([1, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size: expected a whole number of at least 1"):
        ShowFirst(clips(2), batch_size=0)
    built = command("--model.auxiliary=null", "--trainer.max_steps=0")
    built.trainer.callbacks.insert(0, ShowFirst(clips(8)))
    with pytest.raises(InputError, match=r"model\.auxiliary: expected one that learns"):
        built.trainer.fit(built.model, built.datamodule)


def test_channels_last_changes_no_more_than_the_last_bits() -> None:
    model = recipes.motion_small().eval()
    video = clips(4, frames=3).batch(range(4))["video"].float() / 127.5 - 1
    with torch.no_grad():
        plain = model(video).logits
        module: Any = torch.nn.Module()
        module.model, module.auxiliary = model, NodeClasses(32, 5)
        ChannelsLast().setup(None, module, "fit")  # type: ignore[arg-type]
        torch.testing.assert_close(model(video).logits, plain)
    convolution = next(
        m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels > 1
    )
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("ckpt", "before", "shows"), [(None, 0, True), ("last.ckpt", 0, False), (None, 8, False)]
)
def test_they_are_shown_once_to_a_run_that_begins(
    ckpt: str | None, before: int, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, asked = TeachFirst(clips(8)), []
    monkeypatch.setattr(shown, "_show", lambda *told: asked.append(told))
    plain: Any = SimpleNamespace(world_size=1, ckpt_path=ckpt, precision_plugin=None)
    shown.load_state_dict({"shown": before})
    shown.on_fit_start(plain, None)  # type: ignore[arg-type]
    assert bool(asked) is shows


def test_several_processes_and_scaled_losses_are_refused() -> None:
    shown = TeachFirst(clips(8))
    several: Any = SimpleNamespace(world_size=2)
    with pytest.raises(InputError, match=r"trainer\.devices: expected one, where clips are shown"):
        shown.on_fit_start(several, None)  # type: ignore[arg-type]
    plugin = SimpleNamespace(scaler=object())
    scaled: Any = SimpleNamespace(world_size=1, precision="16-mixed", precision_plugin=plugin)
    with pytest.raises(InputError, match=r"trainer\.precision: expected one that scales no loss"):
        shown.on_fit_start(scaled, None)  # type: ignore[arg-type]
