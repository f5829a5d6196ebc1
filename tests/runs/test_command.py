from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stgraph.cli import main
from stgraph.runs.command import Command

Config = Callable[..., str]


RICH = "lightning.pytorch.callbacks.RichProgressBar"
SUMMARY = "lightning.pytorch.callbacks.RichModelSummary"
QUICK = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}


def weights(run: str, name: str = "last") -> dict[str, torch.Tensor]:
    path = Path("runs") / run / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def metrics(run: str, runs: str = "runs", version: str = "version_0") -> list[dict[str, str]]:
    with Path(runs, run, "csv", version, "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_fit_learns_and_leaves_its_folder(config: Config) -> None:
    assert (
        main(
            [
                "fit",
                "--config",
                config({"trainer.max_epochs": 20, "model.optimizer": QUICK}),
                "--run",
                "learns",
            ]
        )
        == 0
    )
    losses = [float(row["train/loss"]) for row in metrics("learns") if row["train/loss"]]
    accuracies = [float(row["train/top1"]) for row in metrics("learns") if row["train/top1"]]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert accuracies[-1] > 0.8 > accuracies[0]
    folder = Path("runs/learns")
    assert {file.name for file in folder.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "csv",
        "tensorboard",
    }
    assert {file.name for file in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize("asked", [None, True])
def test_a_logger_that_is_not_named_is_ours(config: Config, asked: bool | None) -> None:
    path = config({"trainer.logger": asked, "data.val": None, "trainer.max_epochs": 1})
    assert main(["fit", "--config", path]) == 0
    left = {file.name for file in Path("runs/small").iterdir()}
    assert left == {"checkpoints", "config.yaml", "csv", "tensorboard"}


def test_the_saved_configuration_is_resolved_and_repeats_the_run(config: Config) -> None:
    assert main(["fit", "--config", config(), "--model.model.width", "5"]) == 0
    saved = yaml.safe_load(Path("runs/small/config.yaml").read_text())
    assert saved["model"]["model"]["init_args"] == {"width": 5, "classes": 7, "dropout": 0.0}
    assert saved["model"]["schedule"]["class_path"] == "stgraph.training.WarmupCosine"
    assert saved["seed_everything"] == 0
    assert saved["keep_minutes"] == 5
    assert main(["fit", "--config", "runs/small/config.yaml", "--run", "again"]) == 0
    assert same(weights("small"), weights("again"))


def test_a_model_that_diverged_is_tested_to_the_end(config: Config) -> None:
    far = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}}
    path = config({"trainer.max_epochs": 2, "model.optimizer": far})
    assert main(["fit", "--config", path, "--run", "far"]) == 0
    assert main(["test", "--config", path, "--run", "far", "--ckpt_path", "last"]) == 0
    told = json.loads(Path("runs/far/test.json").read_text())
    assert told["test/loss"] is None
    assert 0 <= told["test/top1"] <= 1


@pytest.mark.parametrize(
    ("command", "options", "more", "less"),
    [
        ("fit", [], {"_Best", "KeepLast", "LearningRateMonitor"}, {"Bar", "Size", "Report"}),
        ("fit", ["--trainer.enable_progress_bar=null"], {"Bar"}, set()),
        (
            "fit",
            ["--trainer.enable_progress_bar=true", f"--trainer.callbacks+={RICH}"],
            {"RichProgressBar"},
            {"Bar"},
        ),
        (
            "fit",
            ["--trainer.enable_progress_bar=true", f"--trainer.callbacks={RICH}"],
            {"RichProgressBar"},
            {"Bar"},
        ),
        ("fit", ["--trainer.enable_model_summary=null"], {"Size"}, {"ModelSummary"}),
        (
            "fit",
            ["--trainer.enable_model_summary=null", f"--trainer.callbacks+={SUMMARY}"],
            {"RichModelSummary"},
            {"Size"},
        ),
        ("fit", ["--trainer.enable_model_summary=true"], set(), {"Size"}),
        ("fit", ["--trainer.logger=false"], {"KeepLast"}, {"LearningRateMonitor"}),
        (
            "fit",
            ["--trainer.enable_checkpointing=false"],
            {"LearningRateMonitor"},
            {"_Best", "KeepLast", "RandomState"},
        ),
        ("fit", ["--data.val=null"], {"KeepLast", "RandomState"}, {"_Best"}),
        ("fit", ["--trainer.max_time=00:01:00:00"], {"SessionTime"}, set()),
        ("test", [], {"Report", "KeepLast"}, {"LearningRateMonitor", "SessionTime"}),
    ],
)
def test_a_command_has_the_callbacks_that_it_needs(
    config: Config, command: str, options: list[str], more: set[str], less: set[str]
) -> None:
    built = Command([command, "--config", config(), *options], run=False)
    names = {type(callback).__name__ for callback in built.trainer.callbacks}
    always = {"SoFar", "Metrics", "Decoded", "LeftOutClips", "Leave"}
    assert names >= more | always
    assert not names & less


def test_the_largest_seed_is_taken(config: Config) -> None:
    Command(["test", "--config", config(), f"--seed_everything={2**32 - 1}"], run=False)


def test_predictions_are_those_of_one_process(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    assert main(["predict", "--config", config(), *options]) == 2
    assert "trainer.devices: expected one device, got 2" in capsys.readouterr().err


def test_another_seed_gives_other_weights(config: Config) -> None:
    assert main(["fit", "--config", config()]) == 0
    assert main(["fit", "--config", config(), "--run", "other", "--seed_everything", "1"]) == 0
    assert not same(weights("small"), weights("other"))


@pytest.mark.parametrize(
    ("crash", "kept"),
    [(8, 7), pytest.param(6, 5, marks=pytest.mark.slow)],
    ids=["within an epoch", "after one"],
)
def test_a_resumed_run_ends_where_the_whole_run_ends(config: Config, crash: int, kept: int) -> None:
    # 5 steps an epoch, kept after the 2nd, 4th and 5th; dropout draws random numbers as it goes
    changes: dict[str, Any] = {"trainer.max_epochs": 3, "trainer.val_check_interval": 2}
    model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
    path = config({**changes, "model.model": model})
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    crashing = ["--trainer.callbacks+=parts_of_a_user.Crash", f"--trainer.callbacks.step={crash}"]
    with pytest.raises(OSError, match="went down"):
        main(["fit", "--config", path, *crashing])
    last = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == kept
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    assert not same(last["state_dict"], weights("whole"))
    assert same(weights("small"), weights("whole"))


@pytest.mark.slow
def test_an_interrupted_epoch_goes_on_from_the_batch_that_was_kept(config: Config) -> None:
    changes: dict[str, Any] = {"trainer.max_epochs": 2, "model.optimizer": QUICK}
    path = config(changes)
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    crashing = ["--trainer.callbacks+=parts_of_a_user.Crash", "--trainer.callbacks.step=3"]
    with pytest.raises(OSError, match="went down"):
        main(["fit", "--config", path, "--keep_minutes", "0", *crashing])
    last = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 3  # of 5 an epoch, with no validation before its end
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    assert same(weights("small"), weights("whole"))


@pytest.mark.slow
def test_a_run_is_not_overwritten(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", config()]) == 0
    before = weights("small")
    assert main(["fit", "--config", config(), "--seed_everything", "1"]) == 2
    assert "error: run: expected a new name" in capsys.readouterr().err
    assert main(["fit", "--config", config(), "--run", "other"]) == 0
    other = "runs/other/checkpoints/last.ckpt"
    assert main(["fit", "--config", config(), "--ckpt_path", other]) == 2
    assert same(before, weights("small"))
    mine = Path("runs/small/checkpoints/last.ckpt").resolve()  # of the run itself, wherever from
    assert main(["fit", "--config", config(), "--ckpt_path", str(mine)]) == 0
    assert (
        main(
            [
                "fit",
                "--config",
                config(),
                "--ckpt_path",
                f"runs/../{mine.parents[2].name}/small/checkpoints/last.ckpt",
            ]
        )
        == 0
    )


def test_a_trial_leaves_nothing_and_needs_no_new_name(config: Config) -> None:
    """As `fast_dev_run` promises: a batch of each stage, and nothing is kept."""
    trial = ["fit", "--config", config(), "--trainer.fast_dev_run", "true"]
    assert main(trial) == 0
    assert not Path("runs/small/checkpoints/last.ckpt").exists()
    assert main(["fit", "--config", config()]) == 0
    before = weights("small")
    assert main(trial) == 0
    assert same(before, weights("small"))


def test_any_part_is_swapped_by_its_class_path(config: Config) -> None:
    changes = {
        "model.model": {"class_path": "parts_of_a_user.recipe", "init_args": {"width": 4}},
        "model.loss": {
            "class_path": "torch.nn.CrossEntropyLoss",
            "init_args": {"label_smoothing": 0.2},
        },
        "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.25}},
        "model.schedule": {"class_path": "stgraph.training.Constant"},
    }
    assert main(["fit", "--config", config(changes)]) == 0
    assert weights("small")["model.net.1.weight"].shape == (4, 192)
    optimizer = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)[
        "optimizer_states"
    ][0]["param_groups"][0]
    assert optimizer["lr"] == 0.25
    assert optimizer["weight_decay"] == 0  # nothing of the default optimiser stays


def test_a_test_prints_top_1(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["fit", "--config", config({"trainer.max_epochs": 20, "model.optimizer": QUICK})]) == 0
    )
    capsys.readouterr()
    assert main(["test", "--config", "runs/small/config.yaml", "--ckpt_path", "last"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("test: top-1 ")
    assert float(line.split()[2]) > 80  # the clips that it was trained on
    assert ", top-5 " in line


@pytest.mark.slow
def test_a_run_says_what_its_reader_can_use(
    config: Config, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = config({"trainer.enable_model_summary": None, "data.val": None})
    assert main(["fit", "--config", path]) == 0
    assert "Tiny: 3,239 parameters" in caplog.messages
    said = caplog.text + "".join(capsys.readouterr())
    for idle in ("FLOPs", "TPU", "Tip:", "estimate number", "is zero"):
        assert idle not in said
    assert main(["fit", "--config", path, "--run=b", "--trainer.enable_model_summary=true"]) == 0
    assert "Trainable params" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_without_validation_clips_none_are_validated(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config({"data.val": None})
    assert main(["fit", "--config", path]) == 0
    assert "val/loss" not in metrics("small")[0]
    assert main(["validate", "--config", path]) == 2
    assert "data.val: expected a dataset" in capsys.readouterr().err


def test_a_validation_prints_top_1_and_leaves_the_checkpoints(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", config()]) == 0
    capsys.readouterr()
    kept = {file: file.read_bytes() for file in Path("runs/small/checkpoints").iterdir()}
    assert main(["validate", "--config", config(), "--ckpt_path", "best"]) == 0
    left = {file: file.read_bytes() for file in Path("runs/small/checkpoints").iterdir()}
    assert left == kept  # not those of a run that validates only
    line = capsys.readouterr().out.splitlines()[-1]
    best = max(float(row["val/top1"]) for row in metrics("small") if row["val/top1"])
    assert line.startswith(f"val: top-1 {100 * best:.2f} %")


@pytest.mark.slow
def test_predictions_are_written_in_order(config: Config) -> None:
    assert main(["fit", "--config", config()]) == 0
    assert main(["predict", "--config", config(), "--ckpt_path", "last"]) == 0
    with Path("runs/small/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(40))
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", config()]) == 0
    for command in ("test", "fit"):
        arguments = [command, "--config", config(), "--ckpt_path", "last", "--model.model.width=3"]
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert "expected the weights of this ClassificationModule" in message
        assert "model.net.1.weight [16, 192] for [3, 192]" in message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--colour=red", "--colour"),
        ("--model.model.widht=3", "widht"),
        ("--model.model=parts_of_a_user.Missing", "Missing"),
        ("--trainer.max_epochs=many", "max_epochs"),
        ("--weights_only=false", "weights_only"),
    ],
)
def test_an_unknown_option_fails_before_anything_runs(
    config: Config, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", config(), argument])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_bad_input_of_a_part_is_told_in_one_line(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = {"class_path": "stgraph.datasets.mnist", "init_args": {"root": str(tmp_path)}}
    part = {"class_path": "stgraph.datasets.SyncMNIST", "init_args": {"digits": digits}}
    assert main(["fit", "--config", config({"data.train": part})]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("stgraph fit: error: root: expected")


def test_a_missing_dataset_and_a_bad_size_are_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--config", config({"data.test": None})]) == 2
    assert "data.test: expected a dataset, got none" in capsys.readouterr().err
    assert main(["test", "--config", config(), "--trainer.default_root_dir=here"]) == 2
    assert "trainer.default_root_dir: expected --runs and --run" in capsys.readouterr().err
    assert main(["test", "--config", config({"data.batch_size": 0})]) == 2
    assert "batch_size: expected a whole number" in capsys.readouterr().err


def overshooting(config: Config) -> str:
    """A run whose second epoch is worse than its first."""
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.3}}
    constant = {"class_path": "stgraph.training.Constant"}
    return config({"model.optimizer": sgd, "model.schedule": constant, "seed_everything": 2})


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True], ids=["in place", "moved"])
def test_a_resumed_run_knows_its_best(
    config: Config, capsys: pytest.CaptureFixture[str], moved: bool
) -> None:
    path = overshooting(config)
    assert main(["fit", "--config", path, "--trainer.max_epochs", "1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    best = torch.load("runs/small/checkpoints/best.ckpt", weights_only=True)
    if moved:
        Path("runs").rename("moved")
    runs = ["--runs", "moved" if moved else "runs"]
    assert main(["fit", "--config", path, "--ckpt_path", "last", *runs]) == 0
    values = [
        float(row["val/top1"])
        for version in ("version_0", "version_1")
        for row in metrics("small", runs[1], version)
        if row["val/top1"]
    ]
    assert values[0] > values[1]
    assert line == f"runs/small: best val/top1 {100 * values[0]:.1f} %"
    assert capsys.readouterr().out.splitlines()[-1] == line.replace("runs", runs[1])
    again = torch.load(Path(runs[1], "small/checkpoints/best.ckpt"), weights_only=True)
    assert again["epoch"] == 0
    assert same(best["state_dict"], again["state_dict"])


@pytest.mark.slow
def test_a_new_run_from_anothers_checkpoint_has_a_best_of_its_own(config: Config) -> None:
    path = overshooting(config)
    assert main(["fit", "--config", path, "--trainer.max_epochs", "1"]) == 0
    other = ["--run", "other", "--ckpt_path", "runs/small/checkpoints/last.ckpt"]
    assert main(["fit", "--config", path, *other]) == 0
    assert torch.load("runs/other/checkpoints/best.ckpt", weights_only=True)["epoch"] == 1
    assert "0" not in {row["epoch"] for row in metrics("other")}  # and rows of its own


@pytest.mark.slow
def test_only_a_resume_that_succeeds_replaces_the_configuration(config: Config) -> None:
    path = config()
    assert main(["fit", "--config", path, "--trainer.max_epochs", "1"]) == 0
    saved = Path("runs/small/config.yaml").read_text()
    resume = ["fit", "--config", path, "--ckpt_path", "last"]
    assert main([*resume, "--model.model.width", "3"]) == 2
    assert main([*resume, "--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr=1"]) == 2
    assert main(["fit", "--config", path, "--trainer.fast_dev_run=true"]) == 0
    assert Path("runs/small/config.yaml").read_text() == saved
    assert main([*resume, "--trainer.max_epochs", "2"]) == 0
    assert "ckpt_path" not in yaml.safe_load(Path("runs/small/config.yaml").read_text())
    assert {file.name for file in Path("runs/small").iterdir() if file.is_file()} == {"config.yaml"}
    assert main(["fit", "--config", "runs/small/config.yaml", "--run", "again"]) == 0
    assert checkpoint("again")["epoch"] == 1
    assert checkpoint("again")["global_step"] == 10


def checkpoint(run: str, name: str = "last") -> dict[str, Any]:
    path = Path("runs") / run / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr=0.1"], "optimizer torch."),
        (["--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr=0.1"], "lr 0.1 for 0.01"),
        (["--model.schedule", "stgraph.training.Constant"], "schedule stgraph.training.schedules."),
        (["--model.schedule.warmup", "0.5"], "schedule.warmup 0.5 for 0.1"),
        (
            [
                "--model.groups",
                "stgraph.training.TSMGroups",
                "--model.groups.classifier",
                "net.5",
            ],
            "groups 5 for 1",
        ),
    ],
    ids=["optimiser", "rate", "schedule", "option", "groups"],
)
def test_a_run_is_resumed_as_it_was_trained(
    config: Config, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    adamw = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}}
    path = config({"trainer.max_epochs": 1, "model.optimizer": adamw})
    assert main(["fit", "--config", path]) == 0
    resume = ["fit", "--config", path, "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main([*resume, *changes]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "ckpt_path: expected to be resumed as it was trained" in error
    assert message in error
    assert main(["test", "--config", path, "--ckpt_path", "last", *changes]) == 0
    assert main(resume) == 0


@pytest.mark.slow
def test_a_part_of_an_epochs_batches_is_a_whole_epoch(config: Config) -> None:
    """What is resumed after 3 batches of 5 goes on with the next epoch, as if never left."""
    constant = {"class_path": "stgraph.training.Constant"}
    path = config({"trainer.limit_train_batches": 3, "model.schedule": constant})
    seen = ["--trainer.callbacks+=parts_of_a_user.Seen"]
    assert main(["fit", "--config", path, "--run", "whole", *seen]) == 0
    whole = Path("seen_0.txt").read_text()
    Path("seen_0.txt").unlink()
    assert main(["fit", "--config", path, *seen, "--trainer.max_epochs=1"]) == 0
    assert main(["fit", "--config", path, *seen, "--ckpt_path=last"]) == 0
    assert Path("seen_0.txt").read_text() == whole
    assert same(weights("small"), weights("whole"))


@pytest.mark.slow
def test_the_state_of_weights_alone_is_not_resumed(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", config()]) == 0
    kept = {"state_dict", "pytorch-lightning_version", "epoch", "global_step", "loops"}
    bare = {name: value for name, value in checkpoint("small").items() if name in kept}
    torch.save(bare, "bare.ckpt")
    assert main(["fit", "--config", config(), "--run=b", "--ckpt_path=bare.ckpt"]) == 2
    assert "ckpt_path: expected the state of a fit" in capsys.readouterr().err
    assert main(["test", "--config", config(), "--ckpt_path=bare.ckpt"]) == 0
    torch.save({"state_dict": weights("small")}, "bare.ckpt")
    assert main(["test", "--config", config(), "--ckpt_path=bare.ckpt"]) == 2
    assert "ckpt_path: expected a checkpoint of `stgraph fit`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "file"])
def test_a_run_must_have_the_name_of_a_folder(
    config: Config, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("runs").mkdir()
    Path("runs/file").touch()
    assert main(["fit", "--config", config(), "--run", name]) == 2
    assert "run: expected the name of a folder" in capsys.readouterr().err


def test_without_clips_nothing_is_predicted(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--config", config(), "--trainer.limit_predict_batches=0"]) == 2
    assert "data.predict: expected clips to predict" in capsys.readouterr().err
    assert not Path("runs/small/predictions.csv").exists()


PLATEAU = "stgraph.training.Plateau"


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, ["--model.schedule.monitor=val/los"]),
        ({"data.val": None}, []),
        ({"trainer.check_val_every_n_epoch": None, "trainer.val_check_interval": 2}, []),
    ],
    ids=["mistyped", "no validation", "validations by the step"],
)
def test_a_plateau_of_what_is_not_logged_is_told_at_once(
    config: Config, capsys: pytest.CaptureFixture[str], changes: dict, options: list[str]
) -> None:
    path = config({"model.schedule": {"class_path": PLATEAU}, **changes})
    assert main(["fit", "--config", path, *options]) == 2
    assert "schedule: expected a monitor" in capsys.readouterr().err
    assert not Path("runs/small/checkpoints").exists()


def test_a_plateau_waits_for_validations(config: Config) -> None:
    plateau = {"class_path": PLATEAU, "init_args": {"patience": 0}}
    changes = {"model.schedule": plateau, "trainer.check_val_every_n_epoch": 2}
    path = config({**changes, "trainer.max_epochs": 5})
    assert main(["fit", "--config", path]) == 0
    assert checkpoint("small")["lr_schedulers"][0]["last_epoch"] == 2


def test_a_hint_that_the_model_does_not_take_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", config({"model.hints": {"boxes": "index"}})]) == 2
    assert "hints: expected what Tiny takes, got ['boxes']" in capsys.readouterr().err


def test_epochs_shorter_than_what_is_between_two_logs_are_logged(config: Config) -> None:
    assert main(["fit", "--config", config({"trainer.log_every_n_steps": None})]) == 0
    assert len([row for row in metrics("small") if row["train/loss"]]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["EpochMilestones", "Plateau"])
def test_a_schedule_by_the_epoch_is_resumed_after_one(config: Config, schedule: str) -> None:
    options = {"EpochMilestones": {"at": [1, 2]}, "Plateau": {"patience": 0}}[schedule]
    part = {"class_path": f"stgraph.training.{schedule}", "init_args": options}
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.3}}
    path = config({"model.schedule": part, "model.optimizer": sgd, "trainer.max_epochs": 4})
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    for epochs in (2, 3, 4):
        resume = ["--ckpt_path=last", f"--trainer.max_epochs={epochs}"]
        assert main(["fit", "--config", path, *resume]) == 0
    rates = checkpoint("whole")["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rates < 0.3
    assert same(weights("small"), weights("whole"))
