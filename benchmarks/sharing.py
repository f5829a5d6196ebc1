"""How many digits some window follows, and how many several do, for sizes and numbers of windows.

    python benchmarks/sharing.py --json sharing.json

Nothing is trained. The clips are MultiSyncMNIST's, of training digits: small ones, those of
`configs/experiments/subsets.yaml`, and those of full size, for which MNIST lies in
`$STGRAPH_DATA/mnist`. Windows begin on a grid and compete for cells, as in
`recipes.motion_subsets`; sizes are half the sides in pixels. What follows a digit is what
`benchmarks/following.py` says.

A simple rule *answers* what a clip is about: it is told the class of every digit, and which window
is nearest to it in the mean over the clip. Digits move alike where the offset of their windows
varies by less than a limit. The limit that is best on the first half of the clips is used on the
other half.
"""

from __future__ import annotations

import argparse
import math
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
import yaml
from facts import collect, write
from following import SETTLING, follows
from torch import Tensor

from stgraph.datasets import MultiSyncMNIST, mnist, none_label, pair_label, sklearn_digits
from stgraph.graph import to_dense
from stgraph.nodes import Competition, Contrast, FixedSizeWindows, MeanShiftRegions
from stgraph.training.scaling import signed

SMALL = Path(__file__).parents[1] / "configs" / "experiments" / "subsets.yaml"
ROWS = {
    "small": [(9, 9), (16, 9), (25, 9), (9, 12), (16, 12)],
    "full": [(16, 14), (25, 14), (36, 14), (25, 12), (36, 12), (49, 12), (25, 16), (25, 20)],
}
STRIDE = {"small": 2, "full": 4}
"""Pixels of a cell of the map that windows are drawn to."""


def clips(task: str) -> MultiSyncMNIST:
    """The clips of a task."""
    if task == "full":
        return MultiSyncMNIST(mnist(split="train"), seed=9)
    told = yaml.safe_load(SMALL.read_text(encoding="utf-8"))["set"]["data"]["train"]["init_args"]
    options = {name: told[name] for name in told.keys() - {"digits", "seed", "length"}}
    return MultiSyncMNIST(sklearn_digits(split="train"), seed=9, **options)


def measure(
    data: MultiSyncMNIST, batch: dict[str, Any], windows: int, half: int, stride: int
) -> dict[str, float]:
    """Shares of digits that a window follows, and that several do, and of clips answered."""
    video = signed(batch["video"])
    nodes = MeanShiftRegions(
        1,
        windows,
        saliency=Contrast(stride),
        settling=SETTLING,
        competition=Competition(),
        windows=FixedSizeWindows(video.size(-1) / half, cells=0.0),
    )
    side = video.size(-1) // 4
    features = torch.zeros(*video.shape[:2], 1, side, side)  # windows look at the frames alone
    with torch.no_grad():
        graph, _ = nodes(features, frames=video)
    pos = to_dense(graph.pos, graph)
    count = follows(pos, batch["box"]).sum(-1)
    return {
        "followed": float((count > 0).float().mean()),
        "shared": float((count > 1).float().mean()),
        "answered": answered(pos, batch, data.num_classes),
    }


def answered(pos: Tensor, batch: dict[str, Any], classes: int) -> float:
    """Share of clips that the simple rule answers, of windows at ``[B, T, N, 2]``."""
    box, digit = batch["box"], batch["digit_class"]
    centre = (box[..., :2] + box[..., 2:]) / 2
    nearest = torch.cdist(centre, pos).mean(1).argmin(-1)  # [B, M]
    place = pos.take_along_dim(nearest[:, None, :, None], dim=2)  # [B, T, M, 2]
    offset = place[:, :, :, None] - place[:, :, None]
    varied = (offset - offset.mean(1, keepdim=True)).square().sum(-1).mean(1)  # [B, M, M]
    varied[nearest[:, :, None] == nearest[:, None]] = math.inf  # one window says nothing of two
    pairs = [[pair_label(a, b, classes) for b in range(classes)] for a in range(classes)]
    labels, half = torch.tensor(pairs), len(digit) // 2
    shares = []
    for limit in torch.logspace(-6, -2, 41):
        moves = (varied < limit).any(-1)
        least = digit.masked_fill(~moves, classes).amin(-1).clamp_max(classes - 1)
        label = labels[least, digit.masked_fill(~moves, 0).amax(-1)]
        label[~moves.any(-1)] = none_label(classes)
        right = (label == batch["label"]).float()
        shares.append((float(right[:half].mean()), float(right[half:].mean())))
    return max(shares, key=itemgetter(0))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--tasks", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.clips < 2:
        parser.error(f"--clips: expected 2 or more, one half for the limit, got {options.clips}")
    results = []
    print("clips | windows | half-size | followed | by two or more | answered")
    for task in options.tasks:
        data = clips(task)
        batch = data.batch(range(options.clips))
        for windows, half in ROWS[task]:
            found = measure(data, batch, windows, half, STRIDE[task])
            results.append({"clips": task, "windows": windows, "half_size": half, **found})
            shares = (f"{share:.3f}" for share in found.values())
            print(" | ".join((task, str(windows), str(half), *shares)))
    if options.json:
        facts = collect(torch.device("cpu"), 9, clips=options.clips)
        write(options.json, {**facts, "results": results})


if __name__ == "__main__":
    main()
