"""docs/data.md runs as it stands there: its files, its commands and its program."""

from __future__ import annotations

import csv
import re
import shlex
import sys
from pathlib import Path

import pytest

from stgraph.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {
    found[1]: block
    for _, block in BLOCKS
    if (found := re.match(r"# (\S+\.(?:py|yaml))\n", block)) is not None
}
COMMANDS = [line for kind, block in BLOCKS if kind == "console" for line in block.splitlines()]
COMMANDS = [line for line in COMMANDS if "inspect" not in line]  # of videos that are not here
(PROGRAM,) = (
    block for kind, block in BLOCKS if kind == "python" and block.startswith("from light")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader has written the page's files."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # of the page's own loaders
@pytest.mark.slow
def test_the_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 9
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        assert program == "stgraph"
        own = arguments[0] in ("show", "extract")
        assert main([*arguments, *([] if own else quiet)]) == 0, line
    printed = capsys.readouterr().out
    assert printed.count("\ntest: top-1 ") == 2
    for run in ("moving", "module"):
        with Path("runs", run, "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["index"]) for row in rows] == list(range(32))
        assert [int(row["label"]) for row in rows] == [k % 2 for k in range(32)]
    assert "<html" in Path("moving.html").read_text()
    assert not Path("runs/module/checkpoints/best.ckpt").exists()


def test_the_whole_batches_train(folder: Path) -> None:
    options = ["--trainer.accelerator=cpu", "--trainer.fast_dev_run=true", "--data.num_workers=0"]
    assert (
        main(["fit", "--config", "moving.yaml", "--data.train", "my_batches.Noise", *options]) == 0
    )


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_the_program_runs(folder: Path) -> None:
    names: dict[str, object] = {}
    program = PROGRAM.replace("max_epochs=1", "max_epochs=1, log_every_n_steps=1")
    exec(compile(program, "data.md", "exec"), names)
    assert getattr(names["trainer"], "global_step") == 2  # noqa: B009
