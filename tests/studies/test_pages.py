"""The commands and files of docs/studies.md and of the tutorial work as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from stgraph.cli import main
from stgraph.studies.file import METRICS, WEIGHTS, read_study

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("studies",)}
RESULTS = ROOT / "benchmarks" / "results"
KEPT = sorted([*RESULTS.glob("tables/*.json"), *RESULTS.glob("experiments/*.json")])
PAGES["tutorial"] = (ROOT / "docs" / "tutorials" / "study.md").read_text("utf-8")


def files(page: str) -> dict[str, str]:
    return dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGES[page], re.DOTALL))


def commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGES[page], re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of the pages works."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for page in PAGES:
        for name, content in files(page).items():
            (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_pages_have_files_and_commands() -> None:
    assert list(files("studies")) == ["widths.yaml"]
    assert list(files("tutorial")) == ["my_extractors.py", "extractors.yaml"]
    assert [words[0] for words in commands("studies") + commands("tutorial")] == ["study"] * 6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["widths.yaml", "extractors.yaml"])
def test_every_row_of_the_pages_can_train(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", name, "--only", "check"]) == 0
    assert "3 rows, 6 runs; all of them can train" in capsys.readouterr().out


def test_every_name_of_a_file_stands_on_the_page() -> None:
    from stgraph.studies import file

    for name in (*file._STUDY, *file._ROW, *file._HELD_OUT, *METRICS, *WEIGHTS):
        assert f"`{name}`" in PAGES["studies"], name


def test_every_table_and_experiment_stands_on_the_page() -> None:
    found = set(re.findall(r"`(\w+\.yaml)`", PAGES["studies"]))
    for folder in ("tables", "experiments"):
        assert {path.name for path in (ROOT / "configs" / folder).glob("*.yaml")} <= found


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_results_that_are_kept_are_those_of_the_study(path: Path) -> None:
    """Who changes a study's rows or what it is about collects its results anew."""
    kept = json.loads(path.read_text("utf-8"))
    study = read_study(ROOT / "configs" / path.parent.name / f"{path.stem}.yaml")
    assert [row["name"] for row in kept["rows"]] == [row.name for row in study.rows]
    assert (kept["title"], kept["about"]) == (study.title, study.about)
    assert {result["row"] for result in kept["results"]} <= {row.name for row in study.rows}


@pytest.mark.slow
@pytest.mark.long
def test_the_tutorial_is_done_as_it_stands(folder: Path) -> None:
    for words in commands("tutorial"):
        assert main(words) == 0
    table = Path("runs/extractors/table.md").read_text()
    assert "| maps | " in table
    assert "to grid" in table
    assert "partial" not in table
    assert len(read_study("extractors.yaml").rows) == 3
