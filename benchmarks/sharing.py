"""How many windows that are drawn to contrast follow a digit, of sizes and numbers, untrained.

    python benchmarks/sharing.py --json sharing.json

The clips are MultiSyncMNIST's, of training digits: small ones, those of
`configs/experiments/subsets.yaml`, and those of full size, for which MNIST lies in
`$STGRAPH_DATA/mnist`. Windows begin on a grid and compete for cells, as in
`recipes.motion_subsets`; sizes are half the sides in pixels. What follows a digit is what
`benchmarks/following.py` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from facts import collect, write
from following import follows

from stgraph.datasets import MultiSyncMNIST, mnist, sklearn_digits
from stgraph.graph import to_dense
from stgraph.nodes import Competition, Contrast, FixedSizeWindows, MeanShiftRegions
from stgraph.training.scaling import signed

SETTLING = (1.25, 1.125, 1.0, 1.0, 1.0)
SMALL = {"num_classes": 5, "frames": 8, "canvas": 64, "size": 64, "step": 3}
ROWS = {
    "small": [(9, 9), (16, 9), (25, 9), (9, 12), (16, 12)],
    "full": [(16, 14), (25, 14), (36, 14), (25, 16), (25, 20)],
}


def clips(task: str) -> MultiSyncMNIST:
    """The clips of a task."""
    if task == "full":
        return MultiSyncMNIST(mnist(split="train"), seed=9)
    digits = sklearn_digits(split="train")
    return MultiSyncMNIST(digits, seed=9, draw_order="random", p_none=0.0625, **SMALL)


def measure(batch: dict[str, Any], windows: int, half: int) -> dict[str, float]:
    """Shares of digits that a window follows, and that several do."""
    video = signed(batch["video"])
    nodes = MeanShiftRegions(
        1,
        windows,
        saliency=Contrast(2 if video.size(-1) < 100 else 4),
        settling=SETTLING,
        competition=Competition(),
        windows=FixedSizeWindows(video.size(-1) / half, cells=0.0),
    )
    features = torch.zeros(*video.shape[:2], 1, 16, 16)  # windows look at the frames alone
    with torch.no_grad():
        graph, _ = nodes(features, frames=video)
    count = follows(to_dense(graph.pos, graph), batch["box"]).sum(-1)
    return {
        "followed": float((count > 0).float().mean()),
        "shared": float((count > 1).float().mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--tasks", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    print("clips | windows | half-size | followed | by two or more")
    for task in options.tasks:
        batch = clips(task).batch(range(options.clips))
        for windows, half in ROWS[task]:
            found = measure(batch, windows, half)
            results.append({"clips": task, "windows": windows, "half_size": half, **found})
            print(f"{task} | {windows} | {half} | {found['followed']:.3f} | {found['shared']:.3f}")
    if options.json:
        facts = collect(torch.device("cpu"), 9, clips=options.clips)
        write(options.json, {**facts, "results": results})


if __name__ == "__main__":
    main()
