"""What ``--PART.help`` answers, for classes, functions and parts of parts."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from stgraph import recipes
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.runs.part_help import _if_short, part_help

DEMO = str(Path(__file__).resolve().parents[2] / "configs" / "demo_dyreg.yaml")


def options(text: str | None, key: str) -> list[str]:
    """The options that a help lists, without those of their own help."""
    found = re.findall(rf"^  --{re.escape(key)}\.(\w+) ", text or "", re.M)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_has_help(name: str) -> None:
    text = part_help("fit", ["--model.model.help", f"stgraph.recipes.{name}"])
    assert options(text, "model.model") == list(
        inspect.signature(getattr(recipes, name)).parameters
    )
    assert len(str(text).splitlines()) < 150  # without the names of all modules of torch


@pytest.mark.parametrize("option", ["--model.help", "--data.help", "--trainer.help"])
def test_help_of_a_group_can_be_read(option: str) -> None:
    assert len(str(part_help("fit", [option])).splitlines()) < 400


@pytest.mark.parametrize("alias", ["nodes.WindowRule", "datasets.ClipBatch"])
def test_a_name_of_a_type_is_no_part(alias: str) -> None:
    with pytest.raises(InputError, match="expected a class or function, got"):
        part_help("fit", ["--data.train.help", f"stgraph.{alias}"])


@pytest.mark.parametrize(
    ("given", "key", "expected"),
    [
        (
            ["--model.model.init_args.nodes.help", "stgraph.nodes.GridNodes"],
            "model.model.nodes",
            "scales",
        ),
        (["--model.model.nodes.help=stgraph.recipes.small_grid"], "model.model.nodes", "width"),
        (["--config", DEMO, "--model.model.nodes.help"], "model.model.nodes", "num_nodes"),
        (["--config", DEMO, "--model.model.help"], "model.model", "num_classes"),
        (["--data.train.help", "stgraph.datasets.SyncMNIST"], "data.train", "digits"),
        (
            ["--data.train.init_args.digits.help", "stgraph.datasets.mnist"],
            "data.train.digits",
            "root",
        ),
        (["--data.help"], "data", "num_workers"),
        (["--model.help"], "model", "auxiliary"),
        (["--model.optimizer.help", "torch.optim.SGD"], "model.optimizer", "momentum"),
        (["--model.schedule.help"], "model.schedule", "warmup"),
        (["--model.groups.help", "stgraph.training.TSMGroups"], "model.groups", "classifier"),
        (
            ["--trainer.callbacks.help", "lightning.pytorch.callbacks.EarlyStopping"],
            "trainer.callbacks",
            "monitor",
        ),
    ],
)
def test_a_part_has_help(given: list[str], key: str, expected: str) -> None:
    assert expected in options(part_help("fit", given), key)


def test_what_an_option_passes_is_no_option() -> None:
    text = part_help("fit", ["--model.optimizer.help", "torch.optim.SGD"])
    assert "params" not in options(text, "model.optimizer")
    text = part_help("fit", ["--model.scale.help", "stgraph.training.imagenet"])
    assert text is not None
    assert text.endswith("It is passed as it stands, without options.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--model.model.help", "stgraph.datasets.SyncMNIST"], "expected a Module, or a function"),
        (["--model.model.help", "stgraph.datasets.mnist"], "expected a Module, or a function"),
        (["--model.model.help", "torch.nn.Lienar"], "no attribute 'Lienar'"),
        (["--model.model.help", "nowhere.Model"], "No module named 'nowhere'"),
        (["--model.model.help", "torch.nn"], "expected a class or function, got module"),
        (["--model.colour.help", "torch.nn.Linear"], "got colour; it has model, loss"),
        (["--config", DEMO, "--model.model.colour.help", "a.b.C"], "No module named 'a'"),
        (
            ["--config", DEMO, "--model.model.colour.help", "torch.nn.Linear"],
            "an option of stgraph.recipes.small.dyreg_small, got colour",
        ),
        (["--trainer.precision.help"], "expected the name of a class or function, got none"),
        (["--run.help", "torch.nn.Linear"], "expected an option of a part, got --run"),
        (["--model.auxiliary.help"], "expected the name of a class or function, got none"),
    ],
)
def test_a_part_that_is_none_is_told(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        part_help("fit", given)


@pytest.mark.parametrize(("names", "shown"), [(12, True), (13, False)])
def test_names_of_subclasses_are_listed_where_they_are_few(names: int, shown: bool) -> None:
    listed = re.fullmatch(".*", ", known subclasses:" + ",".join("abcdefghijklm"[:names]))
    assert listed is not None
    assert _if_short(listed) == (listed[0] if shown else "")


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.model.help", "stgraph.recipes.dyreg_small"]) == 0
    printed = capsys.readouterr().out
    assert "--model.model.rounds" in printed
    assert ":func:" not in printed
    assert main(["fit", "--model.model.help", "stgraph.datasets.mnist"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_help_is_answered_where_none_is_asked_for() -> None:
    assert part_help("fit", ["--config", DEMO, "--run", "a.help"]) is None


def test_a_package_that_a_module_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import nowhere_to_be_found\n\nNet = None\n"
    (tmp_path / "parts_that_lack.py").write_text(text)
    (tmp_path / "inner_parts").mkdir()
    (tmp_path / "inner_parts" / "that_lack.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("parts_that_lack.Net", "inner_parts.that_lack.Net"):
        with pytest.raises((InputError, ModuleNotFoundError), match="nowhere_to_be_found"):
            part_help("fit", ["--model.model.help", name])
    with pytest.raises(InputError, match="parts_that_are_not"):
        part_help("fit", ["--model.model.help", "parts_that_are_not.Net"])
