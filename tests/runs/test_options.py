"""What Lightning's trainer brings, with the library's models: it must hold here too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor, nn

from stgraph import SpaceTimeGraph, recipes
from stgraph.backbones import ConvStack
from stgraph.checks import InputError
from stgraph.classifiers import GraphClassifier
from stgraph.cli import main
from stgraph.datasets import MultiSyncMNIST, SyncMNIST, sklearn_digits
from stgraph.edges import FullEdges
from stgraph.kernels import tent
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import BoxNodes, GridNodes, WindowKernel
from stgraph.runs.options import check_numbers, options_of_lightning
from stgraph.training import ClassificationModule, ClipData, Constant, signed

sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
Weights = dict[str, Tensor]


def clips(length: int = 8, **options: Any) -> SyncMNIST:
    few = {"num_digits": 2, "num_classes": 3, "frames": 2, "canvas": 32, "size": 32}
    return SyncMNIST(sklearn_digits(), length=length, **{**few, **options})


def plain() -> GraphClassifier:
    """A model without batch norm, whose gradient is the mean of its clips'."""
    net = SpaceTimeGraph(
        GridNodes(8, (2,), edges=FullEdges()),
        {"time": TimeLayer(nn.GRU(8, 8)), "space": SpaceLayer(8)},
        ("time", "space"),
    )
    return GraphClassifier(ConvStack(1, 8), net, num_classes=4)


def fit(
    model: nn.Module,
    train: SyncMNIST,
    batch_size: int = 8,
    val: SyncMNIST | None = None,
    module: dict[str, Any] | None = None,
    **options: Any,
) -> Trainer:
    defaults: dict[str, Any] = {"optimizer": sgd, "schedule": Constant()}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(
        accelerator="cpu",
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, **options},
        **quiet,
    )
    one = ClassificationModule(model, **{**defaults, **(module or {})})
    trainer.fit(one, datamodule=ClipData(train, val, batch_size=batch_size))
    return trainer


def weights(module: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def test_two_half_batches_are_one_whole() -> None:
    found = []
    for options in ({"batch_size": 8}, {"batch_size": 4, "accumulate_grad_batches": 2}):
        seed_everything(0, verbose=False)
        model = plain()
        before = weights(model)
        trainer = fit(model, clips(), **options)
        assert trainer.global_step == 3
        found.append(weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-4, atol=1e-6)
    assert any(not torch.allclose(value, before[name]) for name, value in found[0].items())


MODELS: dict[str, Callable[[], nn.Module]] = {
    "DyReG": lambda: recipes.dyreg_small(num_classes=4),
    "RSTG": plain,
}


@pytest.mark.parametrize("model", MODELS)
def test_steps_in_bfloat16_stay_finite(model: str) -> None:
    one = MODELS[model]()
    before = weights(one)
    trainer = fit(one, clips(), precision="bf16-mixed", gradient_clip_val=1.0)
    assert trainer.callback_metrics["train/loss"].isfinite()
    assert all(value.isfinite().all() for value in one.state_dict().values())
    moved = [name for name, value in weights(one).items() if not torch.equal(value, before[name])]
    assert len(moved) > 0.9 * len(before)


@pytest.mark.parametrize("model", MODELS)
def test_half_precision_stays_finite(model: str) -> None:
    """As Lightning's ``16-mixed`` runs it on a GPU; on a CPU it takes bfloat16 instead."""
    one, batch = MODELS[model](), clips().batch(range(8))
    with torch.autocast("cpu", torch.float16):
        logits = one(signed(batch["video"])).logits
        loss = nn.functional.cross_entropy(logits, batch["label"])
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in one.parameters())


class Recorder(Callback):
    """Keeps the weights after each step, and those that are validated."""

    def __init__(self) -> None:
        self.steps: list[Weights] = []
        self.validated: list[Weights] = []

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        self.steps.append(weights(module))

    def on_validation_batch_start(self, trainer: Trainer, module: Any, *_: Any) -> None:
        self.validated.append(weights(module))


def test_a_moving_average_is_the_recurrence_and_is_what_is_validated() -> None:
    recorder = Recorder()
    model = plain()
    average = EMAWeightAveraging(decay=0.8)
    trainer = fit(
        model, clips(24), val=clips(4, seed=1), max_epochs=1, callbacks=[average, recorder]
    )
    assert len(recorder.steps) == 3
    expected = recorder.steps[0]
    for step in recorder.steps[1:]:
        expected = {name: 0.8 * old + 0.2 * step[name] for name, old in expected.items()}
    assert len(recorder.validated) == 1
    for name, value in expected.items():
        torch.testing.assert_close(recorder.validated[0][name], value)
        torch.testing.assert_close(trainer.lightning_module.get_parameter(name), value)
    assert any(not torch.allclose(v, recorder.steps[-1][name]) for name, v in expected.items())


@pytest.mark.slow
def test_known_boxes_reach_the_model_and_it_learns() -> None:
    """The ground-truth oracle of DyReG, on a tiny set."""
    data = MultiSyncMNIST(
        sklearn_digits(), num_digits=2, num_classes=2, frames=2, canvas=128, size=64, length=6
    )
    kernel = WindowKernel(tent, scale=2.0)
    nodes = BoxNodes(32, edges=FullEdges(), kernel=kernel)
    model = recipes.dyreg_multi_sync_mnist(data.num_labels, nodes=nodes)
    losses: list[float] = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            losses.append(float(trainer.callback_metrics["train/loss"]))

    trainer = fit(
        model,
        data,
        6,
        val=data,
        module={"hints": {"boxes": "box"}, "optimizer": partial(torch.optim.Adam, lr=1e-3)},
        max_epochs=6,
        callbacks=[Losses()],
        log_every_n_steps=1,
    )
    assert losses[-1] < 0.7 * losses[0]
    module: Any = trainer.lightning_module
    assert set(module.predict_step(data.batch([0, 1]), 0)) >= {"answer", "probability"}


def test_hints_that_the_clips_lack_are_told() -> None:
    with pytest.raises(InputError, match=r"hints: expected fields.*'box'.*got \['mask'\]"):
        fit(plain(), clips(), module={"hints": {"present": "mask"}})


def all_at_once(config: Callable[..., str]) -> str:
    model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
    average = "lightning.pytorch.callbacks.EMAWeightAveraging"
    return config(
        {
            "model.model": model,
            "model.groups": {
                "class_path": "stgraph.training.TSMGroups",
                "init_args": {"classifier": "net.5"},
            },
            "model.optimizer": {
                "class_path": "torch.optim.SGD",
                "init_args": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
            },
            "model.schedule": {
                "class_path": "stgraph.training.EpochMilestones",
                "init_args": {"at": [1]},
            },
            "trainer.precision": "bf16-mixed",
            "trainer.accumulate_grad_batches": 2,
            "trainer.gradient_clip_val": 1.0,
            "trainer.callbacks": [{"class_path": average, "init_args": {"decay": 0.5}}],
        }
    )


def checkpoint(run: str) -> dict[str, Any]:
    return torch.load(Path("runs") / run / "checkpoints" / "last.ckpt", weights_only=True)


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_with_all_of_them_is_described_in_yaml_and_resumed(config: Callable) -> None:
    """Batches of 40 clips by 8: steps are made after the 2nd, 4th and 5th of an epoch."""
    path = all_at_once(config)
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    whole = checkpoint("whole")
    assert whole["global_step"] == 6
    groups = whole["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx(
        [0.001 * rate for rate in (1, 2, 1, 5, 10)]
    )
    assert not same(whole["state_dict"], whole["current_model_state"])

    # each batch may be kept, but between the two of a step nothing is
    crashing = ["--trainer.callbacks+=parts_of_a_user.Crash", "--trainer.callbacks.step=5"]
    with pytest.raises(OSError, match="went down"):
        main(["fit", "--config", path, "--keep_minutes", "0", *crashing])
    assert checkpoint("small")["global_step"] == 5
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    for part in ("state_dict", "current_model_state"):
        assert same(whole[part], checkpoint("small")[part])


@pytest.mark.slow
def test_nothing_is_kept_between_the_batches_of_a_step(config: Callable) -> None:
    path = all_at_once(config)
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    crashing = ["--trainer.callbacks+=parts_of_a_user.CrashAtBatch", "--keep_minutes=0"]
    with pytest.raises(OSError, match="went down"):
        main(["fit", "--config", path, *crashing, "--trainer.callbacks.batch=3"])
    progress = checkpoint("small")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert progress["current"]["ready"] == 2  # of three, the last of which made no step
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    assert same(checkpoint("whole")["state_dict"], checkpoint("small")["state_dict"])


def test_what_lightning_finds_in_the_middle_is_told_in_a_line(
    config: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config({"trainer.val_check_interval": 7})  # of 5 batches
    assert main(["fit", "--config", path]) == 2
    assert "error: trainer: expected options that Lightning takes, got " in capsys.readouterr().err
    with pytest.raises(ValueError, match="of a part"), options_of_lightning(only_its_own=True):
        raise ValueError("of a part")  # with its traceback
    with pytest.raises(InputError, match="of a part"), options_of_lightning():
        raise ValueError("of a part")


@pytest.mark.parametrize("only_its_own", [False, True])
def test_a_package_that_is_missing_is_no_wrong_option(only_its_own: bool) -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="no such logger"),
        options_of_lightning(only_its_own),
    ):
        raise ModuleNotFoundError("no such logger", name="loggers")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"devices": 64, "num_nodes": 64}, None),
        ({"devices": "64"}, None),
        ({"devices": -1}, None),
        ({"devices": 65}, "trainer.devices: expected .* at most 64"),
        ({"devices": "65"}, "trainer.devices: expected .* at most 64"),
        ({"devices": -2}, "trainer.devices: expected .* at least -1"),
        ({"num_nodes": 65}, "trainer.num_nodes: expected .* at most 64"),
        ({"num_nodes": 0}, "trainer.num_nodes: expected .* at least 1"),
    ],
    ids=str,
)
def test_processes_are_bounded(option: dict[str, object], told: str | None) -> None:
    with nullcontext() if told is None else pytest.raises(InputError, match=told):
        check_numbers({"devices": 1, "num_nodes": 1, **option})


def test_numbers_that_mean_no_bound_are_taken() -> None:
    check_numbers({"devices": -1, "num_nodes": 1, "max_steps": -1, "limit_val_batches": 0})
    check_numbers({"devices": "auto", "num_nodes": 1, "fast_dev_run": True})
