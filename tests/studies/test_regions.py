"""A study of regions: what is trained beside what needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stgraph.applications.demo import clips
from stgraph.datasets import Detected
from stgraph.metrics import (
    boxes_of_batch,
    detector_baseline,
    grid_baseline,
    harmonic_mean,
    object_metrics,
)
from stgraph.metrics.boxes import Boxes
from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.plan import read_result
from stgraph.studies.worker import work

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
CLIPS = 12


def score(found: Boxes, true: Boxes) -> float:
    measured = object_metrics(found, true)
    iou = harmonic_mean(measured["iou_p"].value, measured["iou_r"].value)
    assert iou is not None
    return iou


@pytest.mark.slow
def test_rows_that_are_not_trained_are_the_baselines_of_the_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {
        "digits": {
            "class_path": "stgraph.datasets.sklearn_digits",
            "init_args": {"split": "test"},
        },
        **{"num_digits": 3, "num_classes": 5, "frames": 6, "canvas": 48, "size": 48, "step": 3},
        **{"p_none": 1 / 11, "draw_order": "random", "seed": 1, "length": CLIPS},
    }
    base: dict[str, Any] = {
        "base": str(DEMO),
        "metric": "iou",
        "set": {"trainer.max_epochs": 0, "trainer.accelerator": "cpu"},
        "held_out": {
            "about": "a few",
            "data": {
                "class_path": "stgraph.datasets.Detected",
                "init_args": {
                    "clips": {"class_path": "stgraph.datasets.SyncMNIST", "init_args": options}
                },
            },
        },
        "rows": [
            {
                "name": "grid",
                "set": {"model.model.nodes": {"class_path": "stgraph.recipes.small_grid"}},
            },
            {
                "name": "detector",
                "set": {
                    "model.hints": {"boxes": "detected", "present": "found"},
                    "model.model.nodes": {
                        "class_path": "stgraph.nodes.BoxNodes",
                        "init_args": {
                            "channels": 32,
                            "edges": {"class_path": "stgraph.edges.FullEdges"},
                        },
                    },
                },
            },
        ],
    }
    Path("regions.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    reached = {}
    for run in all_runs(read_study("regions.yaml"), "runs"):
        job = {"own": str(run.own), "study": run.study, "row": run.row.name, "seed": run.seed}
        job |= {"digest": run.digest, "metric": "iou", "weights": "best", "threads": 1}
        assert work({**job, "configuration": run.configuration}) == 0
        result = read_result(run)
        assert result is not None
        assert result["test"]["value"] == result["objects"]["iou"]
        assert (result["test"]["low"], result["test"]["interval"]) == (None, None)
        reached[run.row.name] = result["test"]["value"]
    batch = Detected(clips("test", CLIPS, seed=1)).batch(range(CLIPS))
    true = boxes_of_batch(batch)
    assert reached["grid"] == pytest.approx(score(grid_baseline(true), true), abs=1e-4)
    sure = batch["found"].float()
    detector = detector_baseline(batch["detected"], sure, batch["found"], count=7)
    assert reached["detector"] == pytest.approx(score(detector, true), abs=1e-4)
    assert reached["detector"] > 2 * reached["grid"]
