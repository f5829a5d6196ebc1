"""``stgraph demo-video``: from files of videos to answers, metrics, graphs and a page.

What a person with videos would do, with the commands that they would use, on a data set in the
layout of Something-Something v2 that is made first. Two digits move over a moving background; the
label says how one moves with respect to the other, and a single frame says nothing about it
(:mod:`stgraph.datasets.videos.moving_digits`). Unseen videos show unseen digits.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from stgraph.checks import InputError, integer
from stgraph.datasets import Digits, mnist, sklearn_digits
from stgraph.datasets.videos.made_something import BOXES, VIDEOS, make_something
from stgraph.datasets.videos.moving_digits import TEMPLATES
from stgraph.writing import write_whole

__all__ = ["configuration", "run"]

MODELS = {"following": "following_regions", "still": "still_regions"}
"""Runs, and the extractor of each: windows that follow, and their twin that stays on a grid."""
FRAMES, SIZE = 8, 48


def run(
    out: str = "runs/demo_video",
    seed: int = 0,
    epochs: int = 11,
    clips: int = 1200,
    unseen: int = 400,
    digits: Literal["auto", "mnist", "sklearn"] = "auto",
) -> Path:
    """Make the data set, train two models on it, and do with them what there is to do.

    Beside ``results.json`` lie the data set (``something``), the folders of the runs, graphs of the
    unseen videos (``graphs``), and a page about one of them (``video.html``). What is there already
    goes on where it stood, or is made again where it costs little. Graphs of another model are
    refused: for other numbers, take another folder.

    Args:
        out: folder of all that.
        seed: of every random number.
        epochs: passes over the training videos.
        clips: training videos.
        unseen: videos to test on.
        digits: what moves: MNIST's digits, scikit-learn's, or MNIST's where they lie (auto).

    Returns:
        The file of the results.

    Raises:
        InputError: on numbers below 1.
        RuntimeError: when a command fails.
    """
    integer("epochs", epochs)
    integer("clips", clips, 2)
    integer("unseen", unseen)
    folder, begun = Path(out), time.perf_counter()
    print(f"== making {clips + 2 * unseen} videos", flush=True)
    name, train, held_out = _digits(digits)
    root = make_something(folder / "something", train, held_out, (clips, unseen, unseen), seed)
    seconds = {"make": _told(begun)}
    for model, nodes in MODELS.items():
        described = yaml.safe_dump(configuration(root, nodes, epochs, seed), sort_keys=False)
        write_whole(folder / f"{model}.yaml", described.encode())
    of_run = {model: ["--runs", out, "--run", model] for model in MODELS}

    def go_on(model: str) -> list[str]:
        begun = (folder / model / "checkpoints" / "last.ckpt").is_file()
        return ["--ckpt_path", "last"] if begun else []

    fits = [
        ["fit", "--config", f"{out}/{model}.yaml", *of_run[model], *go_on(model)]
        for model in MODELS
    ]
    seconds["fit"] = _stage("training both", fits)
    tests = [
        ["test", "--config", f"{out}/{model}.yaml", *of_run[model], "--ckpt_path", "last"]
        for model in MODELS
    ]
    seconds["test"] = _stage("testing both on 3 crops × 2 samplings", tests)
    ckpt = ["--ckpt", f"{out}/following/checkpoints/last.ckpt"]
    config = ["--config", f"{out}/following.yaml"]
    graphs = ["extract", *ckpt, *config, "--split", "val", "--graphs", "clips"]
    video = root / VIDEOS / f"{clips + 1}.webm"
    page = ["show", *ckpt, *config, "--video", str(video), "--out", f"{out}/video.html"]
    both = [[*graphs, "--out", f"{out}/graphs"], page]
    seconds["extract and show"] = _stage("graphs of the unseen videos, and a page about one", both)
    tested = {model: json.loads((folder / model / "test.json").read_text()) for model in MODELS}
    results = {
        "digits": name,
        "seed": seed,
        "epochs": epochs,
        "clips": clips,
        "unseen": unseen,
        "chance": 1 / len(TEMPLATES),
        "best_without_motion": _most_frequent(root),
        "seconds": seconds,
        "test": tested,
    }
    path = write_whole(folder / "results.json", json.dumps(results, indent=1).encode())
    print(_table(results), f"wrote {path}, {out}/graphs and {out}/video.html", sep="\n")
    return path


def configuration(root: Path, nodes: str, epochs: int, seed: int) -> dict[str, Any]:
    """A run on the data set, as ``stgraph fit --config`` takes it."""

    def part(path: str, **arguments: Any) -> dict[str, Any]:
        return {"class_path": f"stgraph.{path}", "init_args": arguments}

    def videos(split: str, clips: dict[str, Any], **more: Any) -> dict[str, Any]:
        return part(
            "datasets.videos.SomethingSomething",
            videos=str(root / VIDEOS),
            labels=str(root / "labels/labels.json"),
            split=str(root / f"labels/{split}.json"),
            clips=clips,
            **more,
        )

    frames = part("datasets.videos.Segments", frames=FRAMES)
    random = part("datasets.videos.MultiScaleCrops", size=SIZE, scales=[1.0])
    centre = part("datasets.videos.Crops", size=SIZE, side=SIZE)
    boxes = part("datasets.videos.annotations.SomethingElseBoxes", files=str(root / BOXES), slots=2)
    return {
        "seed_everything": seed,
        "trainer": {
            "max_epochs": epochs,
            "gradient_clip_val": 1.0,
            "limit_val_batches": 0,  # nothing is chosen by what is tested on
        },
        "model": {
            "model": part(
                "recipes.small_video", num_classes=len(TEMPLATES), nodes=part(f"recipes.{nodes}")
            ),
            "optimizer": {
                "class_path": "torch.optim.AdamW",
                "init_args": {"lr": 0.005, "betas": [0.9, 0.98], "weight_decay": 0.01},
            },
            "schedule": part("training.WarmupCosine", warmup=0.1),
        },
        "data": {
            "batch_size": 32,
            "num_workers": 1,
            "seed": seed,
            "train": videos(
                "train", part("datasets.videos.TrainClips", sampler=frames, crops=random)
            ),
            "val": videos(
                "validation",
                part("datasets.videos.CentreClips", sampler=frames, crops=centre),
                annotations=boxes,
            ),
            "test": videos(
                "validation",
                part("datasets.videos.protocol", name="3x2", sampler=frames, size=SIZE),
                annotations=boxes,
            ),
        },
    }


def _digits(source: str) -> tuple[str, Digits, Digits]:
    """Digits to train on and unseen ones, and where they come from."""
    if source != "sklearn":
        try:
            return "MNIST", mnist(split="train"), mnist(split="test")
        except InputError:
            if source == "mnist":
                raise
    return "scikit-learn", sklearn_digits("train"), sklearn_digits("test")


def _stage(what: str, commands: Sequence[Sequence[str]]) -> float:
    """Run commands at the same time, each on its share of the cores, and tell how long it took."""
    begun = time.perf_counter()
    print(f"== {what}", flush=True)
    for command in commands:
        print(f"   stgraph {shlex.join(command)}", flush=True)
    share = max(1, (os.cpu_count() or 1) // max(1, len(commands)))
    environment = os.environ | {"OMP_NUM_THREADS": str(share)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "stgraph", *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    try:
        told = [process.communicate()[0] for process in running]
    finally:
        for process in running:  # the others, where one is interrupted
            if process.poll() is None:
                process.terminate()
                process.wait()
    for process, command, lines in zip(running, commands, told, strict=True):
        if process.returncode:
            raise RuntimeError(f"stgraph {shlex.join(command)} failed:\n{lines[-4000:]}")
    return _told(begun)


def _told(begun: float) -> float:
    seconds = time.perf_counter() - begun
    print(f"   {seconds:.0f} s", flush=True)
    return round(seconds, 1)


def _most_frequent(root: Path) -> float:
    """The best guess that sees single frames alone: the share of the most frequent label."""
    items = json.loads((root / "labels/validation.json").read_text())
    templates = [item["template"] for item in items]
    return max(templates.count(template) for template in TEMPLATES) / len(templates)


def _table(results: dict[str, Any]) -> str:
    following, still = (results["test"][model] for model in MODELS)
    rows = [f"{'':34}{'following':>10}{'still':>10}"]
    names = {
        "test/top1": "right, of unseen videos",
        "test/iou": "IoU of regions and digits",
        "test/l2_r": "digit to nearest region",
    }
    rows += [
        f"{told:34}{following[name]:10.3f}{still[name]:10.3f}"
        for name, told in names.items()
        if following.get(name) is not None and still.get(name) is not None
    ]
    guess = results["best_without_motion"]
    rows.append(f"{'best guess without motion':34}{guess:10.3f}{guess:10.3f}")
    rows.append(f"all of it took {sum(results['seconds'].values()):.0f} s")
    return "\n".join(rows)
