"""Write the pages of the documentation that say what the files in benchmarks/results/ do.

python benchmarks/pages.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stgraph.studies import collected

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks/results", ROOT / "docs/performance.md"
COLLECTED = {
    "reproduction": (
        RESULTS / "tables",
        """# Reproduction

Made by `python benchmarks/pages.py` from `benchmarks/results/tables/`, where
`stgraph study FILE --collect benchmarks/results/tables` puts what a study has reached, partial or
whole; a test holds it to them. [Studies](studies.md) tells how they are made, and
[Experiments](experiments.md) has what was tried to find out what learns.
""",
    ),
    "experiments": (
        RESULTS / "experiments",
        """# Experiments

Made by `python benchmarks/pages.py` from `benchmarks/results/experiments/`, where
`stgraph study FILE --collect benchmarks/results/experiments` puts what a study of
`configs/experiments` has reached, partial or whole; a test holds it to them.
[Learning](learning.md#what-experiments-say) says what follows from them.
""",
    ),
}
"""Pages of studies: where their files lie, and their heads."""

GROWTH = {
    "nodes": "A space layer of 64 channels, forward and backward",
    "frames": "A DyReG block at 16×16×32 on one clip, forward and backward",
    "rstg": "RSTG's block on 2 clips of 8 frames, forward and backward",
    "sparse": "Sparse graphs of 1,024 nodes of 64, forward and backward",
    "insert": "What `insert` adds to a CNN next to nothing",
    "start": "The command line, least of several processes",
}

ONLY_OURS = (
    "Only our block is compiled, and only for the times: the straightforward one runs as it is, "
    "and what is saved and the operators are those of our block as it is."
)

LEAST = {
    "matmul of its MACs": "least here: its products alone",
    "copy of its bytes": "least here: the bytes of all others",
}

TRAINED = {
    "demonstration": "the demonstration's dynamic model, as each demonstrates it",
    "small": "`dyreg_small`, the demonstration's at 4c7eda6, on its clips",
    "full": "full DyReG on MultiSyncMNIST",
}


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    for name in COLLECTED:
        place(name).write_text(of_studies(name), encoding="utf-8")


def page(results: Path = RESULTS) -> str:
    """The page that the figures of a folder make."""
    lines = [
        "# Performance",
        "",
        "Made by `python benchmarks/pages.py` from `benchmarks/results/`; a test holds it to them.",
        "`make bench` measures all of it, and says where it puts JSON and Markdown.",
        "What is compared is timed in turn in one run, so read ratios: machines differ, and on one",
        "whose load says that it was busy, times are those of a busy machine. Where a spread of",
        "turns stands beside a difference and holds 0, no difference was found. The",
        "straightforward block is the structure of DyReG's official code in plain PyTorch with",
        "PyTorch's GRU, of the same weights, and a test holds both to equal outputs and gradients.",
    ]
    for kind, section in SECTIONS.items():
        for path in sorted(results.glob(f"{kind}-*.json"), key=lambda path: path.stem):
            lines += section(json.loads(path.read_text("utf-8")))
    return "\n".join(lines) + "\n"


def place(name: str) -> Path:
    """Where a page of studies lies."""
    return ROOT / "docs" / f"{name}.md"


def of_studies(name: str) -> str:
    """A page of studies: the papers' tables, or the experiments."""
    return collected(*COLLECTED[name])


def origin(facts: dict[str, Any]) -> list[str]:
    """Where figures come from."""
    torch = facts["versions"]["torch"]
    made = f"{facts['machine']}, load {facts.get('load', 'not noted')}; PyTorch {torch}"
    made += f"; commit {facts['commit']}; {facts['date']}"
    return ["", f"`{facts['command']}`: {made}."]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table after an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return ["", *(f"| {' | '.join(line)} |" for line in lines)]


def where(facts: dict[str, Any]) -> str:
    """The device, and what else a title says of it."""
    said = [facts["device"]]
    if facts["device"] == "CPU":
        said.append(f"threads: {facts['threads']}")
    if "precision" in facts:
        said.append(facts["precision"])
    if mode := facts.get("compiled"):
        said.append("compiled" + (f" ({mode})" if isinstance(mode, str) else ""))
    return ", ".join(said)


def blocks(facts: dict[str, Any]) -> list[str]:
    """A table of blocks beside straightforward ones."""
    rows = []
    for made in facts["blocks"].values():
        cells = [f"({', '.join(map(str, made['sizes']))})"]
        for which in ("forward", "both"):
            plain, ours = (made["seconds"][f"{one}, {which}"] for one in ("plain", "stgraph"))
            cells.append(f"{1e3 * plain:.1f} / {1e3 * ours:.1f} = {plain / ours:.2f} ×")
        plain, ours = (made[one]["saved"] / 2**20 for one in ("plain", "stgraph"))
        cells.append(f"{plain:.1f} / {ours:.1f} = {plain / ours:.2f} ×")
        cells.append(f"{made['plain']['calls, both']} / {made['stgraph']['calls, both']}")
        rows.append(cells)
    head = ["(B, T, C, H, width)", "forward, ms", "forward and backward, ms", "saved, MiB"]
    title = f"## A block beside a straightforward one: {where(facts)}"
    said = ["", ONLY_OURS] if facts.get("compiled") else []
    return ["", title, *origin(facts), *said, *table([*head, "operators"], rows)]


def breakdown(facts: dict[str, Any]) -> list[str]:
    """A table of where the time of blocks goes."""
    made = list(facts["blocks"].values())
    head = ["ms", *(f"({', '.join(map(str, one['sizes']))})" for one in made)]
    rows = []
    for kind in made[0]["kinds"]["stgraph"]:
        cells = []
        for one in made:
            plain, ours = (one["kinds"][name][kind] for name in ("plain", "stgraph"))
            share = ours / sum(one["kinds"]["stgraph"].values())
            cells.append(f"{1e3 * plain:.1f} / {1e3 * ours:.1f} ({share:.0%})")
        rows.append([kind, *cells])
    seconds = [one["seconds"] for one in made]
    both = [f"{1e3 * one['plain']:.1f} / {1e3 * one['stgraph']:.1f}" for one in seconds]
    rows.append(["all, without the profiler", *both])
    for name, title in LEAST.items():
        rows.append([title, *(f"{1e3 * one[name]:.1f}" for one in seconds)])
    peaks = [[one["peak"][name] / 2**20 for name in ("plain", "stgraph")] for one in made]
    rows.append(["most memory at once, MiB", *(f"{one:.1f} / {two:.1f}" for one, two in peaks)])
    return [
        "",
        f"## Where the time of a block goes: {where(facts)}",
        *origin(facts),
        "",
        "Forward and backward pass, straightforward / here, and the share of the time here, each",
        "operator with its own time. Python and dispatch is what no computing operator has spent,",
        "the profiler's own share included. The rows of the least are what a plain product of as",
        "many multiply-accumulates, and plain copies of as many bytes as all other operators read",
        "and write, take in the same run.",
        *table(head, rows),
        "",
        "The same of small trainings; optimiser and data are not in it.",
        *table(*steps(facts["trainings"])),
    ]


def steps(trainings: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of where the time of training steps goes."""
    made = trainings.values()
    head = ["ms", *(f"{TRAINED[name]}: {one['clips']} clips" for name, one in trainings.items())]
    rows = []
    for kind in next(iter(made))["kinds"]:
        shares = [one["kinds"][kind] / sum(one["kinds"].values()) for one in made]
        cells = zip(made, shares, strict=True)
        rows.append(
            [kind, *(f"{1e3 * one['kinds'][kind]:.1f} ({share:.0%})" for one, share in cells)]
        )
    for name in next(iter(made))["seconds"]:
        rows.append(
            [f"{name}, no profiler", *(f"{1e3 * one['seconds'][name]:.1f}" for one in made)]
        )
    return head, rows


def models(facts: dict[str, Any]) -> list[str]:
    """Tables of whole models that answer and train."""
    lines = ["", f"## Whole models: {where(facts)}", *origin(facts)]
    rows = []
    for name, one in facts["answering"].items():
        cells = [name, f"{one['clips/s']:.3g}", f"{one['macs'] / 1e9:.2f}"]
        if "added time" in one:
            cells += [f"{one['speed beside']:.3f}", f"{facts['paper'][name]:.3f}"]
            cells += [f"{one['added macs']:+.2%}"]
            span = f"{one['added time, least']:+.1%} … {one['added time, most']:+.1%}"
            cells += [f"{one['added time']:+.2%} ({span})", f"{one['blocks alone']:+.2%}"]
            cells += [f"{one['added time / added macs']:.1f}"]
            cells += [f"{one['blocks alone / added macs']:.1f}"]
        rows.append(cells + [""] * (10 - len(cells)))
    head = ["16×224×224, evaluation", "clips/s", "G MACs", "speed beside the first"]
    head += ["in the paper", "added MACs", "added time (turns)", "blocks by themselves"]
    head += ["added time / MACs", "blocks / MACs"]
    lines += table(head, rows)
    rows = [
        [
            TRAINED[name],
            f"{one['batch']}",
            f"{one['steps/s']:.3g}",
            f"{one['clips/s']:,.3g}",
            f"{one['data alone, clips/s']:,.4g}",
            f"{one['data / training']:.1f}",
        ]
        for name, one in facts["training"].items()
    ]
    head = ["training, data included", "batch", "steps/s", "clips/s", "data alone, clips/s"]
    return lines + table([*head, "data / training"], rows)


def against(facts: dict[str, Any]) -> list[str]:
    """A table of training beside another commit."""
    head = ["training, data included", f"clips/s at {facts['against']}", "clips/s here", "ratio"]
    head.append("of processes' own time")
    rows = [
        [TRAINED[name], f"{one['there']:.2f}", f"{one['here']:.2f}"]
        + [f"{one[ratio]:.2f} ×" for ratio in ("ratio", "ratio, process time")]
        for name, one in facts["trainings"].items()
    ]
    title = f"## Training beside commit {facts['against']}: {where(facts)}"
    said = ["", "Clips a second are medians over turns; ratios are medians of each turn's own."]
    return ["", title, *origin(facts), *said, *table(head, rows)]


def graphs(facts: dict[str, Any]) -> list[str]:
    """Tables of what frame graphs cost in a block."""
    title = f"## Frame graphs in a block on {facts['clips']} clips: {where(facts)}"
    return [
        "",
        title,
        *origin(facts),
        *milliseconds("MultiSyncMNIST's block, 10 frames a clip, no gradients", facts["seconds"]),
        *table(["ratio", ""], [[name, f"{one:.3f}"] for name, one in facts["ratios"].items()]),
    ]


def growth(facts: dict[str, Any]) -> list[str]:
    """Tables of how cost grows."""
    lines = ["", f"## How cost grows: {where(facts)}", *origin(facts)]
    for part, title in GROWTH.items():
        lines += milliseconds(title, facts["seconds"][part])
    return lines


def stream(facts: dict[str, Any]) -> list[str]:
    """Tables of a stream's latency and memory."""
    early = max(1, facts["frames"] // 10)
    head = ["bytes of", f"after {early:,} frames", f"after {facts['frames']:,}", "grown by"]
    rows = [
        [name, f"{first:,}", f"{last:,}", f"{last - first:,}"]
        for name, (first, last) in facts["bytes"].items()
    ]
    return [
        "",
        f"## A stream through a block: {where(facts)}",
        *origin(facts),
        *milliseconds("A DyReG block at 14×14×256, a frame at a time", facts["seconds"]),
        *table(head, rows),
    ]


def clips(facts: dict[str, Any]) -> list[str]:
    """A table of how fast synthetic clips are made."""
    head = ["clips a second, best of several runs", "ids and coordinates", "frames", "both"]
    rows = [
        [name, *(f"{one[part]:,.0f}" for part in ("scenes", "frames", "whole"))]
        for name, one in facts["clips_per_second"].items()
    ]
    title = f"## Synthetic clips, {facts['batch']} at once: {where(facts)}"
    return ["", title, *origin(facts), *table(head, rows)]


def throughput(facts: dict[str, Any]) -> list[str]:
    """Tables of clips a second."""
    lines = ["", f"## Clips a second, {facts['clips']} at a time: {where(facts)}", *origin(facts)]
    lines += [
        "",
        "A share is that of the model without graphs or blocks; DyReG's paper has its own",
        "of a GTX 1080 Ti, 16 clips at a time.",
    ]
    for clip, models in facts["throughput"].items():
        rows = [
            [name, f"{one['clips']:.3g}", *(_share(one[of]) for of in ("share", "paper"))]
            for name, one in models.items()
        ]
        lines += table([clip, "clips a second", "share", "share in the paper"], rows)
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def milliseconds(title: str, seconds: dict[str, float]) -> list[str]:
    """A table of times."""
    return table([title, "ms"], [[name, f"{1e3 * one:.2f}"] for name, one in seconds.items()])


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "speed": blocks,
    "breakdown": breakdown,
    "models": models,
    "against": against,
    "block": graphs,
    "growth": growth,
    "stream": stream,
    "generator": clips,
    "throughput": throughput,
}
"""The page's sections, by the names of the files that they are made of."""


if __name__ == "__main__":
    main()
