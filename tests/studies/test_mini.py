"""What the small table shows, on one seed and with fewer clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stgraph.cli import main
from stgraph.reading import read_json

TABLE = Path(__file__).parents[2] / "configs" / "tables" / "mini.yaml"
ROWS = ("fixed 3×3 grid", "full, from windows that follow", "windows that follow")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_windows_that_follow_are_far_above_a_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = yaml.safe_load(TABLE.read_text("utf-8"))
    told["base"] = str((TABLE.parent / told["base"]).resolve())
    told["seeds"] = [0]
    told["rows"] = [row for row in told["rows"] if row["name"] in ROWS]
    told["set"]["data"]["train.length"] = 25600  # half of the table's
    Path("mini.yaml").write_text(yaml.safe_dump(told, allow_unicode=True), encoding="utf-8")
    assert main(["study", "mini.yaml", "--jobs", "2", "--threads", "1"]) == 0
    found = read_json("runs/mini/results.json", "results", most=1 << 26)["results"]
    assert [result["row"] for result in found] == list(ROWS)
    fixed, full, follow = found
    for learns in (full, follow):
        assert learns["test"]["low"] > fixed["test"]["high"] + 0.15
    assert follow["test"]["value"] > 0.6
    assert (follow["clips"], follow["shown_first"]) == (25600, 19200)
    assert follow["objects"]["displacement"] < 1 / 8 * 8 / 48
