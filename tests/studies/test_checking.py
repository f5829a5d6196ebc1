"""All rows are found to be possible, or not, before one is trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stgraph.checks import InputError
from stgraph.studies.checking import all_runs
from stgraph.studies.file import read_study
from stgraph.studies.plan import Run, configuration

Study = Callable[..., str]


def runs_of(path: str, **options: bool) -> list[Run]:
    return all_runs(read_study(path), "runs", **options)


DAMAGED = """
from parts_of_a_user import Noise
from stgraph.checks import InputError


class Damaged(Noise):
    def __init__(self, first: int = 0):
        super().__init__()
        self.label[:] = 6
        self.first = first

    def batch(self, indices, device=None):
        if min(indices) < self.first:
            raise InputError("clip", "one that can be read", "bytes")
        return super().batch(indices, device)
"""


def test_runs_are_rows_by_seeds_and_nothing_is_left_behind(study: Study) -> None:
    before = {*Path.cwd().iterdir(), Path.cwd() / "__pycache__"}  # of parts of the user's
    found = runs_of(path := study(seeds=[5, 1], seeded=["data.seed"]))
    assert [(run.row.name, run.seed) for run in found] == [
        ("Narrow", 5),
        ("Narrow", 1),
        ("Wide", 5),
        ("Wide", 1),
    ]
    assert [run.name for run in found[:2]] == ["small/narrow/seed5", "small/narrow/seed1"]
    assert len({run.digest for run in found}) == 4
    told = found[3].configuration
    assert told["seed_everything"] == told["data"]["seed"] == 1
    assert told["model"]["model"]["init_args"]["width"] == 32
    assert told["data"]["test"]["init_args"]["seed"] == 2
    assert set(Path.cwd().iterdir()) - before == {Path(path)} - before


@pytest.mark.slow
def test_a_digest_is_that_of_what_the_result_depends_on(study: Study) -> None:
    def digests(**changes: Any) -> list[str]:
        return [run.digest for run in runs_of(study(**changes), build=False)]

    first = digests()
    assert digests() == first
    assert digests(title="another", tried="9", held_out="in other words") == first
    assert digests(seeds=[3, 4])[::2] == first
    said_out = {"data.test.seed": 2, "trainer.max_epochs": 2, "keep_minutes": 5}
    assert digests(set={**said_out, "trainer.accumulate_grad_batches": 1}) == first  # the default
    for changes in (
        {"metric": "top5"},
        {"weights": "last"},
        {"seeds": [4]},
        {"seeded": ["data.seed"]},
        {"set": {**said_out, "trainer.max_epochs": 3}},
        {"set": {**said_out, "data.test.seed": 4}},
    ):
        assert not set(digests(**changes)) & set(first), changes


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model.model.wide": 3}, "wide"),
        slow({"trainer.max_epoch": 3}, "max_epoch"),
        slow({"trainer.max_epochs": "many"}, "max_epochs"),
        ({"model.model": {"class_path": "nowhere.Model"}}, "nowhere"),
        ({"model.model.classes": 3}, "label: expected 0 to 2, the model's classes"),
        ({"model.hints": {"boxes": "box"}}, "hints: expected fields of the clip batch"),
        ({"data.val": None}, "weights: expected `last`, where nothing is validated"),
        slow({"data.test": None}, r"data\.test: expected a dataset, got none"),
        ({"data.test.seed": 1}, r"held_out: expected clips of the test alone, .*data\.val"),
        slow({"data.test.seed": 0}, r"held_out: expected clips of the test alone, .*data\.train"),
        ({"trainer.devices": 2}, r"trainer\.devices: expected one device a run, got 2"),
        ({"trainer.enable_checkpointing": False}, r"trainer\.enable_checkpointing: expected a run"),
        slow({"trainer.fast_dev_run": True}, r"trainer\.fast_dev_run: expected a run"),
        ({"trainer.fast_dev_run": 2}, r"trainer\.fast_dev_run: expected a run"),
        slow({"trainer.limit_test_batches": 0}, r"trainer\.limit_test_batches: expected a run"),
        ({"model.auxiliary": {"class_path": "torch.nn.Identity"}}, "auxiliary"),
    ],
    ids=str,
)
def test_the_last_row_is_checked_too_and_named(
    changes: dict[str, Any], told: str, study: Study
) -> None:
    rows = [{"name": "First"}, {"name": "Last", "set": changes}]
    with pytest.raises(InputError, match=f"row 'Last': expected a configuration .*{told}"):
        runs_of(study(rows=rows))


def test_parts_that_do_not_fit_each_other_are_found(study: Study) -> None:
    """Configurations of which each part can be built, but not run."""
    nodes = {"class_path": "stgraph.nodes.PointNodes", "init_args": {"channels": 8}}
    model = {"class_path": "stgraph.recipes.dyreg_small", "init_args": {"nodes": nodes}}
    rows = [{"name": "Last", "set": {"model.model": model}}]
    with pytest.raises(InputError, match=r"row 'Last': .*channels|row 'Last': .*expected"):
        runs_of(study(rows=rows))


def test_five_answers_of_five_classes_are_no_measure(study: Study) -> None:
    rows = [{"name": "Few", "set": {"model.model.classes": 5}}]
    with pytest.raises(InputError, match=r"row .Few.: .* metric: expected `top1`, .* top5 of 5"):
        runs_of(study(rows=rows, metric="top5"))


def test_what_is_not_trained_needs_no_clips_to_train_on(study: Study) -> None:
    untrained = {"trainer.max_epochs": 0, "data.train": None, "data.val": None}
    rows = [{"name": "As built", "set": untrained}, {"name": "Trained"}]
    assert len(runs_of(study(rows=rows))) == 2
    rows[0]["set"] = untrained | {"model.model.classes": 3}
    with pytest.raises(InputError, match=r"row 'As built': .*label: expected 0 to 2"):
        runs_of(study(rows=rows))


def test_regions_are_compared_only_where_there_are_any(study: Study) -> None:
    with pytest.raises(InputError, match=r"row 'Narrow': .*metric: expected `top1`, where the mod"):
        runs_of(study(metric="iou"))


def test_clips_of_the_test_are_the_same_for_all_rows(study: Study) -> None:
    for told in ({"clips": 8, "seed": 9}, {"seed": 9}):  # what it leaves out is not the base's
        data = {"class_path": "parts_of_a_user.Noise", "init_args": told}
        of_base = {"data.test.clips": 16, "data.test.seed": 2}
        read = read_study(study(set=of_base, held_out={"about": "noise", "data": data}))
        for row in read.rows:
            assert configuration(read, row, 0, "runs")["data"]["test"] == data


def test_runs_begin_from_no_checkpoint_of_the_base(study: Study) -> None:
    path = study()
    with Path("config.yaml").open("a") as file:
        file.write("ckpt_path: best\n")
    read = read_study(path)
    assert "ckpt_path" not in configuration(read, read.rows[0], 0, "runs")


def test_a_row_may_have_a_base_of_its_own(study: Study, config: Callable[..., str]) -> None:
    path = study()
    text = Path("config.yaml").read_text()
    Path("other.yaml").write_text(text.replace("batch_size: 8", "batch_size: 4"))
    rows = [{"name": "a"}, {"name": "b", "base": "other.yaml"}]
    a, b = runs_of(study(rows=rows), build=False)
    assert (a.configuration["data"]["batch_size"], b.configuration["data"]["batch_size"]) == (8, 4)
    with pytest.raises(InputError, match=r"row 'b': .*base"):
        runs_of(study(rows=[{"name": "b", "base": "nowhere.yaml"}]), build=False)
    assert path


def test_a_study_does_not_lead_out_of_the_folder_of_runs(study: Study) -> None:
    with pytest.raises(InputError, match="file: expected a name of letters or digits"):
        runs_of(study(name=".."), build=False)


def test_where_runs_are_to_lie_is_looked_at_before_the_first(study: Study) -> None:
    path = study()
    Path("runs").mkdir()
    Path("runs", "small").write_text("")
    with pytest.raises(InputError, match=r"run: .* the name of a folder, got .*, which is a file"):
        runs_of(path, build=False)


@pytest.mark.slow
def test_clips_that_cannot_be_read_are_left_to_the_run(study: Study, tmp_path: Path) -> None:
    """The first two are all that is looked at; a run leaves out what it cannot read."""
    (tmp_path / "damaged_clips.py").write_text(DAMAGED, encoding="utf-8")
    damaged = {"class_path": "damaged_clips.Damaged"}
    assert len(runs_of(study(set={"data.train": {**damaged, "init_args": {"first": 2}}}))) == 2
    few = {"data.train": {**damaged, "init_args": {"first": 1}}, "model.model.classes": 3}
    with pytest.raises(InputError, match=r"label: expected 0 to 2"):  # of the second clip
        runs_of(study(set=few))
