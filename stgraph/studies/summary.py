"""All that a study has reached so far, as one mapping: what tables and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stgraph.studies.file import ANSWERS, Study
from stgraph.studies.measuring import unpack
from stgraph.studies.plan import Run, read_result
from stgraph.studies.statistics import Mean, Paired, holm, mean_of, paired

__all__ = ["Line", "gathered", "lines", "reference_of"]


def gathered(study: Study, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what there is of a study: what its file says, and the results of the runs so far."""
    results = [(run, read_result(run)) for run in runs]
    return {
        "study": study.name,
        "title": study.title,
        "about": study.about,
        "metric": study.metric,
        "weights": study.weights,
        "held_out": study.held_out.about,
        "tried": study.tried,
        "reference": study.reference,
        "seeds": list(study.seeds),
        "rows": [
            {"name": row.name, "paper": row.paper, "source": row.source, "note": row.note}
            for row in study.rows
        ],
        "missing": [[run.row.name, run.seed] for run, result in results if result is None],
        "results": [result for _, result in results if result is not None],
    }


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Args:
        row: what the study's file says of it.
        results: its runs so far.
        planned: how many there are to be.
        mean: of what they reached.
        against: how it differs from the row of reference; none of that row itself, and without
            seeds that both have.
        adjusted: the p of that, with as many comparisons as the table makes (Holm).
    """

    row: Mapping[str, Any]
    results: tuple[Mapping[str, Any], ...]
    planned: int
    mean: Mean | None
    against: Paired | None = None
    adjusted: float | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.row["name"])

    @property
    def values(self) -> dict[int, float]:
        """What each seed reached."""
        return {int(one["seed"]): float(one["test"]["value"]) for one in self.results}

    def object_mean(self, name: str) -> float | None:
        """Mean over the seeds of something measured of regions; none where it was not."""
        found = [one["objects"][name] for one in self.results if name in one["objects"]]
        return sum(found) / len(found) if found else None


def lines(summary: Mapping[str, Any]) -> list[Line]:
    """Return the rows of the table, in the order of the file."""
    of_row: dict[str, list[Mapping[str, Any]]] = {row["name"]: [] for row in summary["rows"]}
    for result in summary["results"]:
        of_row[result["row"]].append(result)
    planned = len(summary["seeds"])
    plain = []
    for row in summary["rows"]:
        found = tuple(of_row[row["name"]])
        values = [one["test"]["value"] for one in found]
        plain.append(Line(row, found, planned, mean_of(values) if values else None))
    name = reference_of(summary, plain)
    reference = next((line for line in plain if line.name == name), None)
    if reference is None:
        return plain
    against = [None if line is reference else _against(line, reference) for line in plain]
    adjusted = holm([None if one is None else one.p for one in against])
    return [
        Line(line.row, line.results, line.planned, line.mean, one, p)
        for line, one, p in zip(plain, against, adjusted, strict=True)
    ]


def reference_of(summary: Mapping[str, Any], found: Sequence[Line]) -> str | None:
    """Name of the row that the others are compared with: the file's, or the best so far."""
    if summary["reference"] is not None:
        return str(summary["reference"])
    known = {line.name: line.mean.value for line in found if line.mean is not None}
    return max(known, key=known.__getitem__, default=None)


def _against(line: Line, reference: Line) -> Paired | None:
    mine = {one["seed"]: one for one in line.results}
    theirs = {one["seed"]: one for one in reference.results}
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    tests = [(mine[seed]["test"], theirs[seed]["test"]) for seed in seeds]
    answers = [
        (unpack(one["each_clip"]), unpack(other["each_clip"]))
        if one["metric"] in ANSWERS and one["each_clip"]["labels"] == other["each_clip"]["labels"]
        else None
        for one, other in tests
    ]
    values = ([one["value"] for one, _ in tests], [other["value"] for _, other in tests])
    return paired(*values, answers)
