"""The datasheet of a graph data set, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stgraph.datasets.graphs.sheet import INDEX, SKIPPED, Skipped

__all__ = ["readme"]

_SHOWN = 20


def readme(facts: Mapping[str, Any], skipped: Sequence[Skipped]) -> str:
    """Return the page that lies beside ``datasheet.json``, in Markdown."""
    plan, made, counts = facts["plan"], facts["made"], facts["counts"]
    wanted, clips = plan["wanted"], plan["clips"]
    kind = "one a frame" if wanted["graphs"] == "frames" else "one a clip, in space and time"
    form = "InMemoryGraphs"
    lines = [
        "# Graphs of video clips",
        "",
        f"{counts['graphs']:,} graphs, {kind}, of {counts['clips']:,} clips "
        f"(`{plan['split']}` of `{clips['dataset']}`), made by stgraph {facts['stgraph']} with a "
        f"trained {plan['model']}.",
        "",
        "```python",
        f"from stgraph.datasets.graphs import {form}, OnDiskGraphs",
        "",
        f'dataset = {form}("this/folder")  # OnDiskGraphs, where it is larger than memory',
        "```",
        "",
        "Each `raw/*.pt` alone is `(fields, slices)`, as PyG's `InMemoryDataset.load` reads it,",
        "with `weights_only=True` and without stgraph.",
        "",
        "## Counts",
        "",
        *_table(["what", "number"], [(name, f"{number:,}") for name, number in counts.items()]),
        "",
        "## Fields",
        "",
        *_table(["field", "kind"], [(f"`{k}`", v) for k, v in facts["fields"].items()]),
        "",
        f"`x` is what the model has of each node {_stage(wanted)}"
        + (", in half precision." if wanted["half"] else "."),
    ]
    if facts["edge_attr"]:
        lines += ["", "Columns of `edge_attr`: " + "; ".join(facts["edge_attr"]) + "."]
    if facts["labels"]:
        rows = [(_label(k, facts["label_names"]), f"{n:,}") for k, n in facts["labels"].items()]
        lines += ["", "## Labels", "", *_table(["label", "graphs"], rows)]
    lines += ["", "## Left out", "", *_left_out(skipped)]
    rows = [
        ("weights", f"SHA-256 `{plan['weights']['sha256']}`"),
        *((name, f"`{value}`") for name, value in _checkpoint(made)),
        ("made with", ", ".join(f"{name} {value}" for name, value in plan["versions"].items())),
        ("decoder", ", ".join(f"{k} {v}" for k, v in (clips["decoder"] or {}).items()) or "none"),
        ("computed on", f"{plan['device']}, precision {plan['precision']}; {made['machine']}"),
        ("batches", f"{clips['batch_size']} clips, in shards of {plan['shard_clips']}"),
        ("date", made["date"]),
        ("source", made["commit"] or "a release"),
    ]
    lines += ["", "## From where", "", *_table(["what", "which"], rows)]
    if made["command"]:
        lines += ["", "Made, and made again, by", "", "```console", made["command"], "```"]
    lines += [
        "",
        f"`datasheet.json` has all of this and the configuration; `{INDEX}` every shard with its",
        f"SHA-256, `{SKIPPED}` every clip that was left out.",
        "",
    ]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(heads), "|---" * len(heads) + "|", *map(line, rows)]


def _stage(wanted: Mapping[str, Any]) -> str:
    named = {"nodes": "as the extractor makes it", "processed": "after the whole schedule"}
    where = f" at {wanted['place']}" if wanted["place"] else ""
    return named.get(wanted["features"], f"after {wanted['features']} of the schedule") + where


def _label(number: str, names: Sequence[str]) -> str:
    return names[int(number)] if int(number) < len(names) else number


def _checkpoint(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = made.get("checkpoint")
    if not isinstance(found, Mapping):
        return []
    return [("checkpoint", str(found["file"])), ("its SHA-256", str(found["sha256"]))]


def _left_out(skipped: Sequence[Skipped]) -> list[str]:
    if not skipped:
        return ["No clip."]
    shown = [(str(one.clip), one.name, one.reason) for one in skipped[:_SHOWN]]
    more = len(skipped) - len(shown)
    return _table(["clip", "name", "why"], shown) + (["", f"and {more:,} more."] if more else [])
