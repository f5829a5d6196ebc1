"""The tables of all sessions of a run together are those of the run."""

from __future__ import annotations

import csv
from pathlib import Path

from stgraph.training.rows import RowLogger


def rows(folder: Path, name: str = "metrics.csv") -> list[int]:
    with (folder / name).open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_who_goes_on_from_an_older_place_moves_all_that_comes_again(tmp_path: Path) -> None:
    sessions = [RowLogger(tmp_path, "csv", version) for version in range(4)]
    for logger, steps in zip(sessions, ((1, 2, 3), (4, 5, 6, 7), (6, 7)), strict=False):
        for step in steps:
            logger.log_metrics({"loss": 0.5}, step)
            logger.save()
            if step == 5:
                place = logger.place()
    assert place == {"version": 1, "rows": 2}
    sessions[3].go_on(place)
    folders = [tmp_path / "csv" / f"version_{number}" for number in range(3)]
    assert [rows(folder) for folder in folders] == [[1, 2, 3], [4, 5], []]
    assert [rows(folder, "repeated.csv") for folder in folders[1:]] == [[6, 7], [6, 7]]
    assert not (folders[0] / "repeated.csv").exists()
    RowLogger(tmp_path, "csv", 4).go_on({"version": 1, "rows": 1})  # from before that place
    assert [rows(folder) for folder in folders] == [[1, 2, 3], [4], []]
    assert rows(folders[1], "repeated.csv") == [6, 7, 5]
