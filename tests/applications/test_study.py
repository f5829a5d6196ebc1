"""What ``stgraph study`` says while it works."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.applications import study
from stgraph.studies.running import Outcome


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("elsewhere", "another process does it"),
        ("taken over", "the other process has left it, and it is done here"),
        ("unfinished", "its time is over; it goes on the next time"),
        ("failed", "ends with: line 2 / line 3 / line 4"),
        ("done", "39.0 % (30.0 to 48.0), 1 min 35 s"),
    ],
)
def test_what_became_of_a_run_is_told_in_a_line(kind: Any, told: str, tmp_path: Path) -> None:
    lines = [f"  line {number}  " for number in range(5)]
    (tmp_path / "log.txt").write_text("\n".join(lines))
    test = {"value": 0.39, "low": 0.3, "high": 0.48}
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"test": test, "times": {"training": 95.4}}))
    one: Any = SimpleNamespace(own=tmp_path)
    said = study._told(one, kind)
    assert said.endswith(told)
    assert "\n" not in said
    if kind == "done":
        result.write_text(json.dumps({"test": test, "times": {"training": 0.0}}))
        assert study._told(one, kind).endswith(", not trained")
        result.unlink()  # it was removed meanwhile
        assert study._told(one, kind).startswith("failed; ")


def test_the_bar_counts_what_was_done_before(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    runs: Any = [SimpleNamespace(name=name) for name in "ab"]
    moved: list[dict[str, Any]] = []
    seconds = [100.0]

    def carry_out(_: Any, todo: Any, jobs: int, threads: int, tell: Any, look: Any) -> Outcome:
        assert (todo, jobs, threads) == (runs, 3, 2)
        look(runs[:1])
        tell(runs[0], "unfinished")
        seconds[0] = 160.0
        look([])
        return Outcome(failed=runs[1:])

    monkeypatch.setattr(study, "carry_out", carry_out)
    monkeypatch.setattr(study, "progress_of", lambda run: 0.5)
    monkeypatch.setattr(study.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(study.Progress, "update", lambda self, _, **told: moved.append(told))
    whole: Any = SimpleNamespace(name="small")
    assert study._train(whole, runs, 4, 3, 2) == 1
    assert [one["completed"] for one in moved] == [0.5, 1]
    assert [one["description"] for one in moved] == [
        "small: 2.5 of 4 runs",
        "small: 3.0 of 4 runs",
    ]
    assert [one["left"] for one in moved] == ["", "2 min 0 s left"]
    assert capsys.readouterr().err == ""  # where there is no terminal
