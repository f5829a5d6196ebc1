"""What the places of class nodes tell by themselves of who moves alike.

    STGRAPH_DATA=/path/to/data python benchmarks/places.py --run runs/sync_mnist_5_light

Takes the nodes of a model of :func:`stgraph.recipes.motion_classes` that a run has trained, and
nothing behind them. Who is told the digits of a clip takes the two whose offset varies least, of
the clips in which two move alike: with the places of every frame by itself, or followed by the
Bayes filter that the model has learnt; and with all frames alike, or each weighted by one over the
areas of both boxes, which are small where a kernel is sure of a place (the layer itself learns how
much that counts). Beside it, how far places are from the digits' centres, in the mean over clips of
the median, as parts of the frame; in how many clips the nodes of largest mass are those of its
digits, which the graph has to find out itself; and what the whole model answers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from facts import collect, write
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.classifiers import GraphClassifier
from stgraph.datasets import ClipBatch, SyncMNIST, label_pair, mnist
from stgraph.graph import to_dense
from stgraph.nodes import ClassNodes
from stgraph.training import model_of_run
from stgraph.training.scaling import signed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--clips", type=int, default=1000, help="of unseen digits")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    model = model_of_run(options.run).eval()
    if not isinstance(model, GraphClassifier) or not isinstance(model.net.nodes, ClassNodes):
        sys.exit(f"{options.run}: no run of a model with class nodes")
    data = SyncMNIST(mnist(split="test"), seed=options.seed, length=options.clips)
    facts = collect(torch.device("cpu"), options.seed, run=options.run.name, clips=len(data))
    reaches = {"frame by frame": 0, "followed": model.net.nodes.reach}
    rows: dict[str, list[Tensor]] = {}
    for first in range(0, len(data), 50):
        batch = data.batch(range(first, min(len(data), first + 50)))
        for name, reach in reaches.items():
            model.net.nodes.reach = reach
            graph = graph_of(model, batch["video"])
            for what, found in measured(graph, batch).items():
                rows.setdefault(f"{name}, {what}", []).append(found)
        rows.setdefault("digits named", []).append(named(graph, batch["digit_class"]))
        for what, found in answered(model, batch).items():
            rows.setdefault(f"answer: {what}", []).append(found)
    figures = {what: float(torch.cat(found).float().mean()) for what, found in rows.items()}
    for what, figure in figures.items():
        print(f"{what:44} {figure:.4f}")
    if options.json:
        write(options.json, facts | {"figures": figures})


@torch.no_grad()
def graph_of(model: GraphClassifier, video: Tensor) -> Batch:
    """The frame graphs of clips, before any layer."""
    maps = model.backbone(signed(video).flatten(0, 1)).unflatten(0, video.shape[:2])
    graph: Batch = model.net.nodes(maps)[0]
    return graph


def measured(graph: Batch, batch: ClipBatch) -> dict[str, Tensor]:
    """For every clip how far its digits' nodes are from them, and which two seem to move alike."""
    pos, box = (to_dense(field, graph) for field in (graph.pos, graph.box))  # [B, T, N, 2 or 4]
    area = (box[..., 2:] - box[..., :2]).prod(-1)
    digits = batch["digit_class"][:, None].expand(-1, pos.size(1), -1)
    pos = pos.gather(2, digits[..., None].expand(-1, -1, -1, 2))
    area = area.gather(2, digits)
    centre = (batch["box"][..., :2] + batch["box"][..., 2:]) / 2
    some = batch["synchronous"].any(1)
    return {
        "off": (pos - centre).norm(dim=-1).flatten(1).median(1).values,
        "all frames alike": alike(pos, torch.ones_like(area), batch["synchronous"])[some],
        "weighted by area": alike(pos, 1 / area, batch["synchronous"])[some],
    }


def named(graph: Batch, digits: Tensor) -> Tensor:
    """Whether the nodes of largest mass over all frames are those of the digits ``[B, M]``."""
    likely = to_dense(graph.mass, graph).sum(1).topk(digits.size(1)).indices
    return (likely.sort().values == digits.sort().values).all(1)


@torch.no_grad()
def answered(model: GraphClassifier, batch: ClipBatch) -> dict[str, Tensor]:
    """Which answers are right, and in which way the others are wrong."""
    answer, none = model(signed(batch["video"])).logits.argmax(1), model.classifier.out_features - 1
    right = answer == batch["label"]
    some = (answer != none) & (batch["label"] != none)
    pairs = torch.tensor([label_pair(min(int(label), none - 1)) for label in answer])
    here = (pairs[:, :, None] == batch["digit_class"][:, None]).any(2).all(1)
    return {
        "right": right,
        "of a digit that is not there": ~right & some & ~here,
        "another pair of its digits": ~right & some & here,
        "a pair for none, or none for a pair": ~right & ~some,
    }


def alike(pos: Tensor, weight: Tensor, synchronous: Tensor) -> Tensor:
    """Whether the two of ``pos [B, T, M, 2]`` with the least variance of offsets are the pair."""
    shares = weight[:, :, :, None] * weight[:, :, None]
    shares = shares / shares.sum(1, keepdim=True)
    offset = pos[:, :, :, None] - pos[:, :, None]
    mean = (shares[..., None] * offset).sum(1, keepdim=True)
    varied = (shares * (offset - mean).square().sum(-1)).sum(1)  # [B, M, M]
    count = pos.size(2)
    varied = varied.masked_fill(torch.eye(count, dtype=torch.bool), torch.inf)
    one, other = (
        part[:, None] for part in torch.unravel_index(varied.flatten(1).argmin(1), (count, count))
    )
    return (synchronous.gather(1, one) & synchronous.gather(1, other))[:, 0]


if __name__ == "__main__":
    main()
