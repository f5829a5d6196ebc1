"""Configurations that ask for more than there is end with a sentence and status 2."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import get_loader

from stgraph.cli import main
from stgraph.runs.configuration import bounded_yaml
from stgraph.training import model_of_run

Config = Callable[..., str]

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)
)


def refused(*arguments: str) -> bool:
    """Whether a command ends with status 2, of its parser or of ours, and soon."""
    begun = time.monotonic()
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    return status == 2 and time.monotonic() - begun < 20


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("runs").exists()


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), "YAML of at most 100000 values"),
        (b"run: " + b"[" * 500, "nested at most 64 deep"),
        (b"run: " + b"[" * 10**5, "nested at most 64 deep"),
        (b"run: &a [*a]", r"aliases of what stands before them"),
        (b"run: " + b"9" * 10**4, "numbers of at most 32 digits"),
        (b"# " + b"x" * 2**21, "more than 1048576 bytes"),
        (b"run: \xff\xfe", "does not load"),
        (b"run: \0", ""),
        (b"\x1f\x8b" + bytes(100), "does not load"),
    ],
    ids=["aliases", "deep", "deeper", "itself", "digits", "long", "bytes", "null", "gzip"],
)
def test_configurations_that_are_none(
    content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_bytes(content)
    assert refused("fit", "--config", "config.yaml")
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("_in_a_folder")
def test_values_that_are_bombs(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused("fit", "--model.model", "{" + BOMB.replace("\n", ", ") + "}")
    assert "YAML of at most 100000 values" in capsys.readouterr().err


DATA = {
    "class_path": "stgraph.datasets.SyncMNIST",
    "init_args": {
        "digits": {"class_path": "stgraph.datasets.sklearn_digits"},
        "num_digits": 2,
        "num_classes": 5,
        "frames": 2,
        "canvas": 24,
        "size": 16,
        "length": 4,
    },
}
MODEL = "stgraph.recipes."


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a configuration of our own parts with changes, and return its path."""
    monkeypatch.chdir(tmp_path)

    def write(data: dict[str, Any], recipe: str, arguments: dict[str, Any], **more: Any) -> str:
        clips = {**DATA, "init_args": {**DATA["init_args"], **data}}
        trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
        content = {
            "trainer": {**trainer, "logger": False, "num_sanity_val_steps": 0},
            "model": {"model": {"class_path": MODEL + recipe, "init_args": arguments}},
            "data": {"train": clips, "batch_size": 2, **more},
        }
        Path("config.yaml").write_text(yaml.safe_dump(content))
        return "config.yaml"

    return write


def part(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


MANY = 10**9
HUGE: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "rounds": ({}, "dyreg_small", {"rounds": MANY}, "rounds: expected a whole number of at most"),
    "rounds^3": ({}, "dyreg_small", {"rounds": MANY**3}, "rounds: expected"),
    "classes": ({}, "dyreg_small", {"num_classes": MANY}, "config: expected tensors of at most"),
    "channels": ({}, "rstg_sync_mnist", {"channels": MANY}, "config: expected"),
    "channels^3": ({}, "rstg_sync_mnist", {"channels": MANY**3}, "channels: expected a whole"),
    "channels, smaller": ({}, "rstg_sync_mnist", {"channels": 10**6}, "config: expected tensors"),
    "scales": ({}, "rstg_sync_mnist", {"scales": [MANY]}, "scales: expected"),
    "scales, smaller": ({}, "rstg_sync_mnist", {"scales": [65]}, "scales: expected grids of at"),
    "nodes": (
        {},
        "dyreg_small",
        {"nodes": part(MODEL + "small_regions", num_nodes=MANY)},
        "num_nodes: expected a whole number of at most 4096",
    ),
    "width": ({}, "dyreg_small", {"nodes": part(MODEL + "small_regions", width=MANY)}, "expected"),
    "a part of a part": (
        {},
        "dyreg_small",
        {"nodes": part("stgraph.nodes.PointNodes", channels=MANY**3)},
        "channels: expected a whole number of at most",
    ),
    "frames": ({"frames": MANY}, "dyreg_small", {}, "frames: expected a whole number of at most"),
    "frames, smaller": ({"frames": 10**5, "canvas": 4096, "size": 4096}, "dyreg_small", {}, "indi"),
    "canvas": ({"canvas": MANY}, "dyreg_small", {}, "canvas: expected a whole number of at most"),
    "size": ({"size": MANY}, "dyreg_small", {}, "size: expected a whole number of at most"),
    "length": ({"length": MANY}, "dyreg_small", {}, "length: expected a whole number of at most"),
    "digits": ({"num_digits": MANY}, "dyreg_small", {}, "num_digits: expected a whole number of"),
    "digit classes": ({"num_classes": MANY}, "dyreg_small", {}, "num_classes: expected a whole"),
    "infinite": ({"p_none": 10**400}, "dyreg_small", {}, ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HUGE)
def test_numbers_beyond_all_memory(
    described: Callable[..., str], case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    *changes, message = HUGE[case]
    assert refused("fit", "--config", described(*changes))
    assert message in capsys.readouterr().err
    assert not Path("runs/run/checkpoints").exists()


def test_parts_of_others_are_measured_too(
    described: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(described({}, "dyreg_small", {}))
    content = yaml.safe_load(path.read_text())
    content["model"]["model"] = part("torch.nn.Linear", in_features=MANY, out_features=4)
    path.write_text(yaml.safe_dump(content))
    assert refused("fit", "--config", str(path))
    assert "config: expected tensors of at most 2147483648 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--seed_everything", "4294967296"],
            "seed_everything: expected a whole number of at most",
        ),
        (["--seed_everything=-1"], "seed_everything: expected a whole number of at least 0"),
        (["--trainer.devices=1000000000"], "trainer.devices: expected a whole number of at most"),
        *(
            ([f"--trainer.devices={text}"], "trainer.devices: expected a whole number of at most")
            for text in ("1_000_000_000", "+1000000000", " 1000000000")
        ),
        (["--trainer.devices=²"], "trainer: expected options that Lightning takes"),
        (["--trainer.devices=1000000000,"], "trainer: expected options that Lightning takes"),
        (["--trainer.accumulate_grad_batches=99999999999999999999"], "at most 2147483647"),
        (["--trainer.max_time=x"], "trainer: expected options that Lightning takes"),
        (["--trainer.accelerator=tpu"], "trainer: expected options that Lightning takes"),
        (["--keep_minutes=-1"], "keep_minutes: expected minutes, 0 or more, got -1"),
        (["--trainer.num_nodes=1000000000"], "trainer.num_nodes: expected a whole number of at m"),
        (
            ["--trainer.max_epochs=-5"],
            "trainer: expected options that Lightning takes, got `max_ep",
        ),
    ],
)
def test_options_of_the_trainer_are_told_too(
    described: Callable[..., str],
    option: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused("fit", "--config", described({}, "dyreg_small", {}), *option)
    assert message in capsys.readouterr().err


def test_a_batch_beyond_all_memory(
    described: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = described({"length": 10**5, "size": 4096}, "dyreg_small", {}, batch_size=10**9)
    assert refused("fit", "--config", path)
    assert "indices: expected a batch of at most" in capsys.readouterr().err


def run(folder: Path, config: str, ckpt: bytes = b"") -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    (folder / "checkpoints" / "best.ckpt").write_bytes(ckpt)
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BOMB, "YAML of at most"),
        ("model: 3", "a configuration of `stgraph fit`, got another"),
        (
            "model: {model: {class_path: torch.nn.Linear, init_args: {in_features: 1000000000, "
            "out_features: 1000000000}}}",
            "model: expected tensors of at most",
        ),
        ("model: {model: {class_path: torch.nn.ReLU}}", "best.ckpt, which does not load"),
    ],
)
def test_runs_that_are_none(
    tmp_path: Path, config: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from stgraph.checks import InputError

    folder = run(tmp_path / "run", config)
    with pytest.raises(InputError) as caught:
        model_of_run(folder)
    assert message in str(caught.value)


def test_showing_what_is_no_checkpoint(
    described: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = described({}, "dyreg_small", {"num_classes": 11})
    os.mkfifo("pipe.ckpt")
    torch.save({"state_dict": {"a": [1, 2]}}, "other.ckpt")
    Path("text.ckpt").write_text("text")
    for ckpt in ("pipe.ckpt", "text.ckpt", "other.ckpt", "none.ckpt", "."):
        assert refused("show", "--ckpt", ckpt, "--config", config, "--out", "page.html")
        assert f"{ckpt}" in capsys.readouterr().err or ckpt == "other.ckpt"
    assert not Path("page.html").exists()


@pytest.mark.parametrize("text", ["a: 1", "{"])
def test_the_parser_loads_as_before_after_a_command(text: str) -> None:
    """After one that ends in an error, too."""
    before = get_loader("yaml")
    with suppress(RuntimeError), bounded_yaml():
        assert get_loader("yaml") is not before
        if text == "{":
            raise RuntimeError("in the middle")
    assert get_loader("yaml") is before
