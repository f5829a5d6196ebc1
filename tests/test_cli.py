from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stgraph
from stgraph.cli import COMMANDS, main


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
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: stgraph" in capsys.readouterr().out


def test_an_unknown_command_is_told_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2
    assert "'fit'" in capsys.readouterr().err


def test_a_missing_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("stgraph.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(stgraph, "training", raising=False)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    assert main(["fit"]) == 2
    assert "needs lightning.pytorch; pip install 'stgraph-video[train" in capsys.readouterr().err


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stgraph", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout == f"stgraph {stgraph.__version__}\n"
