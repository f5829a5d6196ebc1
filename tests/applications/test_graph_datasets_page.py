"""docs/tutorials/graph_datasets.md: its commands and its program reach what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from stgraph.applications.readme import _label, _left_out, _table
from stgraph.cli import main
from stgraph.datasets.graphs.sheet import Skipped

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorials/graph_datasets.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_plain_classifier_reaches_the_models_own_readout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's commands with less training and fewer clips, and its program as it stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (block,) = re.findall(r"```console\n(stgraph demo\n.*?)```", PAGE, re.DOTALL)
    (program,) = re.findall(r"```py\n(# classify\.py\n.*?)```", PAGE, re.DOTALL)
    lines = [shlex.split(line)[1:] for line in block.splitlines()]
    assert [line[0] for line in lines] == ["demo", "extract", "extract"]
    less = [
        ["--steps=150", "--warmup=100", "--test_clips=300"],
        ["--data.train.init_args.length=3000", "--trainer.enable_progress_bar=false"],
        ["--trainer.enable_progress_bar=false"],
    ]
    for line, options in zip(lines, less, strict=True):
        assert main([*line, *options]) == 0
    found: dict[str, object] = {"__name__": "page"}
    exec(compile(program, "classify.py", "exec"), found)
    own, reached = found["own"], found["reached"]
    assert isinstance(own, float)
    assert isinstance(reached, float)
    assert own > 0.25  # the model has learnt something: 9 % of the labels are guessed
    assert reached >= own


def test_a_bar_in_a_name_is_no_column() -> None:
    table = _table(["clip", "why"], [["a|b", "no | film"], ["c", "d"]])
    assert table[2] == r"| a\|b | no \| film |"
    assert [line.replace(r"\|", "").count("|") for line in table] == [3] * 4


@pytest.mark.parametrize(
    ("count", "more"), [(1, None), (20, None), (21, "and 1 more."), (1520, "and 1,500 more.")]
)
def test_the_first_twenty_clips_that_were_left_out_are_listed(count: int, more: str | None) -> None:
    told = _left_out([Skipped(number, f"c{number}", "why") for number in range(count)])
    rows = [line for line in told if line.startswith("|")][2:]
    assert rows == [f"| {number} | c{number} | why |" for number in range(min(count, 20))]
    assert told[2 + len(rows) :] == ([] if more is None else ["", more])


def test_a_label_without_a_name_is_a_number() -> None:
    assert [_label(str(number), ["a", "b"]) for number in range(3)] == ["a", "b", "2"]
