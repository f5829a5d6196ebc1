"""The small model that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from stgraph.applications.demo import clips
from stgraph.applications.trained import SHIPPED, trained
from stgraph.cli import main
from stgraph.metrics import boxes_of_batch, boxes_of_graph, object_metrics

ROOT = Path(__file__).parents[2]


def test_it_knows_who_moves_alike_and_its_regions_are_on_the_digits() -> None:
    module = trained().module
    batch = clips("test", 500, seed=5).batch(range(500))
    with torch.no_grad():
        answer = module(batch["video"])
    right = (answer.logits.argmax(1) == batch["label"]).float().mean()
    assert right > 0.9
    objects = object_metrics(boxes_of_graph(answer.graph), boxes_of_batch(batch))
    assert objects["l2_r"].value < 0.05  # of the frame, from a digit to the nearest region
    assert objects["displacement"].value < 0.02


def test_it_is_small_and_its_configuration_is_the_demonstrations() -> None:
    assert SHIPPED.stat().st_size < 2e6
    demo = yaml.safe_load((ROOT / "configs/demo.yaml").read_text("utf-8"))
    kept = yaml.safe_load(SHIPPED.with_suffix(".yaml").read_text("utf-8"))
    assert kept["model"]["model"] == demo["model"]["model"]
    assert kept["data"]["test"] == demo["data"]["test"]


@pytest.mark.slow
def test_show_takes_it_where_no_other_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["show", "--count", "2", "--out", str(page)]) == 0
    written = page.read_text("utf-8")
    assert "motion_small, test clips from 0" in written
    assert "stgraph show --split test --index 0 --count 2" in written
