"""How exactly windows that are drawn to what stands out follow digits, without any training.

    python benchmarks/following.py --json following.json

The clips are the demonstration's: 3 digits of 8 pixels on 48×48, steps of at most 3. An untrained
CNN makes the features; filters of a saliency are random. Beside the metrics of stgraph.metrics it
tells how many digits are *followed*: those for which some window is less than half a digit from
the centre, and its displacements are less than an eighth of a digit off, on average over the clip.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from facts import collect, write
from torch import Tensor

from stgraph.applications.demo import clips
from stgraph.backbones import TinyCNN
from stgraph.graph import to_dense
from stgraph.kernels import Bilinear
from stgraph.metrics import boxes_of_batch, boxes_of_graph, harmonic_mean, object_metrics
from stgraph.nodes import (
    Competition,
    Energy,
    FilterEnergy,
    FixedSizeWindows,
    MeanShiftRegions,
    NodeExtractor,
    grid_anchors,
)
from stgraph.recipes import small_followers, small_regions
from stgraph.training.scaling import signed

SETTLING = (1.25, 1.125, 1.0, 1.0, 1.0)
WIDE = (1.5, 1.375, 1.25, 1.125, 1.0, 1.0)


def rows() -> dict[str, NodeExtractor]:
    """The extractors, by name."""

    def windows(nodes: int = 9, half: float = 2.0, **options: object) -> MeanShiftRegions:
        rule = FixedSizeWindows.of(half)
        return MeanShiftRegions(32, nodes, windows=rule, anchors=grid_anchors, **options)

    frames, share = FilterEnergy, Competition()
    return {
        "regions of the generator, untrained": small_regions(),
        "energy of features, 16 windows": windows(16, saliency=Energy()),
        "energy of features, 9 windows": windows(saliency=Energy()),
        "energy of frames, 16 windows": windows(16, saliency=frames()),
        "energy of frames, 9 windows": windows(saliency=frames()),
        "... half-size 1.5": windows(half=1.5, saliency=frames()),
        "... half-size 2.5": windows(half=2.5, saliency=frames()),
        "... five moves a frame": windows(saliency=frames(), moves=(1.0,) * 5),
        "... competition, power 1": windows(saliency=frames(), competition=Competition(1.0)),
        "... competition": windows(saliency=frames(), competition=share),
        "... competition, power 3": windows(saliency=frames(), competition=Competition(3.0)),
        "... competition, 16 windows": windows(16, saliency=frames(), competition=share),
        "... competition, settling": windows(
            saliency=frames(), competition=share, settling=SETTLING
        ),
        "... competition, settling, half-size 2.25": windows(
            half=2.25, saliency=frames(), competition=share, settling=SETTLING
        ),
        "... competition, settling from wider": windows(
            saliency=frames(), competition=share, settling=WIDE
        ),
        "... settling alone": windows(saliency=frames(), settling=SETTLING),
        "... competition, settling, read at the centre": windows(
            saliency=frames(), competition=share, settling=SETTLING, sampling=Bilinear()
        ),
        "the demonstration's": small_followers(),
    }


def follows(pos: Tensor, box: Tensor) -> Tensor:
    """Which windows at ``[B, T, N, 2]`` follow which digits ``[B, T, M, 4]``: ``[B, M, N]``.

    All boxes are squares of one side.
    """
    centre = (box[..., :2] + box[..., 2:]) / 2
    error = pos.diff(dim=1)[:, :, None] - centre.diff(dim=1)[:, :, :, None]  # [B, T - 1, M, N, 2]
    side = box[0, 0, 0, 2] - box[0, 0, 0, 0]
    near = torch.cdist(centre, pos).mean(1) < side / 2  # on the digit, in the mean over the clip
    exact = error.norm(dim=-1).mean(1) < side / 8  # [B, M, N]
    return near & exact


def followed(pos: Tensor, box: Tensor) -> tuple[float, float]:
    """Share of digits that a window follows, and of clips all of whose digits are followed.

    Of windows at ``pos [B, T, N, 2]`` and boxes of digits ``box [B, T, M, 4]``.
    """
    found = follows(pos, box).any(-1)
    return float(found.float().mean()), float(found.all(-1).float().mean())


def measure(nodes: NodeExtractor, count: int, seed: int) -> dict[str, float | None]:
    """Measure an extractor on unseen clips."""
    batch = clips("test", count, seed=1).batch(range(count))
    video = signed(batch["video"])
    torch.manual_seed(seed)
    cnn = TinyCNN(1).eval()
    with torch.no_grad():
        maps = cnn(video.flatten(0, 1)).unflatten(0, video.shape[:2])
        hints = {"frames": video} if nodes.of_frames else {}
        graph, _ = nodes(maps, **hints)
    measured = object_metrics(boxes_of_graph(graph), boxes_of_batch(batch))
    told = {name: ratio.value for name, ratio in measured.items()}
    told["iou"] = harmonic_mean(told["iou_p"], told["iou_r"])
    told["followed"], told["all_followed"] = followed(to_dense(graph.pos, graph), batch["box"])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, list[dict[str, float | None]]] = {}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        for name, nodes in rows().items():
            results.setdefault(name, []).append(measure(nodes.eval(), options.clips, seed))
    shown = ("followed", "all_followed", "l2_r", "displacement", "iou", "common")
    print(" | ".join(("regions", *shown)))
    for name, runs in results.items():
        means = []
        for key in shown:
            values = [run[key] for run in runs if run[key] is not None]
            means.append(f"{sum(values) / len(values):.3f}" if values else "–")
        print(" | ".join((name, *means)))
    if options.json:
        facts = collect(torch.device("cpu"), 0, clips=options.clips, seeds=options.seeds)
        write(options.json, {**facts, "results": results})


if __name__ == "__main__":
    main()
