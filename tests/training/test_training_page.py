"""The commands and files of docs/training.md are accepted as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from stgraph.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
FILES = {
    name: block
    for name, block in re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    if name.endswith((".py", ".yaml"))
}
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of the page has written its files down and made its first run."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "runs" / "first").mkdir(parents=True)
    shutil.copy(ROOT / "configs" / "demo_dyreg.yaml", tmp_path / "runs" / "first" / "config.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_page_has_files_and_commands() -> None:
    assert len(FILES) == 7
    assert len(COMMANDS) == 13


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_accepted(
    line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = shlex.split(line)
    assert program == "stgraph"
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--print_config"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("# lightning.pytorch")
