"""Extractions that were stopped, that met bad clips, or that another one is in the way of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from extracted import clips, contents, data, small
from torch.utils.data import Dataset

from stgraph.applications.extract import extract
from stgraph.applications.graphing import Wanted
from stgraph.checks import InputError
from stgraph.datasets import SyncMNIST, sklearn_digits
from stgraph.datasets.graphs import InMemoryGraphs, OnDiskGraphs
from stgraph.recipes import dyreg_small
from stgraph.runs.folder import locked
from stgraph.training import ClassificationModule, raw


@pytest.fixture(scope="module")
def module() -> ClassificationModule:
    torch.manual_seed(0)
    return ClassificationModule(dyreg_small()).eval()


class Bad(Dataset[dict[str, Any]]):
    """Clips two of which cannot be read, one of which is a whole shard."""

    label_names = ("a", "b")

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in (1, 6):
            raise InputError(f"clip_{index}.mp4", "a video", "a text, for example")
        return {"video": torch.randint(0, 256, (2, 1, 32, 32)).byte(), "label": 0}


@pytest.mark.parametrize("shard_clips", [3, 7])
def test_bad_clips_are_skipped_and_listed(shard_clips: int, tmp_path: Path) -> None:
    """Those of shards of one batch, and of a shard of several batches."""
    module = ClassificationModule(small())
    with pytest.raises(InputError, match=r"clip_1\.mp4: expected a video"):
        extract(module, data(Bad()), tmp_path / "raise", shard_clips=shard_clips)
    extract(module, data(Bad()), tmp_path / "skip", shard_clips=shard_clips, on_error="skip")
    dataset = OnDiskGraphs(tmp_path / "skip")
    assert [dataset[rows[0]].clip.item() for rows in dataset.frames_of_clips()] == [0, 2, 3, 4, 5]
    assert [(one.clip, one.name) for one in dataset.skipped()] == [(1, "1"), (6, "6")]
    assert dataset.num_classes == 4  # of the model, which may answer more than there are names
    facts = json.loads((tmp_path / "skip/datasheet.json").read_text())
    assert facts["counts"]["skipped"] == 2
    assert facts["labels"] == {"0": 10}
    assert "clip_6.mp4: expected a video" in (tmp_path / "skip/README.md").read_text()


def test_who_meets_a_bad_clip_late_goes_on_without_it(tmp_path: Path) -> None:
    """What was made until then stays; to go back is to be asked for another folder."""

    class Late(Bad):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return super().__getitem__(0 if index == 1 else index)

    torch.manual_seed(0)
    module = ClassificationModule(small())
    options: dict[str, Any] = {"shard_clips": 3}
    with pytest.raises(InputError, match=r"clip_6\.mp4: expected a video"):
        extract(module, data(Late()), tmp_path / "raise", **options)
    first = tmp_path / "raise/raw/graphs_000000.pt"
    written = first.stat().st_mtime_ns
    extract(module, data(Late()), tmp_path / "raise", **options, on_error="skip")
    extract(module, data(Late()), tmp_path / "skip", **options, on_error="skip")
    assert contents(tmp_path / "raise") == contents(tmp_path / "skip")
    assert first.stat().st_mtime_ns == written
    with pytest.raises(InputError, match="on_error"):
        extract(module, data(Late()), tmp_path / "skip", **options)


def test_a_slip_does_not_hold_a_folder_up(module: ClassificationModule, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="attention"):
        extract(module, data(), tmp_path, wanted=Wanted(attention="7"))
    extract(module, data(), tmp_path, wanted=Wanted(attention="all"))
    assert json.loads((tmp_path / "datasheet.json").read_text())["plan"]["wanted"] == {
        "graphs": "frames",
        "features": "nodes",
        "place": None,
        "attention": "all",
        "kernel": False,
        "half": False,
    }


def test_a_folder_goes_on_with_the_same_alone(module: ClassificationModule, tmp_path: Path) -> None:
    extract(module, data(), tmp_path / "a", shard_clips=4)
    before = contents(tmp_path / "a")
    stamp = (tmp_path / "a/datasheet.json").stat().st_mtime_ns
    extract(module, data(), tmp_path / "a", shard_clips=4)  # nothing is left to do
    assert (tmp_path / "a/datasheet.json").stat().st_mtime_ns == stamp
    torch.manual_seed(1)
    other = ClassificationModule(dyreg_small())
    scaled = ClassificationModule(module.model, scale=raw).eval()
    for one, dataset, options, told in (
        (other, clips(), {}, r"weights\.sha256"),
        (scaled, clips(), {}, r'scale "stgraph\.\S*signed", .* got "stgraph\.\S*raw"'),
        (module, clips(12), {}, r"clips\.number 10, .* got 12"),
        (module, clips(), {"wanted": Wanted(kernel=True)}, r"wanted\.kernel false"),
        (module, clips(), {"shard_clips": 5}, "shard_clips 4"),
    ):
        with pytest.raises(InputError, match=f"out: expected {told}"):
            extract(one, data(dataset), tmp_path / "a", **{"shard_clips": 4, **options})
    assert contents(tmp_path / "a") == before
    (tmp_path / "b").mkdir()
    (tmp_path / "b/thesis.tex").touch()
    with pytest.raises(InputError, match=r"out: expected a new folder.* 'thesis\.tex'"):
        extract(module, data(), tmp_path / "b")


def test_an_interrupted_data_set_is_completed(module: ClassificationModule, tmp_path: Path) -> None:
    extract(module, data(), tmp_path / "whole", shard_clips=3)

    class Stops(SyncMNIST):
        stop = 2

        def batch(self, indices: Any, device: Any = "cpu") -> Any:
            if Stops.stop <= int(indices[0]):
                raise KeyError("the machine went down")
            return super().batch(indices, device)

    options = {"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32}
    dataset = Stops(sklearn_digits(), length=10, **options)
    for Stops.stop in (2, 5, 8):
        with pytest.raises(KeyError):
            extract(module, data(dataset), tmp_path / "parts", shard_clips=3)
        done = {path.name for path in (tmp_path / "parts/raw").glob("*.pt")}
        assert len(done) == {2: 0, 5: 1, 8: 2}[Stops.stop]
        with pytest.raises(InputError, match="completed"):
            InMemoryGraphs(tmp_path / "parts")
    Stops.stop = 100
    (tmp_path / "parts/raw/.123.part").write_bytes(b"half of a shard")
    first = min((tmp_path / "parts/raw").glob("*.pt"))
    first.write_bytes(first.read_bytes()[:-10])  # as a full disk would leave it
    extract(module, data(dataset), tmp_path / "parts", shard_clips=3)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_two_do_not_write_to_one_folder(module: ClassificationModule, tmp_path: Path) -> None:
    with (
        locked(tmp_path, "out", "extracts"),
        pytest.raises(InputError, match=r"out: expected one that nobody extracts, got .* process"),
    ):
        extract(module, data(), tmp_path)


def test_it_prints_a_line_and_leaves_nothing_beside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    extract(ClassificationModule(small()), data(), "graphs")
    assert capsys.readouterr() == ("wrote graphs: 40 graphs of 10 clips\n", "")
    assert [one.name for one in tmp_path.iterdir()] == ["graphs"]
