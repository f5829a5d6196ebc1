from __future__ import annotations

import errno
import inspect
import io
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import stgraph
from stgraph.applications import demo, demo_video, export, extract, predict, show, study
from stgraph.applications import inspect as applications_inspect
from stgraph.cli import COMMANDS, _apart, gathered, main
from stgraph.commands import demo as commands_demo
from stgraph.commands import demo_video as commands_demo_video
from stgraph.commands import export as commands_export
from stgraph.commands import extract as commands_extract
from stgraph.commands import inspect as commands_inspect
from stgraph.commands import predict as commands_predict
from stgraph.commands import show as commands_show
from stgraph.commands import study as commands_study
from stgraph.commands.described import described
from stgraph.commands.overview import PURPOSES, _row, overview
from stgraph.training import ClassificationModule, ClipData


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in COMMANDS)


def test_help_does_not_wait_for_torch() -> None:
    source = "import sys\ntry:\n    __import__('stgraph.cli').cli.main(['--help'])\n"
    source += "except SystemExit:\n    sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", source], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_does_not_wait_for_torch(command: str) -> None:
    source = f"import sys\ntry:\n    __import__('stgraph.cli').cli.main(['{command}', '--help'])\n"
    source += "except SystemExit as stop:\n    sys.exit(stop.code or 'torch' in sys.modules)"
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", source], check=True, stdout=subprocess.DEVNULL)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < 4


def test_nothing_at_all_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed, said = capsys.readouterr()
    assert printed.startswith("usage: stgraph")
    assert "\n  show " in printed
    assert said == ""


def test_the_help_of_a_run_is_short_and_begins_with_our_parts() -> None:
    lines = overview("fit").splitlines()
    assert len(lines) < 90
    assert max(map(len, lines)) <= 100
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert [title.split()[1] for title in titles[:4]] == ["run:", "model", "data:", "trainer"]


@pytest.mark.parametrize(("letters", "lines"), [(27, 2), (28, 3)])
def test_texts_of_the_help_stand_in_one_column(letters: int, lines: int) -> None:
    """An option that reaches into it has a line of its own."""
    option = "--" + (letters - 2) * "x"
    told = _row(option, "a" * 70 + " b")
    assert len(told) == lines
    assert all(len(line) == 100 and line[29] == " " for line in told if "a" in line)
    assert told[-1] == 30 * " " + "b"
    assert told[0].split()[0] == option


def test_the_help_of_a_run_says_all_that_docstrings_do() -> None:
    """Of an argument with several lines, too."""
    section = (inspect.getdoc(ClassificationModule) or "").partition("Args:\n")[2]
    told = re.findall(r"^ {4}\w+: ((?:.|\n {8})*)", section.partition("\n\n")[0], re.M)
    plain = [re.sub(r":\w+:`~([\w.]*\.)(\w+)`", r"\2", text).replace("``", "") for text in told]
    assert sum("\n" in text for text in plain) > 2
    said = "".join(overview("fit").split())  # lines break at hyphens, too
    assert [text for text in plain if "".join(text.split()) not in said] == []


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_the_help_of_a_run_names_options_that_there_are(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of ours are there, and all that is there is an option of the parser."""
    with pytest.raises(SystemExit) as stop:
        main([command, "--help.all"])
    assert stop.value.code == 0
    everything = capsys.readouterr().out
    told = re.findall(r"^  --([\w.]+)", overview(command), re.M)
    assert ("keep_minutes" in told) == (command == "fit")  # what only a training can do
    ours = [name.removeprefix("data.") for name in told if name.startswith("data.")]
    assert ours == list(inspect.signature(ClipData).parameters)
    model = [name.removeprefix("model.") for name in told if name.startswith("model.")]
    assert model == list(inspect.signature(ClassificationModule).parameters)
    known = {f"data.{name}" for name in ours} | {"help.all", "PART.help"}
    missing = [n for n in told if n not in known and not re.search(rf"--{n}[ ,=\]]", everything)]
    assert missing == []


@pytest.mark.parametrize(
    ("command", "function"),
    [
        (commands_demo.demo, demo.run),
        (commands_demo_video.demo_video, demo_video.run),
        (commands_show.show, show.run),
        (commands_extract.extract, extract.run),
        (commands_export.export, export.run),
        (commands_inspect.inspect, applications_inspect.run),
        (commands_predict.predict, predict.run),
        (commands_study.study, study.run),
    ],
)
def test_a_command_has_the_options_of_its_function(
    command: Callable[..., object], function: Callable[..., object]
) -> None:
    assert inspect.signature(command) == inspect.signature(function)
    assert command.__doc__ == function.__doc__


def test_words_that_a_shell_writes_out_are_one_option() -> None:
    words = ["--ckpt", "x", "--video", "a.mp4", "-", "b.mp4", "--out=y"]
    assert gathered(words) == ["--ckpt", "x", '--video=["a.mp4", "-", "b.mp4"]', "--out=y"]
    assert gathered(["--video=a.mp4", "--ckpt", "x"]) == ["--video=a.mp4", "--ckpt", "x"]
    assert gathered(["--video", "--help"]) == ["--help"]


def test_options_of_a_run_may_stand_anywhere_among_those_of_a_command() -> None:
    words = "--ckpt a --data.root b --out c --trainer=d --model.x+=e f --split g -1 --datasets h"
    mine, of_run = _apart(words.split())
    assert mine == ["--ckpt", "a", "--out", "c", "--split", "g", "-1", "--datasets", "h"]
    assert of_run == ["--data.root", "b", "--trainer=d", "--model.x+=e", "f"]


def test_the_help_of_answers_to_videos(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--video", "--help"])
    assert stop.value.code == 0
    assert "--piece PIECE" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "stgraph predict --video --help" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["--colour"],
        ["fit", "--colour=red"],
        ["fit", "--trainer.max_epochs=many"],
        ["fit", "--model.model=nowhere.Model"],
        ["fit", "--config=nowhere.yaml"],
        ["fit", "--model.model.help=nowhere.Model"],
        ["fit"],
        ["test", "--data.colour=red"],
        ["show", "--colour", "red"],
        ["show", "--ckpt=x", "--index=first"],
        ["show", "--ckpt=x", "--split=all"],
        ["demo", "--steps=many"],
        ["demo-video", "--digits=letters"],
        ["inspect"],
        ["inspect", "nowhere"],
        ["inspect", ".", "--decode=some"],
        ["predict", "--video"],
        ["predict", "--video", "nowhere.mp4", "--ckpt", "x"],
        ["predict", "--video=camera:lavfi:testsrc", "--ckpt", "nowhere.ckpt"],
        ["show", "--ckpt=x", "--video=nowhere.mp4"],
        ["export"],
        ["export", "--ckpt=x", "--out=y.pt2"],
        ["export", "--ckpt=x", "--out=y"],
        ["study"],
        ["study", "nowhere.yaml"],
        ["study", "configs/demo.yaml"],
        ["study", "nowhere.yaml", "--share=3/2"],
        ["study", "nowhere.yaml", "--only=half"],
        ["extract"],
        ["extract", "--ckpt=x"],
        ["extract", "--ckpt=x", "--out=y", "--options=z"],
        ["extract", "--ckpt=x", "--out=y", "--graphs=videos"],
        ["extract", "--ckpt=x", "--out=y", "--data.root=z"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert len(said.splitlines()) == 1
    assert re.match(r"stgraph( [\w-]+)?: error: ", said)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = ""
    for word in ("-h", "--help"):
        with pytest.raises(SystemExit) as stop:
            main([command, word])
        assert stop.value.code == 0
        before, printed = printed, capsys.readouterr().out
    assert before == printed
    assert "usage: stgraph" in printed
    headings = re.findall(r"^(\S.*):$", printed, re.MULTILINE)
    if command in PURPOSES:  # it makes a run
        parts = ["the run", "the model and its training", "the data"]
        assert headings == [*parts, "the trainer (Lightning's)", "more"]
    else:  # no names of functions and classes
        assert headings in (["options"], ["positional arguments", "options"])


def test_an_unknown_command_is_told_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2
    assert "'fit'" in capsys.readouterr().err


def test_a_missing_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for room in ("training", "runs"):
        for name in [name for name in sys.modules if name.startswith(f"stgraph.{room}")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(stgraph, room, raising=False)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    assert main(["fit"]) == 2
    assert "needs lightning.pytorch; pip install 'stgraph-video[train" in capsys.readouterr().err


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stgraph", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout == f"stgraph {stgraph.__version__}\n"


def test_parts_of_a_user_are_found_in_the_folder_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the installed command is started: that folder is not on the path yet."""
    text = "from torch import nn\n\nclass Wide(nn.Module):\n    def __init__(self, by: int): ..."
    (tmp_path / "lies_in_this_folder.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    elsewhere = [folder for folder in sys.path if folder not in ("", str(tmp_path))]
    monkeypatch.setattr(sys, "path", elsewhere)
    with suppress(SystemExit):
        main(["fit", "--model.model.help", "lies_in_this_folder.Wide"])
    assert "--model.model.by" in capsys.readouterr().out


def test_a_package_for_pictures_that_is_absent_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["show", "--count", "1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == "stgraph show: error: needs matplotlib; pip install 'stgraph-video[train,viz]'"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bad", "status"), [(0, 0), (1, 1), (2, 1), (None, 0), ("page", 0)])
def test_the_exit_status_says_whether_anything_was_bad(
    bad: object, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stgraph.cli._find", lambda command, options: lambda options: bad)
    assert main(["inspect", "clips"]) == status


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left"), 2, "error: No space left"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, "nobody reads its output any more"),
    ],
    ids=["full", "left"],
)
def test_output_that_is_lost_at_the_very_end_is_told(
    error: OSError,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was printed lies in a buffer, and whether it can be written shows when it is emptied."""

    class Buffered(io.StringIO):
        def flush(self) -> None:
            raise error

    monkeypatch.setattr("stgraph.cli._find", lambda command, options: lambda options: 0)
    monkeypatch.setattr(sys, "stdout", Buffered())
    assert main(["inspect", "clips"]) == status
    assert capsys.readouterr().err == f"stgraph inspect: {told}\n"


@pytest.mark.parametrize("name", ["stgraph", "stgraph.nowhere", None])
def test_a_part_of_ours_that_is_missing_is_no_extra(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(command: str, options: object) -> object:
        raise ModuleNotFoundError("gone", name=name)

    monkeypatch.setattr("stgraph.cli._find", find)
    with pytest.raises(ModuleNotFoundError, match="gone"):
        main(["inspect", "clips"])


@pytest.mark.parametrize(
    "command",
    [
        *(commands_demo, commands_demo_video, commands_export, commands_extract),
        *(commands_inspect, commands_predict, commands_show, commands_study),
    ],
    ids=lambda command: command.__name__.rpartition(".")[2],
)
def test_a_command_has_the_docstring_and_the_options_of_what_it_runs(command) -> None:
    """Read without importing it, and equal to what an import has."""
    name = command.__name__.rpartition(".")[2]
    whole = __import__(f"stgraph.applications.{name}", fromlist=["run"]).run
    light = described(name)
    assert inspect.getdoc(light) == inspect.getdoc(whole)
    assert inspect.getdoc(light)
    assert str(inspect.signature(light)) == str(inspect.signature(whole))
