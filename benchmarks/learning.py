"""Trainings on the demonstration's task, by which docs/learning.md tells what made it learn.

    python benchmarks/learning.py --row followers --json followers.json

One thread. Each row is a model and a way to train it: see ROWS. What is written holds the curve:
clips seen, losses, accuracy on unseen clips, and what stgraph.metrics says of the regions.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from facts import collect, write
from torch import nn

from stgraph import recipes
from stgraph.applications.demo import CLASSES, LABELS, clips
from stgraph.classifiers import GraphClassifier
from stgraph.datasets import SyncMNIST
from stgraph.edges import FullEdges
from stgraph.layers import CommonFate
from stgraph.metrics import boxes_of_batch, boxes_of_graph, harmonic_mean, object_metrics
from stgraph.nodes import BoxNodes, Energy, FilterEnergy, MeanShiftRegions, NodeExtractor
from stgraph.training import NodeClasses
from stgraph.training.scaling import signed

OBJECTS = ("l2_r", "displacement", "common")


@dataclass(frozen=True)
class Row:
    """An extractor, and how the model around it is trained.

    With ``displacement`` nodes are told theirs, and with ``fate`` they hear those that move alike
    in place of attention. Clips of ``frames`` frames are shown for ``warmup`` steps of ``batch``
    before the training, to the auxiliary loss alone.
    """

    nodes: Callable[[], NodeExtractor]
    over: str = "softmax"
    displacement: bool = True
    fate: bool = False
    warmup: int = 100
    batch: int = 192
    frames: int = 1
    warmup_lr: float = 8e-3


ROWS = {
    "followers": Row(recipes.small_followers),
    "followers, no warm-up": Row(recipes.small_followers, warmup=0),
    "followers, maximum": Row(recipes.small_followers, over="max"),
    "followers, no displacement": Row(recipes.small_followers, displacement=False),
    "followers, common fate": Row(recipes.small_followers, fate=True),
    "followers, common fate alone": Row(recipes.small_followers, displacement=False, fate=True),
    "drawn by features": Row(
        lambda: MeanShiftRegions(32, 16, FullEdges(), Energy()), "max", True, 200, 96, 2, 5e-3
    ),
    "drawn by frames": Row(lambda: MeanShiftRegions(32, 9, FullEdges(), FilterEnergy())),
    "predicted": Row(recipes.small_regions),
    "true boxes": Row(lambda: BoxNodes(32, 3, FullEdges())),
}


def built(row: Row) -> GraphClassifier:
    """The row's model."""
    made = recipes.motion_small(LABELS, row.nodes())
    if not row.displacement:
        nn.init.zeros_(made.net.layers["displacement"].linear.weight).requires_grad_(False)
    if row.fate:
        made.net.layers["space"] = CommonFate(made.net.nodes.out_channels)
    return made.to(memory_format=torch.channels_last)


def shown(data: SyncMNIST, first: int, count: int, boxes: bool) -> tuple[Any, Any, dict[str, Any]]:
    """A clip batch, its video and the hints of the model."""
    batch = data.batch(range(first, first + count))
    return batch, signed(batch["video"]), {"boxes": batch["box"]} if boxes else {}


@torch.no_grad()
def tested(model: GraphClassifier, count: int, seed: int, boxes: bool) -> dict[str, Any]:
    """Accuracy on unseen clips, and how the regions lie."""
    model.eval()
    data, right = clips("test", count, seed=seed + 1), 0
    total: dict[str, Any] = {}
    for first in range(0, count, 250):
        batch, video, hints = shown(data, first, min(250, count - first), boxes)
        out = model(video, **hints)
        right += int((out.logits.argmax(1) == batch["label"]).sum())
        measured = object_metrics(boxes_of_graph(out.graph), boxes_of_batch(batch))
        for name, ratio in measured.items():
            total[name] = total[name] + ratio if name in total else ratio
    model.train()
    objects = {name: total[name].value for name in OBJECTS}
    objects["iou"] = harmonic_mean(total["iou_p"].value, total["iou_r"].value)
    return {"accuracy": right / count, **objects}


def fit(
    row: Row, steps: int, batch_size: int, lr: float, test_clips: int, seed: int
) -> list[dict[str, Any]]:
    """Train a row; return its curve."""
    torch.manual_seed(seed)
    model = built(row)
    boxes = isinstance(model.net.nodes, BoxNodes)
    auxiliary = NodeClasses(model.net.nodes.out_channels, CLASSES, over=row.over)
    parameters = [*model.parameters(), *auxiliary.parameters()]
    begun, curve = time.perf_counter(), []
    for stage in ("warmup", "train"):
        warm = stage == "warmup"
        count, size = (row.warmup, row.batch) if warm else (steps, batch_size)
        if not count:
            continue
        data = clips("train", count * size, row.frames if warm else 6, seed + 2 if warm else seed)
        optimizer = torch.optim.AdamW(
            [p for p in parameters if p.requires_grad],
            lr=row.warmup_lr if warm else lr,
            betas=(0.9, 0.98),
            weight_decay=0.01,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda i, n=count: min(1, 10 * (i + 1) / n) * (1 + math.cos(math.pi * i / n)) / 2,
        )
        for step in range(1, count + 1):
            batch, video, hints = shown(data, (step - 1) * size, size, boxes)
            out = model(video, **hints)
            classes = auxiliary(out, {**batch, "video": video})
            loss = nn.functional.cross_entropy(out.logits, batch["label"])
            optimizer.zero_grad()
            (classes if warm else loss + classes).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            if step % max(1, count // 8) == 0:
                told = {"stage": stage, "clips": step * size, "classes": float(classes.detach())}
                if not warm:
                    told |= {"loss": float(loss.detach()), **tested(model, test_clips, seed, boxes)}
                told["seconds"] = round(time.perf_counter() - begun, 1)
                print(told, flush=True)
                curve.append(told)
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", choices=ROWS, default="followers")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--test_clips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = collect(torch.device("cpu"), options.seed, row=options.row, lr=options.lr)
    curve = fit(
        ROWS[options.row],
        options.steps,
        options.batch_size,
        options.lr,
        options.test_clips,
        options.seed,
    )
    if options.json:
        write(options.json, {**facts, "curve": curve})


if __name__ == "__main__":
    main()
