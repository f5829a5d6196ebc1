"""What the drawing order of SyncMNIST's digits gives away to who sees overlaps alone.

    STGRAPH_DATA=/path/to/data python benchmarks/overlaps.py --json overlaps.json

Digits that move alike are drawn first, so they never cover another one. An oracle is told of every
two digits that meet in some frame which one covers the other, and nothing of their motion; it
guesses among the pairs that cover none of the others. Its accuracy is one over the number of these,
in the mean over the official test clips.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from facts import collect, write

from stgraph.datasets import OfficialSyncMNIST, mnist

INK = 10
"""Of a pixel that covers what is below, as the official renderer has it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    digits = mnist(split="test")
    data = OfficialSyncMNIST(digits)
    scenes = data.scenes(np.arange(options.clips))
    ink = digits.images[scenes.image] >= INK  # [n, 5, 28, 28]
    right, left = [], []
    for one, paths, synchronous in zip(ink, scenes.top_left, scenes.synchronous, strict=True):
        covers = {
            (i, j): any(meets(one[i], one[j], frame[i] - frame[j]) for frame in paths)
            for i, j in combinations(range(len(one)), 2)  # i is drawn before j
        }
        pairs = [pair for pair in combinations(range(len(one)), 2) if not covering(pair, covers)]
        truth = tuple(np.flatnonzero(synchronous))
        left.append(len(pairs))
        right.append((truth in pairs) / len(pairs))
    found = {"accuracy": float(np.mean(right)), "pairs left": float(np.mean(left))}
    facts = collect(torch.device("cpu"), 0, clips=options.clips)
    print(f"accuracy {found['accuracy']:.4f}, {found['pairs left']:.2f} of 10 pairs left")
    if options.json:
        write(options.json, facts | found)


def meets(below: np.ndarray, above: np.ndarray, offset: np.ndarray) -> bool:
    """Whether ink of two images meets, the first one at an offset (row, column) of the other."""
    row, column = map(int, offset)
    side = len(below)
    if abs(row) >= side or abs(column) >= side:
        return False
    here = below[max(0, -row) : side - max(0, row), max(0, -column) : side - max(0, column)]
    there = above[max(0, row) : side + min(0, row), max(0, column) : side + min(0, column)]
    return bool((here & there).any())


def covering(pair: tuple[int, int], covers: dict[tuple[int, int], bool]) -> bool:
    """Whether one of a pair lies on a digit outside it."""
    return any(met and j in pair and i not in pair for (i, j), met in covers.items())


if __name__ == "__main__":
    main()
