"""Tables and pages are made of what a study has reached, and of nothing else."""

from __future__ import annotations

import copy
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.metrics.answers import wilson
from stgraph.studies import pages
from stgraph.studies.collecting import collected, kept
from stgraph.studies.measuring import pack
from stgraph.studies.pages import page
from stgraph.studies.statistics import mcnemar, paired
from stgraph.studies.summary import lines
from stgraph.studies.table import markdown, probability

CLIPS = 200
LABELS = list(range(CLIPS))


def result(row: str, seed: int, share: float, labels: list[int] = LABELS) -> dict[str, Any]:
    """A run that has the first clips right, and so many of them."""
    right = np.random.default_rng(seed).permutation(CLIPS) < round(share * CLIPS)
    low, high = wilson(int(right.sum()), CLIPS)
    return {
        "study": "made",
        "row": row,
        "seed": seed,
        "digest": "0",
        "test": {
            "metric": "top1",
            "value": float(right.mean()),
            "low": low,
            "high": high,
            "weights": "best",
            "answers": {"top1": float(right.mean())},
            "each_clip": pack(right.tolist(), labels),
        },
        "objects": {"iou": share / 2} if row == "A" else {},
        "clips": 6400,
        "shown_first": 192 if row == "A" else 0,
        "steps": 100,
        "curve": [
            {"clips": 3200.0, "loss": 2.0, "top1": share / 2, "iou": 0.1},
            {"clips": 6400.0, "loss": 1.0, "top1": share, "iou": 0.2},
        ],
        "parameters": 1000,
        "commit": "abc",
        "dirty": seed == 1,
        "machine": "a machine",
        "device": "CPU",
        "threads": 1,
        "versions": {},
        "configuration": {},
        "times": {"date": "today", "training": 12.0, "curve": [6.0, 12.0], "sessions": 1},
    }


@pytest.fixture
def summary() -> dict[str, Any]:
    """Three rows of three seeds, one of which has no result yet."""
    reached = {"A": [0.9, 0.88, 0.92], "B": [0.7, 0.69, 0.75], "C": [0.3, 0.31]}
    results = [result(row, seed, x) for row, xs in reached.items() for seed, x in enumerate(xs)]
    rows = [{"name": name, "paper": None, "source": "", "note": ""} for name in "ABC"]
    rows[0] |= {"paper": 95.09, "source": "a paper, table 7"}
    rows[1] |= {"note": "a < b & c"}
    return {
        "study": "made",
        "title": "A made | study",
        "about": "What it is about.",
        "metric": "top1",
        "weights": "best",
        "held_out": "200 clips",
        "tried": "12 settings, on other clips",
        "reference": None,
        "seeds": [0, 1, 2],
        "rows": rows,
        "missing": [["C", 2]],
        "results": results,
    }


def test_rows_are_compared_with_the_best_or_the_one_that_is_named(summary: dict[str, Any]) -> None:
    a, b, c = lines(summary)
    assert (a.against, a.adjusted) == (None, None)
    known = paired([0.7, 0.69, 0.75], [0.9, 0.88, 0.92])
    assert b.against is not None
    assert b.against.difference.value == pytest.approx(known.difference.value)
    assert b.against.difference.interval == pytest.approx(known.difference.interval)
    assert b.against.p == pytest.approx(known.p)
    assert c.against is not None
    assert len(c.against.clips) == 2  # of the seeds that both have
    assert c.against.p is not None
    assert b.adjusted == pytest.approx(max(2 * min(b.against.p, c.against.p), b.against.p))
    summary["reference"] = "C"
    assert [line.against is None for line in lines(summary)] == [False, False, True]


def test_clips_are_paired_one_by_one(summary: dict[str, Any]) -> None:
    b = lines(summary)[1]
    for seed, p in enumerate(b.against.clips if b.against else ()):
        order = np.random.default_rng(seed).permutation(CLIPS)
        shares = (0.7, 0.69, 0.75)[seed], (0.9, 0.88, 0.92)[seed]
        mine, best = (order < round(share * CLIPS) for share in shares)
        assert p == pytest.approx(mcnemar(mine, best))
    summary["results"][4] = result("B", 1, 0.69, labels=LABELS[::-1])  # other clips
    other = lines(summary)[1].against
    assert other is not None
    assert [p is None for p in other.clips] == [False, True, False]
    assert "not the same for all runs" in markdown(summary)


def test_how_p_was_found_is_told_where_there_is_one(summary: dict[str, Any]) -> None:
    assert "Holm" in markdown(summary)
    summary["results"] = [one for one in summary["results"] if one["seed"] == 0]
    text = markdown(summary)
    assert "Holm" not in text  # a seed has no interval, and no p
    assert [line.split(" | ")[6] for line in text.splitlines() if line.startswith("| B")] == ["–"]


def test_the_table_says_what_is_known(summary: dict[str, Any]) -> None:
    text = markdown(summary)
    assert text.startswith("# A made | study (partial)\n\nWhat it is about.\n\n**Partial**: 8 of 9")
    assert "Missing: seed 2 of “C”." in text
    more = {**summary, "missing": [["A", 1], ["A", 2], ["B", 2], ["C", 2], ["C", 1]]}
    assert "Missing: seed 2 of every row; seed 1 of “A”, “C”." in markdown(more)
    more["missing"] = [[row, seed] for seed in (2, 1) for row in "ABC"]
    assert "Missing: seeds 1, 2 of every row." in markdown(more)
    alone = {**summary, "rows": summary["rows"][:1], "missing": [["A", 2]], "results": []}
    assert "Missing: seed 2 of “A”." in markdown(alone)
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert head.startswith(
        "| row | paper | top1, % | seeds | clips | to A | p | IoU with objects |"
    )
    # t.ppf(.975, 2) · .02 / √3 = .0497
    assert rows[0] == "| A | 95.09 | 90.0 ± 5.0 | 3 of 3 | 6,400 + 192 | – | – | 0.450 |"
    assert rows[1].startswith("| B | – | 71.3 ± 8.0 | 3 of 3 | 6,400 | −18.7 ± ")
    assert rows[2].startswith("| C | – | 30.5 ± 6.4 | 2 of 3 |")
    for said in (
        "Test: 200 clips",
        "Settings tried before: 12 settings, on other clips.",
        "Commit: abc; abc with changes.",
        "a paper, table 7",
        "- B: a < b & c",
    ):
        assert said in text
    assert "today" not in text  # times are no part of it


def test_a_row_with_one_seed_has_the_interval_over_clips(summary: dict[str, Any]) -> None:
    summary["results"] = summary["results"][:1]
    low, high = wilson(180, 200)
    assert f"| 90.0 ({100 * low:.1f} to {100 * high:.1f}) | 1 of 3 |" in markdown(summary)


def test_a_study_without_results_has_a_table_too(summary: dict[str, Any]) -> None:
    summary["results"] = []
    assert "| A | 95.09 | – | 0 of 3 | – |" in markdown(summary)
    assert "runs are done" in page(summary).html()


def test_the_page_has_all_of_it_and_fetches_nothing(summary: dict[str, Any]) -> None:
    html = page(summary).html()
    for said in (
        "A made | study (partial)",
        "These runs are not done yet",
        "95.09 %",
        "90.0 ± 5.0 %",
        "Against A",
        "McNemar",
        "12 settings, on other clips",
        "a &lt; b &amp; c",
        "abc with changes",
        "12.0 s",
    ):
        assert said in html
    assert html.count("<svg") == 2  # accuracy and IoU
    assert "http" not in html
    assert "<script" not in html
    complete = copy.deepcopy(summary)
    complete["results"].append(result("C", 2, 0.3))
    complete["missing"] = []
    assert "partial" not in page(complete).html().lower()


def test_a_page_of_what_was_collected_is_made_of_files_alone(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    assert collected(tmp_path, "# A head\n") == "# A head\n\nNo study has been collected yet.\n"
    (tmp_path / "made.json").write_bytes(kept(summary))
    text = collected(tmp_path, "# A head\n")
    assert text.startswith("# A head\n\n## A made")
    assert markdown(json.loads(kept(summary)), level=2) in text
    for other in ("{}", "[]", "3"):
        (tmp_path / "other.json").write_text(other)
        with pytest.raises(InputError, match=r"other\.json: expected what a study has reached"):
            collected(tmp_path, "# A head\n")
    assert "\n## A made | study (partial)\n" in text


def test_words_of_any_language_can_be_read_in_the_file() -> None:
    assert "Größe" in kept({"title": "Größe"}).decode()


@pytest.mark.parametrize("name", ["reproduction", "experiments"])
def test_a_page_of_the_documentation_says_what_the_files_do(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    root = request.config.rootpath
    monkeypatch.syspath_prepend(root / "benchmarks")
    pages: Any = importlib.import_module("pages")
    text = (root / "docs" / f"{name}.md").read_text("utf-8")
    assert text == pages.of_studies(name)
    folder, head = pages.COLLECTED[name]
    assert text.startswith(head)
    assert text.count("\n## ") == len(list(folder.glob("*.json"))) > 0


def test_regions_are_compared_over_seeds_alone(summary: dict[str, Any]) -> None:
    """A study of regions has an IoU in place of a share of the clips."""
    summary["metric"] = "iou"
    for one in summary["results"]:
        one["test"] |= {"metric": "iou", "low": None, "high": None}
        one["objects"] = {"iou": one["test"]["value"], "l2_r": 0.125}
        if one["row"] == "C":
            one |= {"clips": 0, "shown_first": 0, "steps": 0, "curve": []}
    a, b, c = lines(summary)
    assert b.against is not None
    assert b.against.clips == (None, None, None)
    assert b.against.p is not None
    text = markdown(summary)
    assert "| row | paper | iou, % | seeds | clips | to A | p | nearest region to an obj" in text
    assert "IoU with objects" not in text  # which stands in a column already
    assert "Wilson" not in text
    assert "| not trained |" in text
    html = page(summary).html()
    assert "Wilson" not in html
    summary["results"] = [one for one in summary["results"] if one["seed"] == 0]
    assert "| 90.0 |" in markdown(summary)
    assert a.mean is not None
    assert c.mean is not None


def test_a_mean_of_regions_is_over_the_seeds_that_have_one() -> None:
    results = [result("A", seed, 0.4 + seed / 10) for seed in range(3)]
    del results[1]["objects"]["iou"]
    row = {"name": "A", "paper": None, "source": None, "note": ""}
    (line,) = lines({"rows": [row], "results": results, "seeds": [0, 1, 2], "reference": None})
    assert line.object_mean("iou") == pytest.approx((0.2 + 0.3) / 2)
    assert line.object_mean("common") is None


def test_names_with_a_bar_leave_the_columns_as_they_are(summary: dict[str, Any]) -> None:
    renamed = json.loads(json.dumps(summary).replace('"A"', '"A|1"'))
    plain, other = (
        [line for line in markdown(one).splitlines() if line.startswith("|")]
        for one in (summary, renamed)
    )
    assert [line.count("|") for line in plain] == [line.count("|") for line in other]
    assert any(line.startswith("| A·1 |") for line in other)


def test_the_page_has_each_p_in_its_column(summary: dict[str, Any]) -> None:
    table = page(summary).html().partition("Against A")[2].partition("</table>")[0]
    cells = {}
    for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL):
        name, *rest = (unescape(one) for one in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row))
        cells[name] = rest
    assert cells["row"][2:4] == ["p, seeds", "p, Holm"]
    for line in lines(summary):
        if line.against is not None:
            told = [probability(line.against.p), probability(line.adjusted)]
            assert cells[line.name][2:4] == told
    # Of two comparisons the smaller p counts double.
    assert len({tuple(row[2:4]) for name, row in cells.items() if name != "row"}) == 2


def test_the_page_has_the_regions_of_the_rows_that_have_any(summary: dict[str, Any]) -> None:
    for one in summary["results"]:
        if one["row"] == "B":
            one["objects"] = {"l2_r": 0.125}
    table = page(summary).html().partition(">Regions<")[2].partition("</table>")[0]
    rows = [
        [unescape(one) for one in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)
    ]
    mean = lines(summary)[0].object_mean("iou")
    assert len(rows) == 3  # the heads, and rows A and B
    assert rows[0][0] == "row"
    assert ["A", f"{mean:.3f}", "–"] in rows
    assert ["B", "–", "0.125"] in rows


def test_each_source_is_told_with_its_rows(summary: dict[str, Any]) -> None:
    assert "- Paper: a paper, table 7.\n" in markdown(summary)
    summary["rows"][1] |= {"paper": 50.0, "source": "another"}
    summary["rows"][2] |= {"paper": 60.0, "source": "another"}
    text = markdown(summary)
    assert "- Paper, A: a paper, table 7.\n- Paper, B, C: another.\n" in text
    for row in summary["rows"]:
        row |= {"paper": None, "source": ""}
    assert "Paper" not in markdown(summary)


def test_small_p_are_told_as_papers_do() -> None:
    assert [probability(p) for p in (0.00099, 0.001, 1.0)] == ["< .001", ".001", "1.000"]


@pytest.mark.parametrize(("seeds", "word"), [([3], "seed"), ([3, 4], "seeds")])
def test_the_page_counts_its_seeds(summary: dict[str, Any], seeds: list[int], word: str) -> None:
    html = re.sub(r"<[^>]*>|\s+", " ", page({**summary, "seeds": seeds}).html())
    assert re.search(rf"\s{word}\s+{len(seeds)}\s", html)


def test_curves_have_a_line_for_each_run_and_a_colour_for_each_row(
    summary: dict[str, Any],
) -> None:
    found = lines(summary)
    (axes,) = pages._figure(found * 3, "top1", "title", 100).axes
    drawn, ends = axes.get_lines()[::2], axes.get_lines()[1::2]
    assert len(drawn) == len(ends) == 3 * 8
    first, last = drawn[0], ends[0]
    assert list(first.get_xdata()) == [3200, 6400]
    assert list(first.get_ydata()) == pytest.approx([45, 90])
    assert (list(last.get_xdata()), list(last.get_ydata())) == ([6400], pytest.approx([90]))
    assert {line.get_color() for line in drawn[:3]} == {first.get_color()}
    styles = [(line.get_color(), line.get_linestyle()) for line in drawn]
    assert len({colour for colour, _ in styles}) == 6
    assert len(set(styles)) == 9  # rows whose colours stand again are dashed
    assert len(axes.get_legend().get_texts()) == 9
    assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)


def test_accuracies_are_drawn_in_per_cent_and_regions_as_they_are(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, drawn = pages._figure, {}

    def figure(found: Any, name: str, title: str, factor: float) -> Any:
        drawn[name] = factor
        return plain(found, name, title, factor)

    monkeypatch.setattr(pages, "_figure", figure)
    page(summary)
    assert drawn == {"top1": 100, "iou": 1}
