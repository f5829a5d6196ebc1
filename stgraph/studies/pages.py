"""A study as an HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stgraph.studies.file import ANSWERS
from stgraph.studies.summary import Line, lines, reference_of
from stgraph.studies.table import of_test, points, probability, reached, regions_of, totals
from stgraph.viz import Report
from stgraph.viz.colours import RUN_COLOURS
from stgraph.viz.curves import OBJECTS, minutes
from stgraph.viz.figures import INK, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page"]

_DASHES = ("-", "--", ":", "-.")
"""Lines of rows whose colours stand again."""


def page(summary: Mapping[str, Any]) -> Report:
    """Return the page: what was reached, how, how sure that is, and what is missing.

    Args:
        summary: of :func:`~stgraph.studies.summary.gathered`.
    """
    found = lines(summary)
    missing = summary["missing"]
    report = Report(summary["title"] + (" (partial)" if missing else ""), summary["about"])
    best = max((line for line in found if line.mean), key=_value, default=None)
    done, seeds = len(summary["results"]), len(summary["seeds"])
    tiles = [(f"{done} of {done + len(missing)}", "runs are done")]
    if best is not None:
        tiles.insert(0, (f"{reached(best)} %", f"{best.name}, {summary['metric']}"))
    report.tiles([*tiles, (str(seeds), "seed" if seeds == 1 else "seeds")])
    if missing:
        report.heading("Partial").text("These runs are not done yet; their rows may change.")
        report.table(("row", "seed"), [(row, str(seed)) for row, seed in missing])
    report.heading("Results")
    _results(report, summary, found)
    report.text(" ".join(totals(summary)).replace("**", ""))
    _curves(report, summary, found)
    _paired(report, summary, found)
    _objects(report, summary, found)
    _notes(report, found)
    _runs(report, summary)
    return report


def _value(line: Line) -> float:
    return line.mean.value if line.mean else 0.0


def _results(report: Report, summary: Mapping[str, Any], found: Sequence[Line]) -> None:
    rows = []
    for line in found:
        paper = line.row["paper"]
        weights = {one["parameters"] for one in line.results}
        rows.append(
            (
                line.name,
                "–" if paper is None else f"{paper:g} %",
                reached(line) + (" %" if line.results else ""),
                f"{len(line.results)} of {line.planned}",
                " or ".join(f"{count:,}" for count in sorted(weights)) or "–",
                line.row["source"] or "–",
            )
        )
    report.table(("row", "paper", summary["metric"], "seeds", "parameters", "published in"), rows)


def _curves(report: Report, summary: Mapping[str, Any], found: Sequence[Line]) -> None:
    metric = summary["metric"]
    measured = [point for line in found for one in line.results for point in one["curve"]]
    known = {name for point in measured for name in point}
    if metric not in known:
        return
    report.heading("Curves")
    report.figure(
        _figure(found, metric, f"{metric} in validation, %", 100),
        alt=f"{metric} in validation against the clips seen, a line for each run",
        caption="A line for each seed. Clips of the validation, not of the test.",
        wide=True,
    )
    for name, title in OBJECTS.items():
        if name in known - {metric}:
            report.figure(
                _figure(found, name, title, 1),
                alt=f"{title} against the clips seen, a line for each run",
                wide=True,
            )


def _figure(found: Sequence[Line], name: str, title: str, factor: float) -> Figure:
    figure, (axes,) = new_figure(9.0, 4.0)
    plain(axes, x="clips seen", y=title)
    colours = len(RUN_COLOURS)
    for number, line in enumerate(found):
        colour, dashes = RUN_COLOURS[number % colours], _DASHES[number // colours % len(_DASHES)]
        label: str | None = line.name
        for one in line.results:
            known = [point for point in one["curve"] if name in point]
            if known:
                x = [point["clips"] for point in known]
                y = [factor * point[name] for point in known]
                axes.plot(x, y, dashes, color=colour, linewidth=1.4, label=label)
                axes.plot(x[-1], y[-1], "o", color=colour, markersize=3.5)
                label = None
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8.5, labelcolor=INK
    )
    return figure


def _paired(report: Report, summary: Mapping[str, Any], found: Sequence[Line]) -> None:
    reference = reference_of(summary, found)
    rows = []
    for line in found:
        if line.against is not None:
            value, interval = line.against.difference
            ends = "–" if interval is None else f"{points(interval.low)} to {points(interval.high)}"
            clips = ", ".join(map(probability, line.against.clips))
            p = probability(line.against.p), probability(line.adjusted)
            rows.append((line.name, points(value), ends, *p, clips))
    if not rows:
        return
    report.heading(f"Against {reference}")
    report.text(
        "Differences in per cent of the test clips, of the same seeds. Over seeds: paired t-test "
        "and its 95 % interval, and p adjusted for the number of rows (Holm 1979). Over clips: "
        "McNemar's exact test for each seed (Dietterich 1998), which takes the trained models as "
        "they are."
    )
    heads = ("row", "difference", "95 % interval", "p, seeds", "p, Holm", "p, clips of each seed")
    report.table(heads, rows)


def _objects(report: Report, summary: Mapping[str, Any], found: Sequence[Line]) -> None:
    measured = regions_of(summary, found)
    if not measured:
        return
    report.heading("Regions")
    rows = []
    for line in found:
        means = [line.object_mean(name) for name in measured]
        if any(mean is not None for mean in means):
            rows.append((line.name, *("–" if mean is None else f"{mean:.3f}" for mean in means)))
    report.table(("row", *measured.values()), rows, caption="Mean over seeds, on the test clips.")


def _notes(report: Report, found: Sequence[Line]) -> None:
    notes = {line.name: line.row["note"] for line in found if line.row["note"]}
    if notes:
        report.heading("Notes").facts(notes)


def _runs(report: Report, summary: Mapping[str, Any]) -> None:
    if not summary["results"]:
        return
    rows = []
    for one in summary["results"]:
        commit = one["commit"] or "unknown"
        rows.append(
            (
                f"{one['row']}, seed {one['seed']}",
                of_test(one["test"]),
                f"{one['clips']:,}" + (f" + {one['shown_first']:,}" if one["shown_first"] else ""),
                minutes(one["times"]["training"]),
                one["device"] if one["device"] != "CPU" else one["machine"],
                str(one["threads"]),
                commit + (" with changes" if one["dirty"] else ""),
            )
        )
    report.heading("Runs")
    metric = summary["metric"]
    reached_by = "accuracy, % (Wilson)" if metric in ANSWERS else f"{metric}, %"
    heads = ("run", reached_by, "clips", "training", "machine", "threads", "commit")
    report.table(heads, rows)
