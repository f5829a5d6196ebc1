"""Write docs/performance.md and docs/reproduction.md from the figures in benchmarks/results/.

python benchmarks/pages.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stgraph.studies import reproduction

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks/results", ROOT / "docs/performance.md"
TABLES, REPRODUCTION = RESULTS / "tables", ROOT / "docs/reproduction.md"

GROWTH = {
    "nodes": "A space layer of 64 channels, forward and backward",
    "frames": "A DyReG block at 16×16×32 on one clip, forward and backward",
    "rstg": "RSTG's block on 2 clips of 8 frames, forward and backward",
    "sparse": "Sparse graphs of 1,024 nodes of 64, forward and backward",
    "stream": "A stream through a DyReG block at 14×14×256, a frame at a time",
    "insert": "What `insert` adds to a CNN next to nothing",
    "start": "The command line, least of several processes",
}


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    REPRODUCTION.write_text(reproduced(), encoding="utf-8")


def page() -> str:
    """The page that the figures make."""
    lines = [
        "# Performance",
        "",
        "Made by `python benchmarks/pages.py` from `benchmarks/results/`; a test holds it to them.",
        "What is compared is timed in turn in one run, so read ratios: machines differ, and on one",
        "whose load says that it was busy, times are those of a busy machine. The",
        "straightforward block is the structure of DyReG's official code in plain PyTorch with",
        "PyTorch's GRU, of the same weights, and a test holds both to equal outputs and gradients.",
    ]
    for path in sorted(RESULTS.glob("speed-*.json")):
        lines += blocks(json.loads(path.read_text("utf-8")))
    for path in sorted(RESULTS.glob("growth-*.json")):
        lines += growth(json.loads(path.read_text("utf-8")))
    for path in sorted(RESULTS.glob("throughput-*.json")):
        lines += throughput(json.loads(path.read_text("utf-8")))
    return "\n".join(lines) + "\n"


def reproduced() -> str:
    """The page of the papers' tables."""
    return reproduction(TABLES)


def origin(facts: dict[str, Any]) -> list[str]:
    """Where figures come from."""
    torch = facts["versions"]["torch"]
    made = f"{facts['machine']}, load {facts.get('load', 'not noted')}; PyTorch {torch}"
    made += f"; commit {facts['commit']}; {facts['date']}"
    return ["", f"`{facts['command']}`: {made}."]


def blocks(facts: dict[str, Any]) -> list[str]:
    """A table of blocks beside straightforward ones."""
    where = facts["device"] + (f", threads: {facts['threads']}" if facts["device"] == "CPU" else "")
    lines = ["", f"## A block beside a straightforward one: {where}, {facts['precision']}"]
    lines += origin(facts)
    lines += [
        "",
        "| (B, T, C, H, width) | forward, ms | forward and backward, ms | saved, MiB | operators |",
        "|---|---|---|---|---|",
    ]
    for made in facts["blocks"].values():
        cells = [f"({', '.join(map(str, made['sizes']))})"]
        for which in ("forward", "both"):
            plain, ours = (made["seconds"][f"{one}, {which}"] for one in ("plain", "stgraph"))
            cells.append(f"{1e3 * plain:.1f} / {1e3 * ours:.1f} = {plain / ours:.2f} ×")
        plain, ours = (made[one]["saved"] / 2**20 for one in ("plain", "stgraph"))
        cells.append(f"{plain:.1f} / {ours:.1f} = {plain / ours:.2f} ×")
        cells.append(f"{made['plain']['calls, both']} / {made['stgraph']['calls, both']}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def growth(facts: dict[str, Any]) -> list[str]:
    """Tables of how cost grows."""
    lines = ["", f"## How cost grows: {facts['device']}", *origin(facts)]
    for part, title in GROWTH.items():
        lines += ["", f"| {title} | ms |", "|---|---|"]
        rows = facts["seconds"][part].items()
        lines += [f"| {name} | {1e3 * seconds:.2f} |" for name, seconds in rows]
    return lines


def throughput(facts: dict[str, Any]) -> list[str]:
    """Tables of clips a second."""
    where = facts["device"] + (f", threads: {facts['threads']}" if facts["device"] == "CPU" else "")
    lines = ["", f"## Clips a second: {where}, {facts['clips']} at a time", *origin(facts)]
    lines += [
        "",
        "A share is that of the model without graphs or blocks; DyReG's paper has its own",
    ]
    lines += ["of a GTX 1080 Ti, 16 clips at a time."]
    for clip, rows in facts["throughput"].items():
        lines += [
            "",
            f"| {clip} | clips a second | share | share in the paper |",
            "|---|---|---|---|",
        ]
        for name, one in rows.items():
            shares = ["" if one[of] is None else f"{one[of]:.3f}" for of in ("share", "paper")]
            lines.append(f"| {name} | {one['clips']:.3g} | {' | '.join(shares)} |")
    return lines


if __name__ == "__main__":
    main()
