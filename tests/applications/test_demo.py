from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from stgraph import recipes
from stgraph.applications import demo
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.metrics import boxes_of_batch, boxes_of_graph, harmonic_mean, object_metrics
from stgraph.nodes import BoxNodes, GridNodes, MeanShiftRegions
from stgraph.training import model_of_run

ROOT = Path(__file__).parents[2]


def small(folder, seed: int = 0) -> dict:
    options = {"steps": 4, "warmup": 2, "batch_size": 8, "test_clips": 40, "shown": 2}
    page = demo.run(out=str(folder), seed=seed, **options)
    assert page == folder / "report.html"
    assert page.stat().st_size > 50_000
    words = " ".join(re.sub("<[^>]*>", " ", page.read_text(encoding="utf-8")).split())
    # 11 labels; an eleventh of the clips has no pair, the others one of three.
    assert "chance 9.1 %" in words
    assert "best guess without motion 30.3 %" in words
    assert (folder / "dynamic.ckpt").exists()
    return json.loads((folder / "results.json").read_text())


def numbers(results: dict) -> list:
    return [(run["loss"], run["curve"], run["accuracy"]) for run in results["runs"]]


@pytest.mark.slow
def test_two_runs_with_one_seed_give_the_same_numbers(tmp_path):
    first, second = small(tmp_path / "a"), small(tmp_path / "b")
    assert [run["name"] for run in first["runs"]] == ["dynamic regions", "fixed 3×3 grid"]
    assert numbers(first) == numbers(second)
    assert numbers(small(tmp_path / "a", seed=1)) != numbers(first)


@pytest.mark.parametrize(
    ("wrong", "shown", "expected"),
    [
        ({1, 3, 4}, 5, [0, 2, 5, 1, 3]),
        ({1}, 3, [0, 2, 1]),
        ({0, 1, 2}, 2, [3, 0]),
        ({0, 1, 2}, 1, [3]),
        (set(), 3, [0, 1, 2]),
        (set(range(50)), 4, [0, 1]),
    ],
)
def test_clips_to_look_at_are_right_ones_and_then_some_wrong_ones(
    monkeypatch, wrong: set[int], shown: int, expected: list[int]
):
    def view(_, __, number: int) -> SimpleNamespace:
        return SimpleNamespace(correct=number not in wrong, number=number)

    monkeypatch.setattr(demo, "view", view)
    found = demo._telling(None, range(50), shown)
    assert [seen.number for seen in found] == expected


@pytest.mark.slow
def test_its_models_are_read_without_what_trained_them(tmp_path):
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        small(tmp_path)
        assert logger.level == logging.INFO  # quiet while it trains, and not afterwards
    finally:
        logger.setLevel(level)
    for name, extractor in (("dynamic", MeanShiftRegions), ("fixed", GridNodes)):
        checkpoint = tmp_path / f"{name}.ckpt"
        saved = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert any(key.startswith("auxiliary.") for key in saved)
        for model in (model_of_run(tmp_path, name), model_of_run(tmp_path, str(checkpoint))):
            assert any(isinstance(module, extractor) for module in model.modules())
            assert model.state_dict().keys() == {
                key.removeprefix("model.") for key in saved if key.startswith("model.")
            }
            for key, value in model.state_dict().items():
                assert torch.equal(value, saved[f"model.{key}"])
    best = model_of_run(tmp_path)
    assert any(isinstance(module, MeanShiftRegions) for module in best.modules())
    with pytest.raises(InputError, match="folder: expected that of a run"):
        model_of_run(tmp_path, "last")


def test_the_task_is_the_one_described():
    clips = demo.clips("test", 2000)
    assert clips.num_labels == demo.LABELS == 11
    batch = clips.batch(range(2000))
    assert batch["video"].shape == (2000, 6, 1, 48, 48)
    none = (batch["label"] == 10).float().mean().item()
    assert none == pytest.approx(1 / 11, abs=0.02)
    assert not batch["synchronous"][batch["label"] == 10].any()


def test_regions_follow_digits_before_anything_is_learnt():
    batch = demo.clips("test", 200).batch(range(200))
    module = demo.module(demo.dynamic()).eval()
    with torch.no_grad():
        graph = module.answer(batch).graph
    measured = object_metrics(boxes_of_graph(graph), boxes_of_batch(batch))
    digit = 8 / 48
    assert measured["l2_r"].value < 0.02  # from a digit to the nearest region
    assert measured["displacement"].value < digit / 16
    assert measured["common"].value < 0.4
    assert harmonic_mean(measured["iou_p"].value, measured["iou_r"].value) > 0.5


def test_the_loss_of_a_curve_is_the_mean_since_the_last_measurement():
    curve = demo.Curve()
    for step, loss in enumerate([4.0, 2.0, 1.0, 0.0], 1):
        metrics = {"train/loss": torch.tensor(loss), "val/top1": torch.tensor(0.5)}
        trainer = SimpleNamespace(callback_metrics=metrics, global_step=step)
        curve.on_train_batch_start()
        curve.on_train_batch_end(trainer, None)
        if step % 2 == 0:
            curve.on_validation_end(trainer)
    assert curve.steps == [2, 4]
    assert curve.loss == [3.0, 0.5]


def test_the_last_measurement_is_told():
    curve = demo.Curve()
    curve.accuracy, curve.seconds = [0.25, 0.5, 0.9375], [10.2, 20.4, 30.6]
    assert curve.last(2000) == "93.8 % of 2000 unseen clips, 31 s of training"


def test_a_curve_counts_the_seconds_of_training_alone(monkeypatch):
    """And of a warm-up, of whose losses it keeps none."""
    seconds = [0.0]
    monkeypatch.setattr(demo.time, "perf_counter", lambda: seconds[0])
    curve, warmup = demo.Curve(), demo.Warmup(demo.module(demo.dynamic()))
    metrics = {"train/loss": torch.tensor(2.0), "val/top1": torch.tensor(0.5)}
    trainer = SimpleNamespace(callback_metrics=metrics, global_step=1)
    for one, begun, ended in ((warmup, 10.0, 13.0), (None, 50.0, 51.0)):
        seconds[0] = begun
        curve.on_train_batch_start()
        seconds[0] = ended
        curve.on_train_batch_end(trainer, one)
        metrics["train/loss"] = torch.tensor(4.0)
    curve.on_validation_end(trainer)
    assert (curve.seconds, curve.loss) == ([4.0], [4.0])
    assert all(math.isnan(value) for (value,) in curve.objects.values())


@pytest.mark.parametrize(
    ("steps", "interval"), [(1000, 100), (1, 1), (4, 1), (19, 1), (25, 5), (97, 97), (110, 11)]
)
def test_about_ten_times_it_is_measured_and_at_the_end(steps: int, interval: int):
    assert demo._interval(steps) == interval


def test_it_trains_as_its_configuration_says():
    """But for the implementation of the optimiser, which is fast."""
    described = yaml.safe_load((ROOT / "configs/demo.yaml").read_text("utf-8"))
    told, trainer = described["model"], demo._trainer(demo.Curve())
    one = demo.module(demo.dynamic())
    options = one.optimizer(one.parameters()).defaults
    expected = told["optimizer"]["init_args"]
    assert {name: options[name] for name in expected} == {
        **expected,
        "betas": tuple(expected["betas"]),
    }
    assert one.schedule.warmup == told["schedule"]["init_args"]["warmup"]
    assert one.auxiliary.over == told["auxiliary"]["init_args"]["over"]
    assert trainer.gradient_clip_val == described["trainer"]["gradient_clip_val"]
    data, clips = described["data"]["test"]["init_args"], demo.clips("test", 10)
    for name in ("num_digits", "num_classes", "step", "draw_order"):
        assert getattr(clips, name) == data[name]
    assert clips.canvas == clips.size == (data["canvas"], data["size"])
    assert (trainer.max_epochs, trainer.num_sanity_val_steps) == (1, 0)
    assert not trainer.loggers
    assert not trainer.checkpoint_callbacks  # it leaves what it says, and no more


def test_it_warms_up_on_three_times_as_many_single_frames(monkeypatch):
    fitted = []
    trainer = SimpleNamespace(
        fit=lambda *told: fitted.append(told),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    given = []
    monkeypatch.setattr(demo, "_trainer", lambda curve, **told: given.append(told) or trainer)
    unseen = demo.clips("test", 300, seed=8)
    demo._train(demo.module(demo.dynamic()), 7, 30, 20, 4, unseen)
    (_, first), (_, train, val) = fitted
    assert (len(first), len(first.dataset)) == (20, 20 * 3 * 4)
    assert (len(train), len(train.dataset)) == (30, 30 * 4)
    assert [one.dataset.batch([0])["video"].shape[1] for one in (first, train)] == [1, 6]
    assert len({one.dataset.seed for one in (first, train, val)}) == 3  # other clips in each
    assert val.dataset is unseen
    assert len(val) == 2
    assert given == [{}, {"val_check_interval": 3}]


def test_bad_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="steps: expected a whole number of at least 1"):
        demo.run(out=str(tmp_path / "x"), steps=0)
    assert not (tmp_path / "x").exists()


def test_the_warmup_tells_the_model_what_the_training_tells_it(monkeypatch):
    module = demo.module(recipes.motion_small(11, BoxNodes(32, edges=FullEdges())))
    module.hints = {"boxes": "box"}
    warmup = demo.Warmup(module)
    monkeypatch.setattr(warmup, "log", lambda *_, **__: None)
    assert torch.isfinite(warmup.training_step(demo.clips("train", 2).batch([0, 1]), 0))
