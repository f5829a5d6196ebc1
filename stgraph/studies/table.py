"""A study as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stgraph.studies.file import ANSWERS
from stgraph.studies.summary import Line, lines, reference_of
from stgraph.viz.curves import OBJECTS

__all__ = [
    "markdown",
    "of_test",
    "percent",
    "points",
    "probability",
    "reached",
    "regions_of",
    "totals",
]


def markdown(summary: Mapping[str, Any], level: int = 1) -> str:
    """Return a study's title, table and what one must know to read it.

    Args:
        summary: of :func:`~stgraph.studies.summary.gathered`.
        level: of its heading.
    """
    found = lines(summary)
    title = summary["title"] + (" (partial)" if summary["missing"] else "")
    parts = [f"{'#' * level} {title}"]
    if summary["about"]:
        parts.append(summary["about"])
    if summary["missing"]:
        parts.append(f"**Partial**: {_missing(summary)}")
    parts += [_table(summary, found), _notes(summary, found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def percent(value: float) -> str:
    """A share in per cent.

    Examples:
        >>> percent(0.9509)
        '95.1'
    """
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of shares in per cent, with its sign.

    Examples:
        >>> points(-0.0123)
        '−1.2'
    """
    return f"{100 * value:+.1f}".replace("-", "−")


def probability(value: float | None) -> str:
    """A p, as papers print it.

    Examples:
        >>> probability(0.0312), probability(0.00001), probability(None)
        ('.031', '< .001', '–')
    """
    if value is None:
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def reached(line: Line) -> str:
    """What a row reached, with its interval: over seeds, or of one seed over the clips."""
    if line.mean is None:
        return "–"
    value, interval = line.mean
    if interval is not None:
        return f"{percent(value)} ± {percent(interval.high - value)}"
    return of_test(line.results[0]["test"])


def of_test(test: Mapping[str, Any], sign: str = "") -> str:
    """What a run reached in its test, with its interval over the clips if there is one.

    Examples:
        >>> of_test({"value": 0.39, "low": None, "high": None}, " %")
        '39.0 %'
    """
    said = percent(test["value"]) + sign
    if test["low"] is None:
        return said
    return f"{said} ({percent(test['low'])} to {percent(test['high'])})"


def regions_of(summary: Mapping[str, Any], found: Sequence[Line]) -> dict[str, str]:
    """What was measured of regions beside the metric of the study: names, and words for them."""
    return {
        name: words
        for name, words in OBJECTS.items()
        if name != summary["metric"] and any(line.object_mean(name) is not None for line in found)
    }


def totals(summary: Mapping[str, Any]) -> list[str]:
    """Sentences that say what the numbers are of."""
    results = summary["results"]
    said = [
        f"Test: {summary['held_out']}; weights: {summary['weights']}.",
        f"Settings tried before: {summary['tried']}.",
    ]
    if results:
        clips = sorted({one["test"]["each_clip"]["clips"] for one in results})
        counts = " or ".join(f"{count:,}" for count in clips)
        labels = {one["test"]["each_clip"]["labels"] for one in results}
        same = "the same for all runs" if len(labels) == 1 else "**not the same for all runs**"
        said.append(f"{counts} test clips, {same}.")
        of_seeds = "± is half of Student's 95 % interval over seeds"
        of_clips = "; of a row with one seed the brackets are Wilson's 95 % interval over the clips"
        said.append(of_seeds + of_clips * (summary["metric"] in ANSWERS) + ".")
        for name, title in (("machine", "Machine"), ("device", "Device"), ("commit", "Commit")):
            values = sorted({_told(one, name) for one in results})
            said.append(f"{title}: {'; '.join(values)}.")
        threads = sorted({one["threads"] for one in results})
        said.append(f"Threads of each run: {', '.join(map(str, threads))}.")
    return said


def _told(result: Mapping[str, Any], name: str) -> str:
    value = result[name] or "unknown"
    return f"{value} with changes" if name == "commit" and result["dirty"] else str(value)


def _missing(summary: Mapping[str, Any]) -> str:
    lacking: dict[str, list[int]] = {row["name"]: [] for row in summary["rows"]}
    for row, seed in summary["missing"]:
        lacking[row].append(seed)
    common = set.intersection(*map(set, lacking.values())) if len(lacking) > 1 else set()
    of_seeds: dict[tuple[int, ...], list[str]] = {}
    for name, seeds in lacking.items():
        if rest := tuple(sorted(set(seeds) - common)):
            of_seeds.setdefault(rest, []).append(f"“{name}”")
    told = [f"{_seeds(common)} of every row"] if common else []
    told += [f"{_seeds(seeds)} of {', '.join(names)}" for seeds, names in of_seeds.items()]
    runs = "; ".join(told)
    done = len(summary["results"])
    return f"{done} of {done + len(summary['missing'])} runs are done. Missing: {runs}."


def _seeds(seeds: Iterable[int]) -> str:
    numbers = sorted(seeds)
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _table(summary: Mapping[str, Any], found: Sequence[Line]) -> str:
    papers = any(line.row["paper"] is not None for line in found)
    objects = regions_of(summary, found)
    reference = reference_of(summary, found)
    heads = ["row", *(["paper"] if papers else []), f"{summary['metric']}, %", "seeds", "clips"]
    heads += [f"to {reference}", "p"] if reference is not None else []
    heads += objects.values()
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for line in found:
        paper = line.row["paper"]
        cells = [line.name]
        cells += [("–" if paper is None else f"{paper:g}")] if papers else []
        cells += [reached(line), f"{len(line.results)} of {line.planned}", _clips(line)]
        if reference is not None:
            cells += _against(line)
        for name in objects:
            value = line.object_mean(name)
            cells.append("–" if value is None else f"{value:.3f}")
        rows.append(cells)
    return "\n".join(f"| {' | '.join(cell.replace('|', '·') for cell in row)} |" for row in rows)


def _clips(line: Line) -> str:
    """Clips seen in training, and those that were shown before."""
    counts = {(one["clips"], one["shown_first"]) for one in line.results}
    told = [f"{clips:,}" + (f" + {first:,}" if first else "") for clips, first in sorted(counts)]
    return " or ".join("not trained" if count == "0" else count for count in told) or "–"


def _against(line: Line) -> list[str]:
    if line.against is None:
        return ["–", "–"]
    value, interval = line.against.difference
    half = "" if interval is None else f" ± {percent(interval.high - value)}"
    return [points(value) + half, probability(line.adjusted)]


def _notes(summary: Mapping[str, Any], found: Sequence[Line]) -> str:
    said = [f"- {sentence}" for sentence in totals(summary)]
    if any(line.adjusted is not None for line in found):
        said.append(
            "- p: paired t-test over seeds, adjusted for the number of rows by Holm's method."
        )
    sources: dict[str, list[str]] = {}
    for line in found:
        if line.row["source"]:
            sources.setdefault(line.row["source"], []).append(line.name)
    if len(sources) == 1:
        said.append(f"- Paper: {next(iter(sources))}.")
    else:
        said += [f"- Paper, {', '.join(names)}: {source}." for source, names in sources.items()]
    said += [f"- {line.name}: {line.row['note']}" for line in found if line.row["note"]]
    return "\n".join(said)
