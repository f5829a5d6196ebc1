"""Clips a second of the models of docs/costs.md, in evaluation mode.

    python benchmarks/throughput.py --json benchmarks/results/throughput-cpu.json
    python benchmarks/throughput.py --device cuda --clips 16 \\
        --json benchmarks/results/throughput-cuda.json

Those that see the same clips are timed in turn in one run, so read them against each other: beside
what a model does stands its share of the model's without graphs or blocks, and the same share in
DyReG's paper.
"""

from __future__ import annotations

from typing import Any

import torch
from facts import collect, write
from macs import TABLES, Clip, Row
from measure import arguments, medians, ready


def main() -> None:
    parser = arguments(__doc__, threads=1, repeat=3)
    parser.add_argument("--clips", type=int, default=1, help="clips at a time")
    options = parser.parse_args()
    device = ready(options)
    facts = collect(device, options.seed, threads=options.threads, clips=options.clips)
    tables = {}
    for clip, rows in TABLES.items():
        name = "×".join(map(str, clip))
        tables[name] = measured(clip, rows, options.clips, options.repeat, device)
        for row, one in tables[name].items():
            print(f"{name:12} {row:24} {one}", flush=True)
    if options.json:
        write(options.json, facts | {"throughput": tables})


@torch.no_grad()
def measured(
    clip: Clip, rows: list[Row], clips: int, repeat: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Clips a second of the models of a table, and shares of those that they add to."""
    video = torch.rand(clips, *clip, device=device)
    models = {row.name: row.make().eval().to(device) for row in rows}
    parts = {name: lambda model=model: model(video) for name, model in models.items()}
    speed = {name: clips / seconds for name, seconds in medians(parts, repeat, device).items()}
    printed = {row.name: row.paper.clips for row in rows if row.paper is not None}
    return {
        row.name: {
            "clips": speed[row.name],
            "share": speed[row.name] / speed[row.on] if row.on else None,
            "paper": ratio(printed.get(row.name), printed.get(row.on)),
        }
        for row in rows
    }


def ratio(one: float | None, other: float | None) -> float | None:
    """One of the other, where both are known."""
    return None if one is None or other is None else one / other


if __name__ == "__main__":
    main()
